//! Socket options of Linux.

use std::io;
use std::time::Duration;

use socket2::Socket;

/// `TCP_USER_TIMEOUT` (RFC 5482, tcp(7)).
pub(super) fn set_user_timeout(socket: &Socket, timeout: Duration) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(timeout))
}
