//! Systems without such sockets: the interface's address and the check of who connects must do.

use std::io;
use std::net::SocketAddr;

use socket2::Socket;

use super::super::Device;

#[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
pub fn bind(_: &Socket, _: &Device, _: SocketAddr) -> io::Result<()> {
    Ok(())
}
