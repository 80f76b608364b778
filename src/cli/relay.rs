//! The relay that runs, as other commands find it and ask it.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;

use anyhow::anyhow;

use super::flags::Flags;
use crate::config::{self, Origin};
use crate::http1::{Body, ReadError, ResponseHead, Wire};
use crate::process::{Owners, account, running_relays};

const MAX_HEAD: usize = 256 * 1024;

/// Where the configuration says, or else where one says itself.
pub fn find(flags: &Flags) -> anyhow::Result<TcpStream> {
    let loaded = config::load(&flags.inputs())?;
    let mut addrs: Vec<SocketAddr> = loaded.config.listen.iter().filter(|addr| addr.port() != 0).copied().collect();
    // Who names an address means that one.
    let is_named = matches!(loaded.origin(&["listen"]), Origin::Flag(_)) && !addrs.is_empty();
    if let Some(directory) = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty() && !is_named) {
        addrs.extend(running_relays(&PathBuf::from(directory)));
    }
    let mut others = Vec::new();
    for addr in &addrs {
        let Ok(stream) = TcpStream::connect(addr) else { continue };
        match holder(*addr) {
            Some(uid) if !account::may_be_relied_on(uid) => others.push((addr, uid)),
            Some(_) | None => return Ok(stream),
        }
    }
    if let Some((addr, uid)) = others.first() {
        let name = account::name_of(*uid).map(|name| format!(" ({name})")).unwrap_or_default();
        return Err(anyhow!(
            "what listens on {addr} belongs to user {uid}{name} and not to you: start a relay of your own with \
             --listen auto"
        ));
    }
    Err({
        let tried: Vec<String> = addrs.iter().map(ToString::to_string).collect();
        let tried = if tried.is_empty() { "its port is not known".into() } else { tried.join(", ") };
        anyhow!("no relay is running ({tried}): start one with hallpass serve")
    })
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
