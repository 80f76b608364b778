//! This process among others: its signals, its service manager, what it leaves when it crashes, the file that says where
//! it listens, who holds a port or a connection.

pub mod account;
pub mod apart;
pub mod descriptors;
pub mod identity;
pub mod installed;
pub mod memory;
mod owner;
mod run_file;
pub mod running;
pub mod tree;

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "other.rs")]
mod imp;

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(not(unix), path = "windows.rs")]
mod signals;

pub use owner::{OwnerError, Owners};
pub use run_file::{RunFile, running_relays};
pub use signals::{Signals, end_stdout, leave_no_core, terminal_height};

use std::net::SocketAddr;
use std::path::PathBuf;

/// What a service manager wants to know of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Ready,
    Reloading,
    Stopping,
}

/// Tells the service manager, if one asked for it.
pub fn notify(state: State) {
    if let Err(error) = imp::notify(state) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

/// What somebody outside wants of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Stop,
    Reload,
}

/// The process that listens on an address, in words; `None` where the system does not tell us.
pub fn holder_of(addr: SocketAddr) -> Option<String> {
    imp::holder_of(addr)
}

/// The executable behind a client's connection `from` → `to` on this machine; `None` where the system does not tell
/// us. Reads tables of the system: for those who asked for it only.
pub fn program_of(from: SocketAddr, to: SocketAddr) -> Option<PathBuf> {
    imp::program_of(from, to)
}

/// The same for many connections, with one look through the tables.
pub fn programs_of(connections: &[(SocketAddr, SocketAddr)]) -> Vec<Option<PathBuf>> {
    imp::programs_of(connections)
}
