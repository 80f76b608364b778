//! Systems whose managers of services send signals.

use std::io;

use super::Relay;

pub(super) fn obey(_: Relay) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "services are started in this way on Windows only"))
}

pub(super) fn is_obeying() -> bool {
    false
}

/// A manager is told in its own way.
pub(super) fn when_ready(_: Box<dyn Fn() + Send + Sync>) {}

/// Whoever wants it sends a signal.
pub(super) fn stop() {}
