//! Systems that do not tell who holds a port without special rights.

use std::net::SocketAddr;
use std::path::PathBuf;

pub(super) fn holder_of(_: SocketAddr) -> Option<String> {
    None
}

pub(super) fn program_of(_: SocketAddr, _: SocketAddr) -> Option<PathBuf> {
    None
}

pub(super) fn programs_of(connections: &[(SocketAddr, SocketAddr)]) -> Vec<Option<PathBuf>> {
    vec![None; connections.len()]
}
