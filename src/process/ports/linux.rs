//! Who holds a port or a connection, from /proc (proc(5)).

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// The state "listening" in /proc/net/tcp.
const LISTEN: &str = "0A";

pub(super) fn holder_of(addr: SocketAddr) -> Option<String> {
    let suffix = format!(":{:04X}", addr.port());
    let listens = |local: &str, _: &str, state: &str| local.ends_with(&suffix) && state == LISTEN;
    let process = holder_of_socket(&inode_where(listens)?)?;
    let pid = process.file_name()?.to_str()?;
    Some(format!("{} (pid {pid})", name_of(&process)))
}

pub(super) fn program_of(from: SocketAddr, to: SocketAddr) -> Option<PathBuf> {
    let (from, to) = ([as_listed(from), as_mapped(from)], [as_listed(to), as_mapped(to)]);
    let is_it = |local: &str, remote: &str, _: &str| from.iter().any(|f| f == local) && to.iter().any(|t| t == remote);
    let process = holder_of_socket(&inode_where(is_it)?)?;
    fs::read_link(process.join("exe")).ok()
}

pub(super) fn programs_of(connections: &[(SocketAddr, SocketAddr)]) -> Vec<Option<PathBuf>> {
    let inodes = inodes_by_ends();
    let inode_of = |(from, to): &(SocketAddr, SocketAddr)| {
        let (from, to) = ([as_listed(*from), as_mapped(*from)], [as_listed(*to), as_mapped(*to)]);
        let mut ends = from.iter().flat_map(|from| to.iter().map(move |to| format!("{from} {to}")));
        ends.find_map(|ends| inodes.get(&ends).cloned())
    };
    let wanted: Vec<Option<String>> = connections.iter().map(inode_of).collect();
    let holders = holders_of_sockets(&wanted.iter().flatten().map(|inode| format!("socket:[{inode}]")).collect());
    let program = |inode: Option<String>| {
        let process = holders.get(&format!("socket:[{}]", inode?))?;
        fs::read_link(process.join("exe")).ok()
    };
    wanted.into_iter().map(program).collect()
}

/// Of every connection: "local remote" as the tables write them, and the inode.
fn inodes_by_ends() -> HashMap<String, String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().filter_map(|table| fs::read_to_string(table).ok());
    let mut all = HashMap::new();
    for text in tables {
        all.extend(text.lines().skip(1).filter_map(|line| {
            let columns: Vec<&str> = line.split_ascii_whitespace().collect();
            Some((format!("{} {}", columns.get(1)?, columns.get(2)?), (*columns.get(9)?).to_string()))
        }));
    }
    all
}

/// The process behind each of these sockets. Those of other users show nothing to whoever is not root.
fn holders_of_sockets(sockets: &HashSet<String>) -> HashMap<String, PathBuf> {
    let mut found = HashMap::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if found.len() == sockets.len() {
            break;
        }
        let descriptors = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        let held = descriptors.filter_map(|fd| fs::read_link(fd.path()).ok()?.into_os_string().into_string().ok());
        for socket in held.filter(|socket| sockets.contains(socket)) {
            found.entry(socket).or_insert_with(|| process.path());
        }
    }
    found
}

/// The inode of the first socket whose local address, remote address and state are the wanted ones.
fn inode_where(wanted: impl Fn(&str, &str, &str) -> bool) -> Option<String> {
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let text = fs::read_to_string(table).ok()?;
        text.lines().skip(1).find_map(|line| {
            let columns: Vec<&str> = line.split_ascii_whitespace().collect();
            let (local, remote, state) = (columns.get(1)?, columns.get(2)?, columns.get(3)?);
            wanted(local, remote, state).then(|| columns.get(9).map(ToString::to_string)).flatten()
        })
    })
}

/// The address as these tables write it: 32-bit words in the machine's order.
fn as_listed(addr: SocketAddr) -> String {
    let words = |octets: &[u8]| -> String {
        let word = |four: &[u8]| four.try_into().map(u32::from_ne_bytes).unwrap_or_default();
        octets.chunks(4).map(|four| format!("{:08X}", word(four))).collect()
    };
    let ip = match addr.ip() {
        IpAddr::V4(ip) => words(&ip.octets()),
        IpAddr::V6(ip) => words(&ip.octets()),
    };
    format!("{ip}:{:04X}", addr.port())
}

/// A client that opened an IPv6 socket to an IPv4 address.
fn as_mapped(addr: SocketAddr) -> String {
    match addr.ip() {
        IpAddr::V4(ip) => as_listed(SocketAddr::new(ip.to_ipv6_mapped().into(), addr.port())),
        IpAddr::V6(_) => as_listed(addr),
    }
}

fn holder_of_socket(inode: &str) -> Option<PathBuf> {
    let socket = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let is_process = entry.file_name().to_str()?.bytes().all(|b| b.is_ascii_digit());
        (is_process && holds(&entry.path(), &socket)).then(|| entry.path())
    })
}

fn holds(process: &Path, socket: &str) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    descriptors.flatten().any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == socket))
}

fn name_of(process: &Path) -> String {
    fs::read_to_string(process.join("comm")).map_or_else(|_| "a process".into(), |name| name.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_port_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = holder_of(listener.local_addr().unwrap()).unwrap();
        assert!(holder.contains(&format!("(pid {})", std::process::id())), "{holder}");
    }

    #[test]
    fn the_program_behind_a_connection_is_found_in_either_family() {
        let ourselves = std::env::current_exe().unwrap();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = std::net::TcpListener::bind(address).unwrap();
            let to = listener.local_addr().unwrap();
            let client = std::net::TcpStream::connect(to).unwrap();
            let from = client.local_addr().unwrap();
            assert_eq!(program_of(from, to).as_ref(), Some(&ourselves), "{address}");
            let nobody = "127.0.0.1:1".parse().unwrap();
            let found = programs_of(&[(nobody, to), (from, to)]);
            assert_eq!(found, [None, Some(ourselves.clone())], "{address}");
            drop(client);
            assert_eq!(program_of(to, "127.0.0.1:1".parse().unwrap()), None);
        }
    }
}
