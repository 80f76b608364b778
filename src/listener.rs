//! Listening sockets: bind, accept, bound the number of clients. Knows no HTTP.

mod room;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

pub use room::Room;

/// Connections that wait to be accepted; more than any burst of a build tool.
const BACKLOG: i32 = 1024;

/// Out of descriptors, accepting pauses for this long instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Error)]
#[error("cannot listen on {addr}")]
pub struct BindError {
    pub addr: SocketAddr,
    #[source]
    pub source: io::Error,
}

/// Who connected, and what we think of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    pub addr: SocketAddr,
    pub listener: SocketAddr,
    pub verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Welcome,
    TooMany,
}

pub struct Listener {
    sockets: Vec<TcpListener>,
    addrs: Vec<SocketAddr>,
}

impl Listener {
    /// A machine without IPv6 (or IPv4) serves on the family it has; anything else that fails is fatal.
    pub fn bind(addrs: &[SocketAddr]) -> Result<Self, BindError> {
        let (mut sockets, mut bound, mut missing) = (Vec::new(), Vec::new(), None);
        for addr in addrs {
            match bind_one(*addr) {
                Ok(socket) => {
                    bound.push(socket.local_addr().map_err(|source| BindError { addr: *addr, source })?);
                    sockets.push(socket);
                }
                Err(source) if is_missing_family(&source) => {
                    tracing::info!(%addr, error = %source, "address family not available");
                    missing = Some(BindError { addr: *addr, source });
                }
                Err(source) => return Err(BindError { addr: *addr, source }),
            }
        }
        match missing {
            Some(error) if sockets.is_empty() => Err(error),
            Some(_) | None => Ok(Self { sockets, addrs: bound }),
        }
    }

    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Accepts until `stop` turns true, then closes the sockets and hands back the clients still served. Each client
    /// takes one of the `places`.
    pub async fn run<F, S>(
        self,
        places: Arc<Semaphore>,
        room: Room,
        stop: watch::Receiver<bool>,
        serve: S,
    ) -> JoinSet<()>
    where
        F: Future<Output = ()> + Send + 'static,
        S: Fn(TcpStream, Peer) -> F + Clone + Send + 'static,
    {
        let mut loops = JoinSet::new();
        for socket in self.sockets {
            loops.spawn(accept_loop(socket, places.clone(), room.clone(), stop.clone(), serve.clone()));
        }
        let mut clients = JoinSet::new();
        while let Some(rest) = loops.join_next().await {
            if let Ok(mut rest) = rest {
                // A JoinSet cannot swallow another one: each of these waits for its own.
                clients.spawn(async move { while rest.join_next().await.is_some() {} });
            }
        }
        clients
    }
}

fn bind_one(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Without it a restart would wait for the connections of the last run to be forgotten. On Windows the same
    // option would let others take the port, and is not needed.
    if !std::env::consts::FAMILY.eq("windows") {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

fn is_missing_family(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error.to_string().contains("Address family not supported")
}

async fn accept_loop<F, S>(
    socket: TcpListener,
    places: Arc<Semaphore>,
    room: Room,
    mut stop: watch::Receiver<bool>,
    serve: S,
) -> JoinSet<()>
where
    F: Future<Output = ()> + Send + 'static,
    S: Fn(TcpStream, Peer) -> F,
{
    let mut clients = JoinSet::new();
    let Ok(listener) = socket.local_addr() else { return clients };
    loop {
        tokio::select! {
            () = raised(&mut stop) => return clients,
            Some(_) = clients.join_next(), if !clients.is_empty() => {}
            accepted = socket.accept() => match accepted {
                Ok((stream, addr)) => {
                    let its_room = tokio::select! {
                        () = raised(&mut stop) => return clients,
                        its_room = room.enter() => its_room,
                    };
                    let place = places.clone().try_acquire_owned().ok();
                    let verdict = if place.is_some() { Verdict::Welcome } else { Verdict::TooMany };
                    let served = serve(stream, Peer { addr, listener, verdict });
                    clients.spawn(hold((place, its_room), served));
                }
                Err(error) => {
                    if room.is_to_be_told() {
                        tracing::warn!(%error, "cannot accept");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn raised(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn hold(place: (Option<OwnedSemaphorePermit>, Option<OwnedSemaphorePermit>), served: impl Future<Output = ()>) {
    served.await;
    drop(place);
}
