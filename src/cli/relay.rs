//! The relay that runs, as other commands find it and ask it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;

use anyhow::anyhow;

use super::flags::Flags;
use crate::config::{self, Origin};
use crate::http1::{Body, ReadError, ResponseHead, Wire};
use crate::process::{Owners, account, running_relays};

const MAX_HEAD: usize = 256 * 1024;

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
    let for_containers = places.addrs.iter().find(|addr| {
        let ip = addr.ip();
        !ip.is_loopback() && !ip.is_unspecified() && places.ports.contains(&addr.port())
    });
    Ok(Address { relay: reachable(relay), for_containers: for_containers.copied(), runs: running.is_some() })
}

/// Whoever listens everywhere is found on loopback.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, addr.port())
}

struct Places {
    /// In the order in which they are tried.
    addrs: Vec<SocketAddr>,
    /// On which HTTP is spoken.
    ports: Vec<u16>,
}

fn places(flags: &Flags) -> anyhow::Result<Places> {
    let loaded = config::load(&flags.inputs())?;
    let listen = &loaded.config.listen;
    let mut addrs: Vec<SocketAddr> = listen.iter().filter(|addr| addr.port() != 0).copied().collect();
    // Who names an address means that one.
    let is_named = matches!(loaded.origin(&["listen"]), Origin::Flag(_)) && !addrs.is_empty();
    if let Some(directory) = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty() && !is_named) {
        addrs.extend(running_relays(&PathBuf::from(directory)));
    }
    let ports = addrs.iter().take(listen.len()).map(SocketAddr::port);
    let ports = ports.chain(loaded.config.listeners.iter().map(|listener| listener.port)).collect();
    Ok(Places { addrs, ports })
}

/// The first at which somebody answers whom one may rely on.
fn open(addrs: &[SocketAddr]) -> anyhow::Result<Option<(SocketAddr, TcpStream)>> {
    let mut others = Vec::new();
    for addr in addrs {
        let Ok(stream) = TcpStream::connect(reachable(*addr)) else { continue };
        match holder(*addr) {
            Some(uid) if !account::may_be_relied_on(uid) && !is_who_asks(uid) => others.push((addr, uid)),
            Some(_) | None => return Ok(Some((*addr, stream))),
        }
    }
    let Some((addr, uid)) = others.first() else { return Ok(None) };
    let name = account::name_of(*uid).map(|name| format!(" ({name})")).unwrap_or_default();
    Err(anyhow!(
        "what listens on {addr} belongs to user {uid}{name} and not to you: start a relay of your own with --listen auto"
    ))
}

/// Root by sudo acts for that user.
fn is_who_asks(uid: u32) -> bool {
    account::own_uid() == Some(0) && std::env::var("SUDO_UID").is_ok_and(|number| number.parse() == Ok(uid))
}

/// Whose process listens there, where the system tells.
fn holder(addr: SocketAddr) -> Option<u32> {
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
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let (mut wire, head) = ask(relay, &head).await?;
    let mut body = Body::of_response("GET", &head)?;
    let mut bytes = Vec::new();
    while let Ok(data) = wire.reader().piece(&mut body).await? {
        bytes.extend_from_slice(&data);
    }
    Ok((head.status, bytes))
}
