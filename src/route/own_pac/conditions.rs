//! Patterns, networks and ports → conditions on `t`, the target as the prelude takes it apart.

use std::net::IpAddr;

use ipnet::IpNet;

use super::literal::string;
use crate::route::no_proxy;
use crate::route::pattern;
use crate::route::rules::PortRange;

/// `None` where there is nothing to hold.
pub fn any_of(conditions: impl Iterator<Item = String>) -> Option<String> {
    let list: Vec<String> = conditions.collect();
    (!list.is_empty()).then(|| format!("({})", list.join(" || ")))
}

pub fn all_of(conditions: impl IntoIterator<Item = Option<String>>) -> String {
    let list: Vec<String> = conditions.into_iter().flatten().collect();
    if list.is_empty() { "true".into() } else { list.join(" && ") }
}

pub fn host(hosts: &pattern::Hosts) -> String {
    match hosts {
        pattern::Hosts::All => "true".into(),
        pattern::Hosts::Name(name) => format!("t.host === {}", string(name)),
        pattern::Hosts::Below(name) => format!("below(t, {})", string(name)),
        pattern::Hosts::Address(ip) => network(IpNet::from(*ip)),
        pattern::Hosts::Names(like) => format!("(t.ip === null && like({}, t.host))", string(like)),
        pattern::Hosts::Addresses(like) => format!("(isV4(t) && like({}, t.host))", string(like)),
    }
}

pub fn entry(hosts: &no_proxy::Hosts) -> String {
    match hosts {
        no_proxy::Hosts::All => "true".into(),
        no_proxy::Hosts::Name(name) => format!("(t.host === {0} || below(t, {0}))", string(name)),
        no_proxy::Hosts::Like(pattern) => host(pattern.hosts()),
        no_proxy::Hosts::Plain => "(t.ip === null && t.host.indexOf(\".\") < 0)".into(),
        no_proxy::Hosts::Address(ip) => network(IpNet::from(*ip)),
        no_proxy::Hosts::Network(net) => network(*net),
        no_proxy::Hosts::Range(first, last) => {
            format!("between(t, {}, {})", bytes((*first).into()), bytes((*last).into()))
        }
    }
}

pub fn network(net: IpNet) -> String {
    format!("within(t, {}, {})", bytes(net.network()), net.prefix_len())
}

pub fn ports(range: PortRange) -> String {
    match range.ends() {
        (first, last) if first == last => format!("t.port === {first}"),
        (first, last) => format!("(t.port >= {first} && t.port <= {last})"),
    }
}

fn bytes(ip: IpAddr) -> String {
    let octets = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let list: Vec<String> = octets.iter().map(ToString::to_string).collect();
    format!("[{}]", list.join(", "))
}
