//! Addresses and networks as the tools write them.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net, Ipv4Subnets};

use crate::route::network::parse_network;

/// `192.0.2.1`, `192.168.0.*`, `192.168.0.1-192.168.0.255`, `192.168.0.0/24`, `10/8`: the networks that cover just that.
pub fn networks(text: &str) -> Option<Vec<IpNet>> {
    if let Some((first, last)) = text.split_once('-') {
        let (first, last): (Ipv4Addr, Ipv4Addr) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        return (first <= last).then(|| Ipv4Subnets::new(first, last, 0).map(IpNet::V4).collect());
    }
    if text.contains('*') {
        return stars(text).map(|network| vec![IpNet::V4(network)]);
    }
    parse_network(text).or_else(|| short(text)).map(|network| vec![network])
}

/// Who else may come, of a list of those who may; nobody, if that list names everybody or just this machine: nothing then
/// says whom the user means.
pub fn outsiders<'a>(allowed: impl Iterator<Item = &'a str>) -> Vec<String> {
    let allowed: Vec<IpNet> = allowed.filter_map(networks).flatten().collect();
    if is_everything(&allowed) {
        return Vec::new();
    }
    allowed.iter().filter(|network| !network.addr().is_loopback()).map(ToString::to_string).collect()
}

/// Everybody.
pub fn is_everything(networks: &[IpNet]) -> bool {
    networks.iter().any(|network| network.prefix_len() == 0)
}

pub fn is_loopback(networks: &[IpNet]) -> bool {
    networks.iter().all(|network| network.addr().is_loopback())
}

/// `192.168.*` and `192.168.*.*` are `192.168.0.0/16`; a number behind a star is no network.
fn stars(text: &str) -> Option<Ipv4Net> {
    let parts: Vec<&str> = text.split('.').collect();
    let known = parts.iter().take_while(|part| **part != "*").count();
    let rest_is_open = parts[known..].iter().all(|part| *part == "*");
    if parts.len() > 4 || !rest_is_open {
        return None;
    }
    let mut octets = [0; 4];
    for (octet, part) in octets.iter_mut().zip(&parts[..known]) {
        *octet = part.parse().ok()?;
    }
    Ipv4Net::new(Ipv4Addr::from(octets), u8::try_from(known * 8).ok()?).ok()
}

/// `0/0` and `10/8`: the numbers that are left out are 0.
fn short(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    let parts: Vec<u8> = address.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let mut octets = [0; 4];
    octets.get_mut(..parts.len())?.copy_from_slice(&parts);
    let network = Ipv4Net::new(Ipv4Addr::from(octets), length.parse().ok()?).ok()?;
    Some(IpNet::V4(network.trunc()))
}

/// The host and the port of `[HOST:]PORT`, IPv6 in brackets.
pub fn host_and_port(text: &str) -> Option<(Option<IpAddr>, u16)> {
    match text.rsplit_once(':') {
        None => Some((None, text.trim().parse().ok()?)),
        Some((host, port)) => {
            let host = host.trim().trim_start_matches('[').trim_end_matches(']');
            let ip = match host {
                "localhost" | "" | "*" => None,
                host => Some(host.parse().ok()?),
            };
            Some((ip, port.trim().parse().ok()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_in_every_spelling_of_the_tools() {
        for (text, shown) in [
            ("127.0.0.1", "127.0.0.1/32"),
            ("192.168.0.*", "192.168.0.0/24"),
            ("192.168.*", "192.168.0.0/16"),
            ("*.*.*.*", "0.0.0.0/0"),
            ("*", "0.0.0.0/0"),
            ("192.168.0.1/24", "192.168.0.0/24"),
            ("0/0", "0.0.0.0/0"),
            ("10/8", "10.0.0.0/8"),
            ("192.168.0.0-192.168.0.255", "192.168.0.0/24"),
            ("192.168.0.1-192.168.0.3", "192.168.0.1/32 192.168.0.2/31"),
        ] {
            let found: Vec<String> = networks(text).unwrap().iter().map(ToString::to_string).collect();
            assert_eq!(found.join(" "), shown, "{text}");
        }
        for text in ["", "host", "192.*.1.1", "1.2.3.4.5/8", "10/33", "192.168.0.9-192.168.0.1", "300.*"] {
            assert_eq!(networks(text), None, "{text}");
        }
    }

    #[test]
    fn a_port_may_have_an_address_before_it() {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        for (text, found) in [
            ("3128", Some((None, 3128))),
            ("127.0.0.1:3128", Some((Some(loopback), 3128))),
            ("[::1]:80", Some((Some(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])), 80))),
            ("localhost:1", Some((None, 1))),
            ("70000", None),
            ("host:1", None),
        ] {
            assert_eq!(host_and_port(text), found, "{text}");
        }
    }
}
