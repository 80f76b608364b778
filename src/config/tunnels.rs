//! The tables `[[tunnels]]`: local ports that always lead to one target.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::listeners::claim;
use super::mistake::Problem;
use super::reader::Reader;
use super::{Tunnel, admission, upstreams, value};
use crate::address::Target;

/// `taken` are the addresses that are listened on already; those of the tunnels join them.
/// Those of `allow` may come by addresses beyond loopback.
pub fn read(reader: &mut Reader<'_>, allow: &[IpNet], taken: &mut Vec<SocketAddr>) -> Vec<Tunnel> {
    let numbers = reader.layer.names("tunnels");
    let read: Vec<_> = numbers.iter().map(|number| (number, tunnel(reader, number, allow, taken))).collect();
    for (number, tunnel) in &read {
        if let Some(tunnel) = tunnel {
            check_loop(reader, number, tunnel, taken);
        }
    }
    read.into_iter().filter_map(|(_, tunnel)| tunnel).collect()
}

fn tunnel(reader: &mut Reader<'_>, number: &str, allow: &[IpNet], taken: &mut Vec<SocketAddr>) -> Option<Tunnel> {
    let at = |key| ["tunnels", number, key];
    for (key, example) in [("listen", "listen = \"127.0.0.1:2222\""), ("target", "target = \"git.example.com:22\"")] {
        if !reader.has(&at(key)) {
            reader.wrong(&at(key), Problem::new(format!("the tunnel has no {key}")).hint(example));
        }
    }
    let listen = reader.parsed(&at("listen"), value::listen);
    let target = reader.parsed(&at("target"), target);
    if let Some(listen) = &listen {
        for problem in listen.iter().filter_map(|addr| admission::reach(addr, allow).err()) {
            reader.wrong(&at("listen"), problem);
        }
        claim(reader, &at("listen"), listen, taken);
    }
    Some(Tunnel { listen: listen?, target: target? })
}

fn target(text: &str) -> Result<Target, Problem> {
    Target::parse(text, None).map_err(|error| Problem::new(error).hint("\"git.example.com:22\""))
}

fn check_loop(reader: &mut Reader<'_>, number: &str, tunnel: &Tunnel, taken: &[SocketAddr]) {
    if taken.iter().any(|own| upstreams::is_own(&tunnel.target, *own)) {
        let problem = Problem::new(format!("{} is hallpass itself", tunnel.target));
        reader.wrong(&["tunnels", number, "target"], problem.hint("name a host behind the corporate proxy"));
    }
}
