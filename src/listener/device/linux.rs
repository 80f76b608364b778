//! SO_BINDTODEVICE (socket(7)), which anybody may set since Linux 5.7 and who has CAP_NET_RAW before.

use std::io;
use std::net::SocketAddr;

use socket2::Socket;

use super::super::Device;

pub fn bind(socket: &Socket, device: &Device, _: SocketAddr) -> io::Result<()> {
    socket.bind_device(Some(device.name.as_bytes()))
}
