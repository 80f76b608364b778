//! Listening sockets: bind, accept, bound the number of clients. Knows no HTTP.

mod device;
mod inherited;
mod places;
mod room;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::owner::Owner;

pub use inherited::{InheritError, Inherited};
pub use places::{Place, Places};
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

/// Who connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    pub addr: SocketAddr,
    /// The address that it connected to, also where we listen on all of them.
    pub listener: SocketAddr,
    /// The user behind it, where it is on this machine and was asked for.
    pub owner: Option<Owner>,
}

impl Peer {
    /// Not by loopback: to such a client, this machine is another one.
    pub fn is_outsider(&self) -> bool {
        !self.listener.ip().to_canonical().is_loopback()
    }
}

/// A client that has come in.
pub struct Accepted {
    pub stream: TcpStream,
    pub peer: Peer,
    /// Its descriptors, for as long as it is there.
    pub room: Option<OwnedSemaphorePermit>,
}

/// The interface that a socket is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub name: String,
    /// The system's number for it.
    pub index: Option<u32>,
}

/// Bound and not yet served.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
}

impl Listener {
    /// `device`: nobody is heard who comes by another interface.
    pub fn bind(addr: SocketAddr, device: Option<&Device>) -> Result<Self, BindError> {
        let failed = |source| BindError { addr, source };
        let socket = bind_one(addr, device).map_err(failed)?;
        let addr = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, addr })
    }

    /// A socket that listens already.
    fn of(socket: Socket, addr: SocketAddr) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::from_std(socket.into())?, addr })
    }

    /// With the kernel's choice where port 0 was asked for.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Accepts until `stop` turns true or its other end is dropped, then closes the socket and hands back the clients
    /// still served. Each client has to wait for `room`.
    pub async fn run<F, S>(self, room: Room, mut stop: watch::Receiver<bool>, serve: S) -> JoinSet<()>
    where
        F: Future<Output = ()> + Send + 'static,
        S: Fn(Accepted) -> F + Send + 'static,
    {
        let mut clients = JoinSet::new();
        let mut stopped = pin!(raised(&mut stop));
        loop {
            // Whoever has left is forgotten when the next one comes: to be woken for each would cost more than it holds.
            while clients.try_join_next().is_some() {}
            tokio::select! {
                () = &mut stopped => return clients,
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, addr)) => {
                        let its_room = tokio::select! {
                            () = &mut stopped => return clients,
                            its_room = room.enter() => its_room,
                        };
                        // Who listens on one address alone knows which one it is.
                        let everywhere = self.addr.ip().is_unspecified();
                        let listener = if everywhere { stream.local_addr().unwrap_or(self.addr) } else { self.addr };
                        let peer = Peer { addr, listener, owner: None };
                        clients.spawn(serve(Accepted { stream, peer, room: its_room }));
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
}

fn bind_one(addr: SocketAddr, device: Option<&Device>) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Without it a restart would wait for the connections of the last run to be forgotten. On Windows the same
    // option would let others take the port, and is not needed.
    if !std::env::consts::FAMILY.eq("windows") {
        socket.set_reuse_address(true)?;
    }
    if let Some(device) = device {
        device::bind(&socket, device, addr)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

impl BindError {
    /// The interface or its address is gone, or not quite there yet.
    pub fn is_absence(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::NotFound)
            || self.source.to_string().contains("No such device")
    }

    /// A machine without IPv6 (or IPv4) serves on the family it has. Where the family is switched off, even loopback has
    /// no address; that another one is nobody's says nothing about its family.
    pub fn is_missing_family(&self) -> bool {
        let of_family = self.addr.ip().is_loopback() || self.addr.ip().is_unspecified();
        (of_family && self.source.kind() == io::ErrorKind::AddrNotAvailable)
            || self.source.kind() == io::ErrorKind::Unsupported
            || self.source.to_string().contains("Address family not supported")
    }
}

async fn raised(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_nobody_has_is_no_missing_family() {
        let error = Listener::bind("192.0.2.7:0".parse().unwrap(), None).unwrap_err();
        assert!(error.is_absence() && !error.is_missing_family(), "{error}");
        let switched_off =
            BindError { addr: "[::1]:0".parse().unwrap(), source: io::ErrorKind::AddrNotAvailable.into() };
        assert!(switched_off.is_missing_family());
    }
}
