//! The system's table of connections.

#[cfg(windows)]
mod windows;

#[cfg(windows)]
pub(super) use windows::{Connection, all, connection, listener};
