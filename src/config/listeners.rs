//! The tables `[[listeners]]`: further ports on which programs find the relay.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::mistake::Problem;
use super::reader::Reader;
use super::{Listener, value};

/// This version knows one interface: the one that nobody else can reach.
pub(super) const LOOPBACK: &str = "lo";

impl Listener {
    /// One address of each family, because `localhost` may be either.
    pub fn addrs(&self) -> [SocketAddr; 2] {
        [(Ipv4Addr::LOCALHOST, self.port).into(), (Ipv6Addr::LOCALHOST, self.port).into()]
    }
}

/// `taken` are the addresses that are listened on already; those of the listeners join them.
pub fn read(reader: &mut Reader<'_>, taken: &mut Vec<SocketAddr>) -> Vec<Listener> {
    let numbers = reader.layer.names("listeners");
    numbers.iter().filter_map(|number| listener(reader, number, taken)).collect()
}

fn listener(reader: &mut Reader<'_>, number: &str, taken: &mut Vec<SocketAddr>) -> Option<Listener> {
    let at = |key| ["listeners", number, key];
    for (key, example) in [("interface", "interface = \"lo\""), ("port", "port = 1080")] {
        if !reader.has(&at(key)) {
            reader.wrong(&at(key), Problem::new(format!("the listener has no {key}")).hint(example));
        }
    }
    let interface = reader.parsed(&at("interface"), interface);
    let port = reader.parsed(&at("port"), |text| value::number(text, 0, usize::from(u16::MAX)));
    let socks5 = reader.parsed(&at("socks5"), value::switch).unwrap_or(false);
    interface?;
    let listener = Listener { port: u16::try_from(port?).ok()?, socks5 };
    claim(reader, &at("port"), &listener.addrs(), taken);
    Some(listener)
}

fn interface(text: &str) -> Result<(), Problem> {
    match text {
        LOOPBACK => Ok(()),
        _ => Err(Problem::new(format!("interface = {text:?} is not supported by this version")).hint("\"lo\"")),
    }
}

/// Each address is listened on once; port 0 is another port each time.
pub(super) fn claim(reader: &mut Reader<'_>, path: &[&str], addrs: &[SocketAddr], taken: &mut Vec<SocketAddr>) {
    if let Some(twice) = addrs.iter().find(|addr| addr.port() != 0 && taken.contains(addr)) {
        reader.wrong(path, Problem::new(format!("{twice} is listened on already")).hint("choose another port"));
    }
    taken.extend(addrs);
}
