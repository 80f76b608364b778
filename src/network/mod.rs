//! What this machine's network is: its addresses, the ways out of it, and when that changes.

mod link;
mod slept;
mod snapshot;
mod watch;

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod imp;

pub use link::{Link, links};
pub use snapshot::{Interface, Network, snapshot};
pub use watch::{Change, Watch};

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::address::is_local_ip;

/// Where browsers point a socket to learn by which address the Internet, then a private network is reached.
const FAR_AWAY: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888)),
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)),
    IpAddr::V4(Ipv4Addr::new(172, 16, 0, 0)),
    IpAddr::V4(Ipv4Addr::new(192, 168, 0, 0)),
    IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)),
];

/// Any port will do: nothing is sent to it.
const ANY_PORT: u16 = 80;

/// Whether an interface of this machine has the address. Binding answers it on every system, without a list
/// that could be out of date.
pub fn is_own_address(ip: IpAddr) -> bool {
    !ip.is_multicast() && may_be_own(UdpSocket::bind((ip, 0)).map(drop))
}

/// Somebody may take all ports or descriptors to hinder the question: only a clear no is one, as others come by
/// addresses that are not ours, and may not go to those that are. What is nothing without its link is no address.
fn may_be_own(bound: io::Result<()>) -> bool {
    !bound.is_err_and(|error| matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::InvalidInput))
}

/// Where to connect to whoever listens there: who listens everywhere is found on loopback, and not every system leads to
/// itself whoever asks for 0.0.0.0.
pub fn found_at(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listening.port())
}

/// Whether an address that this machine had is gone. What else hinders binding, such as too many open files or an
/// address that is nothing without its link, says nothing about that.
pub fn is_gone(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable)
}

/// The addresses that others see us by, the one of the default route first: a PAC script's `myIpAddress`.
pub fn my_addresses() -> Vec<IpAddr> {
    let listed = snapshot().addresses().map(|address| address.addr()).collect::<Vec<_>>();
    let mut found = Vec::new();
    for ip in FAR_AWAY.into_iter().filter_map(source_for).chain(listed) {
        if !is_local_ip(ip) && !found.contains(&ip) {
            found.push(ip);
        }
    }
    found
}

/// The address a datagram would leave with. Connecting a UDP socket asks the routing table and sends nothing.
pub fn source_for(far: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match far {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((far, ANY_PORT)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_own_and_a_documentation_address_is_not() {
        assert!(is_own_address("127.0.0.1".parse().unwrap()));
        assert!(!is_own_address("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn an_address_that_cannot_be_asked_about_counts_as_own() {
        // All ports of an address may be taken, and all descriptors.
        for kind in [io::ErrorKind::AddrInUse, io::ErrorKind::PermissionDenied, io::ErrorKind::Other] {
            assert!(may_be_own(Err(kind.into())), "{kind}");
        }
        assert!(!may_be_own(Err(io::ErrorKind::AddrNotAvailable.into())));
        assert!(!is_own_address("fe80::1".parse().unwrap()), "nothing without its link");
    }

    #[test]
    fn who_listens_everywhere_is_found_on_loopback() {
        for (listening, found) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("192.0.2.1:1", "192.0.2.1:1")]
        {
            assert_eq!(found_at(listening.parse().unwrap()), found.parse().unwrap());
        }
    }

    #[test]
    fn only_an_address_that_no_interface_has_is_gone() {
        for (ip, gone) in [("127.0.0.1", false), ("192.0.2.1", true), ("fe80::1", false)] {
            assert_eq!(is_gone(ip.parse().unwrap()), gone, "{ip}");
        }
    }

    #[test]
    fn a_datagram_to_loopback_leaves_from_loopback() {
        let loopback: IpAddr = Ipv4Addr::LOCALHOST.into();
        assert_eq!(source_for(loopback), Some(loopback));
        assert!(!my_addresses().contains(&loopback), "others do not see us by it");
    }
}
