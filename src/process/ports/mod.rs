//! Who holds a port, and which program a connection is of.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(windows, path = "windows.rs")]
#[cfg_attr(not(any(target_os = "linux", windows)), path = "other.rs")]
mod imp;

use std::net::SocketAddr;
use std::path::PathBuf;

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
