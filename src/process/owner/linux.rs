//! The owner of a socket, asked of the kernel by its exact addresses (sock_diag(7)).
//!
//! The kernel answers while it takes the question, so nothing here waits.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, send, socket_with};

use super::OwnerError;
use crate::owner::Owner;

pub(super) const SUPPORTED: bool = true;
pub(super) const WAITS: bool = false;

/// Message types and flags of linux/netlink.h and linux/sock_diag.h.
const NLMSG_ERROR: u16 = 2;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;

const IPPROTO_TCP: u8 = 6;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const ALL_STATES: u32 = u32::MAX;
const NO_COOKIE: [u8; 8] = [0xff; 8];

/// A listening socket is what the kernel finds in place of a connection that is gone.
const TCP_LISTEN: u8 = 10;

const HEADER: usize = 16;
/// `struct inet_diag_sockid`: two ports, two addresses, an interface, a cookie.
const SOCKET_ID: usize = 2 + 2 + 16 + 16 + 4 + 8;
/// `struct inet_diag_req_v2`: family, protocol, extensions, padding, states, and the socket.
const REQUEST: usize = HEADER + 8 + SOCKET_ID;
/// `struct inet_diag_msg`: family, state, timer, retransmissions, the socket, and then these.
const STATE: usize = HEADER + 1;
const UID: usize = HEADER + 4 + SOCKET_ID + 12;
const INODE: usize = UID + 4;

/// More than the answer with all its attributes.
const ROOM: usize = 4096;

/// Stale answers of interrupted questions that may stand before ours.
const MOST_STALE: usize = 16;

#[derive(Debug)]
pub(super) struct Owners(Mutex<Line>);

#[derive(Debug)]
struct Line {
    socket: OwnedFd,
    sequence: u32,
}

impl Owners {
    pub fn open() -> Result<Self, OwnerError> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(SOCK_DIAG)).map_err(failed)?;
        // To the kernel, which then is the only one that is heard.
        connect(&socket, &SocketAddrNetlink::new(0, 0)).map_err(failed)?;
        Ok(Self(Mutex::new(Line { socket, sequence: 0 })))
    }

    pub fn of(&self, from: SocketAddr, to: SocketAddr) -> Result<Owner, OwnerError> {
        let (state, uid) = self.ask(from, to)?;
        if state == TCP_LISTEN { Err(OwnerError::Gone) } else { Ok(Owner::Uid(uid)) }
    }

    pub fn of_listener(&self, addr: SocketAddr) -> Result<Owner, OwnerError> {
        let nobody: IpAddr = if addr.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let (state, uid) = self.ask(addr, SocketAddr::new(nobody, 0))?;
        if state == TCP_LISTEN { Ok(Owner::Uid(uid)) } else { Err(OwnerError::Gone) }
    }

    /// The state and the owner of the socket at `from`.
    fn ask(&self, from: SocketAddr, to: SocketAddr) -> Result<(u8, u32), OwnerError> {
        let mut line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        line.sequence = line.sequence.wrapping_add(1);
        let question = question(from, to, line.sequence);
        send(&line.socket, &question, SendFlags::empty()).map_err(failed)?;
        let mut answer = [0; ROOM];
        for _ in 0..MOST_STALE {
            let (length, _) = recv(&line.socket, &mut answer, RecvFlags::DONTWAIT).map_err(failed)?;
            if u32_at(&answer[..length], 8) == Some(line.sequence) {
                return read(&answer[..length]);
            }
        }
        Err(OwnerError::Query(io::ErrorKind::InvalidData.into()))
    }
}

fn failed(cause: Errno) -> OwnerError {
    OwnerError::Query(cause.into())
}

