//! Who holds a port or a connection, from the system's table.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::super::held::Process;
use super::super::tcp_table::{all, connection, listener};

/// Other users' processes have a number and no name for whoever is no administrator.
pub(super) fn holder_of(addr: SocketAddr) -> Option<String> {
    let pid = listener(addr).ok().flatten()?.pid;
    let name = program(pid).and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    Some(format!("{} (pid {pid})", name.as_deref().unwrap_or("a process")))
}

pub(super) fn program_of(from: SocketAddr, to: SocketAddr) -> Option<PathBuf> {
    program(connection(from, to).ok().flatten()?.pid)
}

pub(super) fn programs_of(connections: &[(SocketAddr, SocketAddr)]) -> Vec<Option<PathBuf>> {
    let all = all().unwrap_or_default();
    let program = |(from, to): &(SocketAddr, SocketAddr)| program(all.iter().find(|one| one.is(*from, *to))?.pid);
    connections.iter().map(program).collect()
}

fn program(pid: u32) -> Option<PathBuf> {
    Process::open(pid).ok()?.program()
}
