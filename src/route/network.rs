//! Networks as people write them.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// `10.0.0.0/8`, `fd00::/8`, `[fd00::]/8`; a single address is the network that holds it alone.
pub fn parse_network(text: &str) -> Option<IpNet> {
    let bare = text.replace(['[', ']'], "");
    let network = match bare.contains('/') {
        true => bare.parse().ok()?,
        false => IpNet::from(bare.parse::<IpAddr>().ok()?),
    };
    Some(unmapped(network).trunc())
}

/// `::ffff:10.0.0.0/104` is `10.0.0.0/8`, because targets are compared in their IPv4 form.
fn unmapped(network: IpNet) -> IpNet {
    match (network, network.addr().to_canonical()) {
        (IpNet::V6(v6), IpAddr::V4(ip)) if v6.prefix_len() >= 96 => {
            Ipv4Net::new(ip, v6.prefix_len() - 96).map_or(network, IpNet::V4)
        }
        _ => network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_read_in_every_spelling() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("fd00::/8", "fd00::/8"),
            ("[fd00::1]/8", "fd00::/8"),
            ("[::1]", "::1/128"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.0.0.1", "10.0.0.1/32"),
        ] {
            assert_eq!(parse_network(text).map(|network| network.to_string()).as_deref(), Some(shown), "{text}");
        }
    }

    #[test]
    fn what_is_no_network_is_none() {
        for text in ["", "10.0.0.0/33", "10.0.0/8", "example.com/8", "fd00::/129", "10.0.0.0/", "/8", "10.0.0.0/8/8"] {
            assert_eq!(parse_network(text), None, "{text}");
        }
    }
}
