//! The relay that runs, as other commands find it and ask it.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::anyhow;
use ipnet::IpNet;

use super::flags::Flags;
use crate::config::{self, Listener, Origin};
use crate::http1::{Body, ReadError, ResponseHead, Wire};
use crate::network::{self, Link};
use crate::owner::Owner;
use crate::process::{Owners, account, run_directories, running_relays};
use crate::service;

const MAX_HEAD: usize = 256 * 1024;

/// The bridge of containers that were given no network of their own.
const DOCKERS: &str = "docker0";

/// A relay is on this machine and answers at once; what does not is none, or hangs.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where the configuration says, or else where one says itself.
pub fn find(flags: &Flags) -> anyhow::Result<TcpStream> {
    let places = places(flags)?;
    if let Some((_, stream)) = open(&places.addrs)? {
        return Ok(stream);
    }
    let tried: Vec<String> = places.addrs.iter().map(ToString::to_string).collect();
    let tried = if tried.is_empty() { "its port is not known".into() } else { tried.join(", ") };
    Err(anyhow!("no relay is running ({tried}): start one with hallpass serve"))
}

/// What other programs are told.
pub struct Address {
    pub relay: SocketAddr,
    /// Where containers of this machine find it.
    pub for_containers: Option<SocketAddr>,
    pub runs: bool,
}

/// Of the relay that runs, or of the one that is configured.
pub fn address(flags: &Flags) -> anyhow::Result<Address> {
    let places = places(flags)?;
    let running = open(&places.addrs)?.map(|(addr, _)| addr);
    let first = running.or(places.addrs.first().copied());
    let relay =
        first.ok_or_else(|| anyhow!("the relay's port is not known before it runs: start it with hallpass serve"))?;
    let for_containers = places.addrs.iter().copied().find(|addr| {
        let ip = addr.ip();
        !ip.is_loopback() && !ip.is_unspecified() && places.ports.contains(&addr.port())
    });
    let for_containers = for_containers.or_else(|| on_an_interface(&places.listeners, &network::links()));
    Ok(Address { relay: network::found_at(relay), for_containers, runs: running.is_some() })
}

/// An address by which HTTP programs beyond loopback come. The relay binds interfaces as they appear, so what it
/// said at its start does not have them.
fn on_an_interface(listeners: &[Listener], links: &[Link]) -> Option<SocketAddr> {
    let mut listeners: Vec<&Listener> = listeners.iter().filter(|one| !one.is_loopback() && !one.socks5).collect();
    // Bound to its interface, a listener of another one is out of reach for containers of the usual network.
    listeners.sort_by_key(|one| one.interface != DOCKERS);
    let mut addrs = listeners.into_iter().flat_map(|one| {
        let links = links.iter().filter(|link| link.name == one.interface);
        let ips = links.flat_map(|link| link.addresses.iter().map(IpNet::addr)).filter(IpAddr::is_ipv4);
        ips.map(|ip| SocketAddr::new(ip, one.port))
    });
    addrs.next()
}

struct Places {
    /// In the order in which they are tried.
    addrs: Vec<SocketAddr>,
    /// On which HTTP is spoken.
    ports: Vec<u16>,
    listeners: Vec<Listener>,
}

fn places(flags: &Flags) -> anyhow::Result<Places> {
    let loaded = config::load(&flags.inputs())?;
    let listen = &loaded.config.listen;
    let mut addrs: Vec<SocketAddr> = listen.iter().filter(|addr| addr.port() != 0).copied().collect();
    // Who names an address means that one.
    let is_named = matches!(loaded.origin(&["listen"]), Origin::Flag(_)) && !addrs.is_empty();
    if !is_named {
        let directories = run_directories(&|name| std::env::var(name).ok());
        addrs.extend(
            directories.iter().chain(&service::run_of_machine()).flat_map(|directory| running_relays(directory)),
        );
    }
    let ports = addrs.iter().take(listen.len()).map(SocketAddr::port);
    let ports = ports.chain(loaded.config.listeners.iter().map(|listener| listener.port)).collect();
    Ok(Places { addrs, ports, listeners: loaded.config.listeners })
}

