//! The system's table of connections, and the processes that it names.

#[cfg(windows)]
mod windows;

#[cfg(windows)]
pub(super) use windows::{Connection, Process, all, connection, listener};
