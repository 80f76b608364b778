//! Interfaces by their names, whether they carry traffic or not: what can be listened on.

use ipnet::IpNet;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub name: String,
    /// The system's number for it.
    pub index: Option<u32>,
    /// Each with the prefix of its network.
    pub addresses: Vec<IpNet>,
}

/// Those that have an address now. Reads a list of the system and waits for nobody.
pub fn links() -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    let found = if_addrs::get_if_addrs().unwrap_or_else(|cause| {
        tracing::warn!(%cause, "the addresses of this machine cannot be listed");
        Vec::new()
    });
    for found in found {
        let prefix = match &found.addr {
            if_addrs::IfAddr::V4(address) => address.prefixlen,
            if_addrs::IfAddr::V6(address) => address.prefixlen,
        };
        let Ok(address) = IpNet::new(found.ip(), prefix) else { continue };
        match links.iter_mut().find(|link| link.name == found.name) {
            Some(link) => link.addresses.push(address),
            None => links.push(Link { name: found.name, index: found.index, addresses: vec![address] }),
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_an_interface_with_its_whole_network() {
        let links = links();
        let loopback = links.iter().find(|link| link.addresses.iter().any(|address| address.addr().is_loopback()));
        assert!(loopback.unwrap().addresses.contains(&"127.0.0.1/8".parse().unwrap()), "{links:?}");
    }
}
