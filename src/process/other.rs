//! Systems that do not tell who holds a port without special rights.

use std::net::SocketAddr;
use std::path::PathBuf;

pub(super) fn holder_of(_: SocketAddr) -> Option<String> {
    None
}

pub(super) fn program_of(_: SocketAddr, _: SocketAddr) -> Option<PathBuf> {
    None
}
