//! The network at one moment, and what can be judged by it: whether we are where a profile belongs.

use std::net::IpAddr;

use if_addrs::IfOperStatus;
use ipnet::IpNet;

use super::imp;
use crate::address::is_local_ip;

/// What was there when somebody looked. Two that are equal leave no reason to do anything anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// Those that carry traffic and have an address that others see.
    pub interfaces: Vec<Interface>,
    /// Of the default routes, the preferred one first.
    pub gateways: Vec<IpAddr>,
    /// What is appended to short names, lower-case and without dots at the ends.
    pub dns_suffixes: Vec<String>,
    /// Differs when another route differs, such as those of a split tunnel; zero where the system lists none.
    pub routes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    /// Each with the prefix of its network.
    pub addresses: Vec<IpNet>,
}

/// What a platform says beyond the addresses.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    pub gateways: Vec<IpAddr>,
    pub dns_suffixes: Vec<String>,
    pub routes: u64,
}

/// Looks now. It reads lists of the system and waits for nobody.
pub fn snapshot() -> Network {
    let Surroundings { gateways, dns_suffixes, routes } = imp::surroundings();
    let mut network = Network { interfaces: Vec::new(), gateways, dns_suffixes: Vec::new(), routes };
    for suffix in dns_suffixes.iter().filter_map(|suffix| as_suffix(suffix)) {
        if !network.dns_suffixes.contains(&suffix) {
            network.dns_suffixes.push(suffix);
        }
    }
    match if_addrs::get_if_addrs() {
        Ok(list) => list.into_iter().filter(|found| found.oper_status == IfOperStatus::Up).for_each(|found| {
            let prefix = match &found.addr {
                if_addrs::IfAddr::V4(address) => address.prefixlen,
                if_addrs::IfAddr::V6(address) => address.prefixlen,
            };
            network.add(&found.name, found.ip(), prefix);
        }),
        Err(cause) => tracing::warn!(%cause, "the addresses of this machine cannot be listed"),
    }
    network
}

/// `None` for the root, which is no suffix.
fn as_suffix(text: &str) -> Option<String> {
    let name = text.trim().trim_matches('.').to_ascii_lowercase();
    (!name.is_empty()).then_some(name)
}

impl Network {
    /// Loopback and link-local are left out: containers come and go with the latter, and nothing else changes.
    fn add(&mut self, interface: &str, ip: IpAddr, prefix: u8) {
        let Ok(address) = IpNet::new(ip, prefix) else { return };
        if is_local_ip(ip) {
            return;
        }
        match self.interfaces.iter_mut().find(|known| known.name == interface) {
            Some(known) => known.addresses.push(address),
            None => self.interfaces.push(Interface { name: interface.into(), addresses: vec![address] }),
        }
    }

    pub fn addresses(&self) -> impl Iterator<Item = &IpNet> {
        self.interfaces.iter().flat_map(|interface| &interface.addresses)
    }

    /// Nobody but this machine can be reached.
    pub fn is_offline(&self) -> bool {
        self.interfaces.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn office() -> Network {
        let mut network = Network {
            gateways: vec!["10.1.0.1".parse().unwrap(), "fe80::1".parse().unwrap()],
            dns_suffixes: vec!["emea.corp.example".into()],
            ..Network::default()
        };
        network.add("lo", "127.0.0.1".parse().unwrap(), 8);
        network.add("eth0", "fe80::2".parse().unwrap(), 64);
        network.add("eth0", "10.1.2.3".parse().unwrap(), 16);
        network.add("eth0", "2001:db8::2".parse().unwrap(), 64);
        network
    }

    #[test]
    fn a_machine_with_nothing_but_loopback_and_link_local_is_offline() {
        let mut network = Network::default();
        network.add("lo", "127.0.0.1".parse().unwrap(), 8);
        network.add("lo", "::1".parse().unwrap(), 128);
        network.add("eth0", "169.254.7.7".parse().unwrap(), 16);
        network.add("eth0", "fe80::2".parse().unwrap(), 64);
        assert!(network.is_offline());
        assert!(!office().is_offline());
    }

    #[test]
    fn looking_twice_at_a_network_at_rest_shows_the_same() {
        assert_eq!(snapshot(), snapshot());
    }
}
