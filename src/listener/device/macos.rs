//! IP_BOUND_IF and IPV6_BOUND_IF (ip(4), ip6(4)).

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use socket2::Socket;

use super::super::Device;

pub fn bind(socket: &Socket, device: &Device, addr: SocketAddr) -> io::Result<()> {
    let index = device.index.and_then(NonZeroU32::new).ok_or(io::ErrorKind::NotFound)?;
    match addr {
        SocketAddr::V4(_) => socket.bind_device_by_index_v4(Some(index)),
        SocketAddr::V6(_) => socket.bind_device_by_index_v6(Some(index)),
    }
}
