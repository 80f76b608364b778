//! The tables `[profiles.NAME]`: what replaces the keys of the top level while the profile fits.

use std::net::IpAddr;

use super::mistake::Problem;
use super::reader::Reader;
use super::{Profile, Routing, Upstream, no_proxy, pac, rules, upstreams, value};
use crate::address::{Host, Target};
use crate::route::profile::Conditions;

pub fn read(reader: &mut Reader<'_>, upstreams: &[Upstream], outside: &Routing) -> Vec<Profile> {
    let names = reader.layer.names("profiles");
    names.iter().map(|name| profile(reader, name, upstreams, outside)).collect()
}

fn profile(reader: &mut Reader<'_>, name: &str, upstreams: &[Upstream], outside: &Routing) -> Profile {
    if name == "auto" {
        let problem = Problem::new("\"auto\" means that a profile is chosen").hint("give it another name");
        reader.wrong(&["profiles", name], problem);
    }
    Profile { name: name.into(), when: conditions(reader, name), routing: routing(reader, name, upstreams, outside) }
}

/// Upstreams and PAC are two ways to say the same thing, so a profile that says one of them has no other.
fn routing(reader: &mut Reader<'_>, name: &str, upstreams: &[Upstream], outside: &Routing) -> Routing {
    let at = |key| ["profiles", name, key];
    let mut routing = outside.clone();
    if reader.has(&at("upstreams")) || reader.has(&at("pac")) {
        routing.upstreams = names_of(reader, &at("upstreams"), upstreams);
        routing.pac = pac::source(reader, &at("pac"));
    }
    if reader.has(&at("rules")) {
        routing.rules = rules::read(reader, &at("rules"), upstreams);
    }
    if reader.has(&at("no_proxy")) {
        routing.no_proxy = no_proxy::read(reader, &at("no_proxy"));
    }
    routing
}

fn names_of(reader: &mut Reader<'_>, path: &[&str], upstreams: &[Upstream]) -> Vec<String> {
    reader
        .list(path, |wanted| upstreams::known(wanted, upstreams).map(|upstream| upstream.name.clone()))
        .unwrap_or_default()
}

fn conditions(reader: &mut Reader<'_>, name: &str) -> Conditions {
    let at = |key| ["profiles", name, "when", key];
    Conditions {
        dns_suffix: reader.list(&at("dns_suffix"), suffix).unwrap_or_default(),
        subnet: reader.list(&at("subnet"), value::network).unwrap_or_default(),
        resolves: reader.list(&at("resolves"), resolvable).unwrap_or_default(),
        reachable: reader.list(&at("reachable"), reachable).unwrap_or_default(),
        gateway: reader.list(&at("gateway"), gateway).unwrap_or_default(),
    }
}

fn suffix(text: &str) -> Result<String, Problem> {
    let name = text.strip_prefix("*.").unwrap_or(text).trim_matches('.');
    match Host::parse(name) {
        Ok(Host::Name(name)) => Ok(name),
        Ok(Host::Ip(_)) | Err(_) => Err(Problem::new(format!("{text:?} is no DNS suffix")).hint("\"corp.example\"")),
    }
}

fn resolvable(text: &str) -> Result<String, Problem> {
    match Host::parse(text) {
        Ok(Host::Name(name)) => Ok(name),
        Ok(Host::Ip(_)) => Err(Problem::new("an address needs no resolving").hint("a name, or reachable = \"…\"")),
        Err(error) => Err(Problem::new(error).hint("a host name")),
    }
}

fn reachable(text: &str) -> Result<Target, Problem> {
    let text = text.strip_prefix("http://").unwrap_or(text);
    Target::parse(text, None).map_err(|error| Problem::new(error).hint("\"proxy.corp.example:8080\""))
}

fn gateway(text: &str) -> Result<IpAddr, Problem> {
    let address = text.parse::<IpAddr>().map(|address| address.to_canonical());
    address.map_err(|_| Problem::new(format!("{text:?} is no IP address")).hint("\"10.0.0.1\""))
}
