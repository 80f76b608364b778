//! Whether a VPN is up, and whether the way to the upstreams leads through it. No fault, but often what explains one.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Case, Check, Finding, Stage};
use crate::address::{Host, Target, is_local_ip};
use crate::network::{Link, links, source_for};
use crate::resolver;
use crate::route::Hop;

/// What VPN clients call their adapters.
const PREFIXES: [&str; 15] = [
    "tun",
    "tap",
    "wg",
    "ppp",
    "utun",
    "ipsec",
    "vti",
    "gpd",
    "cscotun",
    "nordlynx",
    "tailscale",
    "zt",
    "proton",
    "mullvad",
    "l2tp",
];

/// What stands in the names that Windows shows.
const WORDS: [&str; 8] =
    ["vpn", "wireguard", "anyconnect", "globalprotect", "fortinet", "pulse secure", "wintun", "tap-windows"];

pub(super) fn check(case: &Arc<Case>) -> Check {
    let upstreams = upstreams(case);
    Check::new(Stage::Surroundings, "VPN", super::LENIENCE, async move {
        // Resolving may block.
        let found = tokio::task::spawn_blocking(move || finding(&adapters(&links()), &ways(&upstreams))).await;
        found.unwrap_or_else(|_| Finding::skipped("the adapters of this machine could not be looked at"))
    })
}

/// An upstream, and the address of ours that it is reached by.
type Way = (Target, Option<IpAddr>);

fn upstreams(case: &Case) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    let hops = case.wants.iter().flat_map(|want| &want.decision.hops);
    for hop in hops {
        match hop {
            Hop::Upstream(endpoint) if !targets.contains(&endpoint.target) => targets.push(endpoint.target.clone()),
            Hop::Upstream(_) | Hop::Direct => {}
        }
    }
    targets
}

fn ways(upstreams: &[Target]) -> Vec<Way> {
    let source = |target: &Target| {
        let addresses = match &target.host {
            Host::Ip(ip) => vec![*ip],
            Host::Name(name) => resolver::addresses(name),
        };
        addresses.into_iter().find_map(source_for)
    };
    upstreams.iter().map(|target| (target.clone(), source(target))).collect()
}

fn adapters(links: &[Link]) -> Vec<&Link> {
    links.iter().filter(|link| is_of_vpn(link)).collect()
}

/// By its name; macOS has such adapters for purposes of its own, which have no address that leads anywhere.
fn is_of_vpn(link: &Link) -> bool {
    let name = link.name.to_lowercase();
    let has_prefix = PREFIXES.iter().any(|prefix| {
        name.strip_prefix(prefix).is_some_and(|rest| rest.chars().next().is_none_or(|c| !c.is_ascii_alphabetic()))
    });
    (has_prefix || WORDS.iter().any(|word| name.contains(word)))
        && link.addresses.iter().any(|address| !is_local_ip(address.addr()))
}

fn finding(adapters: &[&Link], ways: &[Way]) -> Finding {
    if adapters.is_empty() {
        return Finding::fine("no VPN adapter is up");
    }
    let names: Vec<&str> = adapters.iter().map(|link| link.name.as_str()).collect();
    let by = |source: &Option<IpAddr>| {
        let has = |link: &&&Link| link.addresses.iter().any(|address| Some(address.addr()) == *source);
        adapters.iter().find(has).map(|link| link.name.clone())
    };
    let lines = ways.iter().map(|(target, source)| match (by(source), source) {
        (Some(adapter), _) => format!("{target} is reached through {adapter}"),
        (None, Some(_)) => format!("{target} is reached beside the VPN"),
        (None, None) => format!("there is no way to {target} at the moment"),
    });
    Finding::fine(format!("a VPN adapter is up: {}", names.join(", "))).details(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(name: &str, address: &str) -> Link {
        Link { name: name.into(), index: None, addresses: vec![address.parse().unwrap()] }
    }

    #[test]
    fn adapters_of_vpns_are_known_by_their_names_and_addresses() {
        for (name, address, is_one) in [
            ("tun0", "10.8.0.2/24", true),
            ("wg-corp", "10.8.0.2/24", true),
            ("ppp0", "10.8.0.2/32", true),
            ("utun3", "fe80::1/64", false),
            ("utun4", "100.64.0.7/32", true),
            ("GlobalProtect Virtual Ethernet Adapter", "10.8.0.2/24", true),
            ("eth0", "192.0.2.7/24", false),
            ("tunnels", "10.8.0.2/24", false),
            ("lo", "127.0.0.1/8", false),
            ("docker0", "172.17.0.1/16", false),
        ] {
            assert_eq!(is_of_vpn(&link(name, address)), is_one, "{name}");
        }
    }

    #[test]
    fn which_way_an_upstream_is_reached_is_told() {
        let tun = link("tun0", "10.8.0.2/24");
        let target = |text: &str| Target::parse(text, None).unwrap();
        let ways = [
            (target("proxy.test:8080"), Some("10.8.0.2".parse().unwrap())),
            (target("other.test:8080"), Some("192.0.2.7".parse().unwrap())),
            (target("far.test:8080"), None),
        ];
        let finding = finding(&[&tun], &ways);
        assert_eq!(finding.says, "a VPN adapter is up: tun0");
        assert_eq!(
            finding.details,
            [
                "proxy.test:8080 is reached through tun0",
                "other.test:8080 is reached beside the VPN",
                "there is no way to far.test:8080 at the moment"
            ]
        );
    }
}
