//! Sockets that were open before we were: the manager of services listens, and hands them over when it starts us.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(not(any(target_os = "linux", target_os = "macos")), path = "other.rs")]
mod imp;

use std::io;
use std::net::SocketAddr;

use socket2::{Socket, Type};
use thiserror::Error;

use super::Listener;

#[derive(Debug, Error)]
pub enum InheritError {
    #[error("what is handed over as {name:?} is no TCP socket that listens: ListenStream=127.0.0.1:3128 and Accept=no")]
    Unfit { name: String },
    #[error("what is handed over as {name:?} cannot be used")]
    Unusable {
        name: String,
        #[source]
        cause: io::Error,
    },
}

/// They stay open as long as the process lives, because the manager keeps them open as well: whoever connects to one that
/// a reload has left would wait for nothing, and one that a reload comes back to is still there.
#[derive(Debug, Default)]
pub struct Inherited(Vec<(SocketAddr, Socket)>);

impl Inherited {
    /// To be called once: what is handed over belongs to whoever asks first.
    pub fn of_process() -> Result<Self, InheritError> {
        let handed = imp::handed_over()?;
        handed.into_iter().map(|(name, socket)| fit(name, socket)).collect::<Result<_, _>>().map(Self)
    }

    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.0.iter().map(|(addr, _)| *addr).collect()
    }

    /// The socket at exactly this address, if there is one.
    pub fn listener(&self, addr: SocketAddr) -> Option<io::Result<Listener>> {
        let (addr, socket) = self.0.iter().find(|(at, _)| *at == addr)?;
        Some(socket.try_clone().and_then(|socket| Listener::of(socket, *addr)))
    }
}

fn fit(name: String, socket: Socket) -> Result<(SocketAddr, Socket), InheritError> {
    let unfit = || InheritError::Unfit { name: name.clone() };
    let of_streams = socket.r#type().is_ok_and(|kind| kind == Type::STREAM);
    let addr = socket.local_addr().ok().and_then(|addr| addr.as_socket());
    let listens = of_streams && imp::listens(&socket);
    let addr = addr.filter(|_| listens).ok_or_else(unfit)?;
    let prepared = socket.set_nonblocking(true);
    prepared.map_err(|cause| InheritError::Unusable { name, cause })?;
    Ok((addr, socket))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};

    use socket2::{Domain, Protocol};

    use super::*;

    #[tokio::test]
    async fn a_socket_that_listens_is_ours_as_often_as_we_ask() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        let inherited = Inherited(vec![fit("x".into(), socket.into()).unwrap()]);
        assert_eq!(inherited.addrs(), [addr]);
        for _ in 0..2 {
            let listener = inherited.listener(addr).unwrap().unwrap();
            assert_eq!(listener.addr(), addr);
            drop(listener);
            TcpStream::connect(addr).unwrap();
        }
        assert!(inherited.listener((Ipv4Addr::LOCALHOST, 1).into()).is_none());
    }

    #[test]
    fn what_no_client_can_come_by_is_refused() {
        let listens_not = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap().into();
        for socket in [listens_not, datagrams] {
            let error = fit("web".into(), socket).unwrap_err();
            assert!(error.to_string().contains("\"web\" is no TCP socket that listens"), "{error}");
        }
    }
}
