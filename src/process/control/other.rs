//! Systems whose managers of services send signals.

use std::io;

use super::Relay;

pub(super) fn obey(_: Relay) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "services are started in this way on Windows only"))
}

pub(super) fn is_obeying() -> bool {
    false
}
