//! TCP to a target: resolve, race the addresses (RFC 8305), never dial ourselves.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::address::{Host, Target};
use crate::shortage::is_of_descriptors;

/// How long one address may try alone before the next joins (RFC 8305 §5).
const CONNECTION_ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Names → addresses, in the order the system prefers.
pub trait Resolve: Send + Sync {
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> Addresses<'a>;
}

pub type Addresses<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

#[derive(Debug, Error)]
pub enum DialError {
    #[error("the name {0} could not be resolved")]
    Resolve(String, #[source] io::Error),
    #[error("the name {0} has no address")]
    NoAddress(String),
    #[error("no connection to {0}")]
    Connect(Target, #[source] io::Error),
    #[error("no connection to {0} within {1:?}")]
    Timeout(Target, Duration),
    #[error("{0} is this relay itself")]
    Loop(Target),
    /// It is a place that this client is not led to.
    #[error("{target} leads to {ip}, which is this machine's alone")]
    Forbidden { target: Target, ip: IpAddr },
    #[error("the network changed in the meantime")]
    Moved,
    #[error("{why}; it is looked for in the background")]
    Dead {
        why: String,
        /// Nobody answered, as opposed to somebody who said no.
        silent: bool,
    },
}

/// What the kernel says when nobody is there, or nobody can get there; the rest are troubles of our own.
const ABSENCE: [io::ErrorKind; 9] = [
    io::ErrorKind::ConnectionRefused,
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::ConnectionAborted,
    io::ErrorKind::TimedOut,
    io::ErrorKind::HostUnreachable,
    io::ErrorKind::NetworkUnreachable,
    io::ErrorKind::NetworkDown,
    // No address of ours leads there; a packet filter says no.
    io::ErrorKind::AddrNotAvailable,
    io::ErrorKind::PermissionDenied,
];

impl DialError {
    /// Whether nobody is there as far as the network goes, and not ourselves who would not or could not try.
    pub fn is_absence(&self) -> bool {
        match self {
            Self::Resolve(_, cause) => !is_of_descriptors(cause),
            Self::NoAddress(_) | Self::Timeout(..) => true,
            Self::Connect(_, cause) => ABSENCE.contains(&cause.kind()),
            Self::Loop(_) | Self::Forbidden { .. } | Self::Moved | Self::Dead { .. } => false,
        }
    }

    /// Whether nothing was tried, because we had no descriptor for it.
    pub fn is_shortage(&self) -> bool {
        matches!(self, Self::Resolve(_, cause) | Self::Connect(_, cause) if is_of_descriptors(cause))
    }
}

/// Whether we listen there ourselves.
pub type OwnAddress = Arc<dyn Fn(&SocketAddr) -> bool + Send + Sync>;

#[derive(Clone)]
pub struct Dialer {
    pub resolver: Arc<dyn Resolve>,
    pub connect_timeout: Duration,
    pub keepalive: Option<Duration>,
    pub own: OwnAddress,
}

impl Dialer {
    pub async fn dial(&self, target: &Target) -> Result<TcpStream, DialError> {
        self.dial_unless(target, |_| false).await
    }

    /// Not even a name that leads to one forbidden address among others is dialled.
    pub async fn dial_unless(
        &self,
        target: &Target,
        is_forbidden: impl Fn(IpAddr) -> bool,
    ) -> Result<TcpStream, DialError> {
        let attempt = async {
            let addresses = self.addresses(target).await?;
            if let Some(ip) = addresses.iter().map(SocketAddr::ip).find(|ip| is_forbidden(*ip)) {
                return Err(DialError::Forbidden { target: target.clone(), ip });
            }
            race(addresses).await.map_err(|error| DialError::Connect(target.clone(), error))
        };
        let stream = timeout(self.connect_timeout, attempt)
            .await
            .map_err(|_| DialError::Timeout(target.clone(), self.connect_timeout))??;
        tune(&stream, self.keepalive);
        Ok(stream)
    }

    async fn addresses(&self, target: &Target) -> Result<VecDeque<SocketAddr>, DialError> {
        let addresses = match &target.host {
            Host::Ip(ip) => vec![SocketAddr::new(*ip, target.port)],
            Host::Name(name) => self
                .resolver
                .resolve(name, target.port)
                .await
                .map_err(|error| DialError::Resolve(name.clone(), error))?,
        };
        if addresses.is_empty() {
            return Err(DialError::NoAddress(target.host.to_string()));
        }
        if addresses.iter().any(|address| (self.own)(address)) {
            return Err(DialError::Loop(target.clone()));
        }
        Ok(interleave(addresses))
    }
}

/// A relay adds no delay of its own, and notices a peer that is gone.
pub fn tune(stream: &TcpStream, keepalive: Option<Duration>) {
    let socket = SockRef::from(stream);
    let mut set = socket.set_tcp_nodelay(true);
    if let Some(every) = keepalive {
        let probes = TcpKeepalive::new().with_time(every).with_interval(every);
        set = set.and(socket.set_tcp_keepalive(&probes));
    }
    if let Err(error) = set {
        tracing::debug!(%error, "socket options not set");
    }
}

/// The families in turn, the preferred one first (RFC 8305 §4).
fn interleave(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| a.is_ipv6() == first_is_v6);
    let mut other = other.into_iter();
    let mut mixed = VecDeque::new();
    for address in preferred {
        mixed.push_back(address);
        mixed.extend(other.next());
    }
    mixed.extend(other);
    mixed
}

async fn race(mut addresses: VecDeque<SocketAddr>) -> io::Result<TcpStream> {
    // Alone, it needs no task of its own, nor a thread that is woken for it.
    if let (Some(only), 1) = (addresses.front(), addresses.len()) {
        return TcpStream::connect(*only).await;
    }
    let mut attempts = JoinSet::new();
    let mut last = io::Error::other("no address was tried");
    loop {
        if let Some(address) = addresses.pop_front() {
            attempts.spawn(TcpStream::connect(address));
        }
        tokio::select! {
            Some(done) = attempts.join_next() => match done {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(error) => last = io::Error::other(error),
            },
            () = sleep(CONNECTION_ATTEMPT_DELAY), if !addresses.is_empty() => {}
        }
        if attempts.is_empty() && addresses.is_empty() {
            return Err(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_take_turns() {
        let addresses = ["[2001:db8::1]:1", "[2001:db8::2]:1", "192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"];
        let mixed: Vec<String> = interleave(addresses.iter().map(|a| a.parse().unwrap()).collect())
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(mixed, ["[2001:db8::1]:1", "192.0.2.1:1", "[2001:db8::2]:1", "192.0.2.2:1", "192.0.2.3:1"]);
    }
}
