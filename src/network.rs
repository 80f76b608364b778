//! What this machine's network is: which addresses are its own.

use std::net::{IpAddr, UdpSocket};

/// Whether an interface of this machine has the address. Binding answers it on every system, without a list
/// that could be out of date.
pub fn is_own_address(ip: IpAddr) -> bool {
    !ip.is_multicast() && UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_own_and_a_documentation_address_is_not() {
        assert!(is_own_address("127.0.0.1".parse().unwrap()));
        assert!(!is_own_address("192.0.2.1".parse().unwrap()));
    }
}
