//! The tables `[[listeners]]`: further ways in, on loopback or for the machines behind another interface.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::mistake::Problem;
use super::reader::Reader;
use super::{Allow, Listener, admission, value};

/// The interface that nobody else can reach.
pub(super) const LOOPBACK: &str = "lo";

const INTERFACE_SUBNET: &str = "interface-subnet";

impl Listener {
    pub fn is_loopback(&self) -> bool {
        self.interface == LOOPBACK
    }

    /// On loopback, one address of each family, because `localhost` may be either. Those of other interfaces come and
    /// go.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        match self.is_loopback() {
            true => vec![(Ipv4Addr::LOCALHOST, self.port).into(), (Ipv6Addr::LOCALHOST, self.port).into()],
            false => Vec::new(),
        }
    }
}

/// `taken` are the addresses that are listened on already; those of the listeners join them.
pub fn read(reader: &mut Reader<'_>, taken: &mut Vec<SocketAddr>) -> Vec<Listener> {
    let numbers = reader.layer.names("listeners");
    numbers.iter().filter_map(|number| listener(reader, number, taken)).collect()
}

fn listener(reader: &mut Reader<'_>, number: &str, taken: &mut Vec<SocketAddr>) -> Option<Listener> {
    let at = |key| ["listeners", number, key];
    for (key, example) in [("interface", "interface = \"docker0\""), ("port", "port = 3128")] {
        if !reader.has(&at(key)) {
            reader.wrong(&at(key), Problem::new(format!("the listener has no {key}")).hint(example));
        }
    }
    let interface = reader.parsed(&at("interface"), interface);
    let port = reader.parsed(&at("port"), |text| value::number(text, 0, usize::from(u16::MAX)));
    let socks5 = reader.parsed(&at("socks5"), value::switch).unwrap_or(false);
    let token = admission::token(reader, &at("token"));
    let allow = allow(reader, &at("allow"));
    let listener = Listener { interface: interface?, port: u16::try_from(port?).ok()?, allow: allow?, token, socks5 };
    if listener.is_loopback() && listener.allow != Allow::InterfaceSubnet {
        let problem = Problem::new("loopback is for the users of this machine").hint("users in [access] says for whom");
        reader.wrong(&at("allow"), problem);
    }
    claim(reader, &at("port"), &listener.addrs(), taken);
    Some(listener)
}

fn interface(text: &str) -> Result<String, Problem> {
    match text.is_empty() || text.contains(['/', '\0']) {
        true => Err(Problem::new("this is no name of an interface").hint("\"docker0\"; `ip link` lists them")),
        false => Ok(text.into()),
    }
}

/// `None`: a mistake was noted.
fn allow(reader: &mut Reader<'_>, path: &[&str]) -> Option<Allow> {
    let Some(items) = reader.items(path) else {
        // What is there and could not be read has been reported.
        return (!reader.has(path)).then_some(Allow::InterfaceSubnet);
    };
    if items.iter().map(|(text, _)| text.as_str()).eq([INTERFACE_SUBNET]) {
        return Some(Allow::InterfaceSubnet);
    }
    if items.is_empty() {
        reader.wrong(path, Problem::new("this allows nobody").hint("\"interface-subnet\" or [\"172.17.0.0/16\"]"));
    }
    let networks = items.into_iter().map(|(text, origin)| reader.checked(path, origin, value::network(&text)));
    Some(Allow::Networks(networks.collect::<Option<_>>()?))
}

/// Each address is listened on once; port 0 is another port each time.
pub(super) fn claim(reader: &mut Reader<'_>, path: &[&str], addrs: &[SocketAddr], taken: &mut Vec<SocketAddr>) {
    if let Some(twice) = addrs.iter().find(|addr| addr.port() != 0 && taken.contains(addr)) {
        reader.wrong(path, Problem::new(format!("{twice} is listened on already")).hint("choose another port"));
    }
    taken.extend(addrs);
}