fn question(from: SocketAddr, to: SocketAddr, sequence: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(REQUEST);
    let length = u32::try_from(REQUEST).unwrap_or_default();
    bytes.extend(length.to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    let family = if from.is_ipv4() { AF_INET } else { AF_INET6 };
    bytes.extend([family, IPPROTO_TCP, 0, 0]);
    bytes.extend(ALL_STATES.to_ne_bytes());
    bytes.extend(from.port().to_be_bytes());
    bytes.extend(to.port().to_be_bytes());
    bytes.extend(address(from.ip()));
    bytes.extend(address(to.ip()));
    bytes.extend([0; 4]);
    bytes.extend(NO_COOKIE);
    bytes
}

/// In the order of the network, at the beginning of four words.
fn address(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => {
            let mut words = [0; 16];
            words[..4].copy_from_slice(&ip.octets());
            words
        }
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// A socket that its process has closed lives on for a while, and then the kernel says that root owns it: only one
/// that still has an inode has an owner.
fn read(answer: &[u8]) -> Result<(u8, u32), OwnerError> {
    let unreadable = || OwnerError::Query(io::ErrorKind::InvalidData.into());
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    match kind.ok_or_else(unreadable)? {
        NLMSG_ERROR => {
            let code = u32_at(answer, HEADER).ok_or_else(unreadable)?.cast_signed();
            match Errno::from_raw_os_error(code.wrapping_neg()) {
                Errno::NOENT => Err(OwnerError::Gone),
                cause => Err(failed(cause)),
            }
        }
        SOCK_DIAG_BY_FAMILY => {
            let uid = u32_at(answer, UID).ok_or_else(unreadable)?;
            let state = answer.get(STATE).copied().ok_or_else(unreadable)?;
            match u32_at(answer, INODE).ok_or_else(unreadable)? {
                0 => Err(OwnerError::Gone),
                _ => Ok((state, uid)),
            }
        }
        _ => Err(unreadable()),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use super::super::{OwnerError, Owners};
    use crate::owner::Owner;

    fn ourselves() -> Owner {
        Owner::Uid(rustix::process::geteuid().as_raw())
    }

    #[test]
    fn the_owner_of_a_connection_is_told_in_either_family() {
        let owners = Owners::open().unwrap();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let to = listener.local_addr().unwrap();
            let client = TcpStream::connect(to).unwrap();
            assert_eq!(owners.of(client.local_addr().unwrap(), to).unwrap(), ourselves(), "{address}");
        }
    }

    #[test]
    fn a_client_that_dressed_ipv4_as_ipv6_is_found() {
        let owners = Owners::open().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), to.port())).unwrap();
        let from = client.local_addr().unwrap();
        assert!(from.is_ipv6(), "{from}");
        assert_eq!(owners.of(from, to).unwrap(), ourselves());
        let mapped = (Ipv4Addr::LOCALHOST.to_ipv6_mapped(), to.port()).into();
        assert_eq!(owners.of(from, mapped).unwrap(), ourselves());
    }

    /// The kernel says of such a socket that it is root's.
    #[test]
    fn a_connection_that_its_process_closed_is_nobodys() {
        let owners = Owners::open().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let client = TcpStream::connect(to).unwrap();
        let from = client.local_addr().unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        drop(client);
        assert_eq!(accepted.read(&mut [0]).unwrap(), 0, "its end has come");
        let owner = owners.of(from, to);
        assert!(matches!(owner, Err(OwnerError::Gone)), "{owner:?}");
    }

    /// The kernel finds the socket that listens there, and that one may be anybody's.
    #[test]
    fn a_listening_socket_is_not_taken_for_a_connection() {
        let owners = Owners::open().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let owner = owners.of(listener.local_addr().unwrap(), "127.0.0.1:9".parse().unwrap());
        assert!(matches!(owner, Err(OwnerError::Gone)), "{owner:?}");
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            let reached = if address.starts_with('[') { format!("[::1]:{port}") } else { format!("127.0.0.1:{port}") };
            assert_eq!(owners.of_listener(reached.parse().unwrap()).unwrap(), ourselves(), "{address}");
        }
        let owner = owners.of_listener("127.0.0.1:1".parse().unwrap());
        assert!(matches!(owner, Err(OwnerError::Gone)), "{owner:?}");
        let owner = owners.of("127.0.0.1:1".parse().unwrap(), "127.0.0.1:9".parse().unwrap());
        assert!(matches!(owner, Err(OwnerError::Gone)), "{owner:?}");
    }

    #[test]
    fn a_question_takes_microseconds_however_many_connections_there_are() {
        const QUESTIONS: u32 = 2000;
        let owners = Owners::open().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let clients: Vec<_> = (0..100).map(|_| (TcpStream::connect(to).unwrap(), listener.accept().unwrap())).collect();
        let from = clients[50].0.local_addr().unwrap();
        let began = Instant::now();
        for _ in 0..QUESTIONS {
            assert_eq!(owners.of(from, to).unwrap(), ourselves());
        }
        let each = began.elapsed() / QUESTIONS;
        println!("{each:?} a question");
        assert!(each < Duration::from_micros(500), "{each:?}");
    }
}