/// The first at which somebody answers whom one may rely on.
fn open(addrs: &[SocketAddr]) -> anyhow::Result<Option<(SocketAddr, TcpStream)>> {
    let mut others = Vec::new();
    for addr in addrs {
        let Ok(stream) = TcpStream::connect_timeout(&network::found_at(*addr), PATIENCE) else { continue };
        match holder(*addr) {
            Some(owner) if !account::may_be_relied_on(&owner) && !is_who_asks(&owner) => others.push((addr, owner)),
            Some(_) | None => return Ok(Some((*addr, stream))),
        }
    }
    let Some((addr, owner)) = others.first() else { return Ok(None) };
    let name = account::name_of(owner).map(|name| format!(" ({name})")).unwrap_or_default();
    Err(anyhow!(
        "what listens on {addr} belongs to user {owner}{name} and not to you: start a relay of your own with --listen auto"
    ))
}

/// Root by sudo acts for that user.
fn is_who_asks(owner: &Owner) -> bool {
    let number = || std::env::var("SUDO_UID").ok()?.parse().ok();
    account::own() == Some(Owner::ROOT) && number().map(Owner::Uid).as_ref() == Some(owner)
}

/// Whose process listens there, where the system tells.
fn holder(addr: SocketAddr) -> Option<Owner> {
    Owners::open().ok()?.of_listener(addr).ok()
}

/// Sends a head and reads that of the final answer.
pub async fn ask(relay: TcpStream, head: &str) -> Result<(Wire<tokio::net::TcpStream>, ResponseHead), ReadError> {
    relay.set_nodelay(true)?;
    relay.set_nonblocking(true)?;
    let mut wire = Wire::new(tokio::net::TcpStream::from_std(relay)?);
    tokio::io::AsyncWriteExt::write_all(&mut wire.stream, head.as_bytes()).await?;
    loop {
        let head = wire.reader().response(MAX_HEAD).await?;
        if !head.is_informational() {
            return Ok((wire, head));
        }
    }
}

/// One of the relay's own pages.
pub async fn page(relay: TcpStream, path: &str) -> Result<(u16, Vec<u8>), ReadError> {
    let silent = || {
        let why = format!("what listens there does not answer within {} s", PATIENCE.as_secs());
        io::Error::new(io::ErrorKind::TimedOut, why)
    };
    tokio::time::timeout(PATIENCE, fetched(relay, path)).await.map_err(|_| silent())?
}

async fn fetched(relay: TcpStream, path: &str) -> Result<(u16, Vec<u8>), ReadError> {
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let (mut wire, head) = ask(relay, &head).await?;
    let mut body = Body::of_response("GET", &head)?;
    let mut bytes = Vec::new();
    while let Ok(data) = wire.reader().piece(&mut body).await? {
        bytes.extend_from_slice(&data);
    }
    Ok((head.status, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Allow;

    fn listener(interface: &str, port: u16, socks5: bool) -> Listener {
        Listener { interface: interface.into(), port, allow: Allow::InterfaceSubnet, token: None, socks5 }
    }

    #[test]
    fn containers_are_told_the_address_of_their_bridge() {
        let link = |name: &str, addresses: &[&str]| Link {
            name: name.into(),
            index: None,
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        };
        let links = [
            link("lo", &["127.0.0.1/8"]),
            link("virbr0", &["192.168.122.1/24"]),
            link("docker0", &["fe80::1/64", "172.17.0.1/16"]),
        ];
        for (listeners, expected) in [
            (vec![], None),
            (vec![listener("lo", 1080, false)], None),
            (vec![listener("docker0", 1080, true)], None),
            (vec![listener("br-gone", 3128, false)], None),
            (vec![listener("virbr0", 3128, false)], Some("192.168.122.1:3128")),
            (vec![listener("virbr0", 3128, false), listener("docker0", 3129, false)], Some("172.17.0.1:3129")),
        ] {
            let found = on_an_interface(&listeners, &links);
            assert_eq!(found, expected.map(|addr| addr.parse().unwrap()), "{listeners:?}");
        }
    }
}
