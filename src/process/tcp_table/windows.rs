//! The table of the IP Helper library, with the process and the time of each end.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::slice;

use windows_sys::Win32::Foundation::{ERROR_INSUFFICIENT_BUFFER, NO_ERROR};
use windows_sys::Win32::NetworkManagement::IpHelper::{
    GetExtendedTcpTable, MIB_TCP_STATE, MIB_TCP_STATE_CLOSED, MIB_TCP_STATE_DELETE_TCB, MIB_TCP_STATE_LISTEN,
    MIB_TCP_STATE_TIME_WAIT, MIB_TCP6ROW_OWNER_MODULE, MIB_TCP6TABLE_OWNER_MODULE, MIB_TCPROW_OWNER_MODULE,
    MIB_TCPTABLE_OWNER_MODULE, TCP_TABLE_OWNER_MODULE_ALL,
};
use windows_sys::Win32::Networking::WinSock::{AF_INET, AF_INET6};

/// The table may grow between being measured and being read.
const ATTEMPTS: u32 = 5;

/// More rows than a quiet machine has.
const FIRST_SIZE: u32 = 32 * 1024;

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Connection {
    from: SocketAddr,
    to: SocketAddr,
    state: MIB_TCP_STATE,
    /// Zero: no process has it any more, or the system does not say which.
    pub(in super::super) pid: u32,
    /// In units of 100 ns since Windows' beginning; zero where the system does not say.
    pub(in super::super) made: i64,
}

impl Connection {
    fn is_open(&self) -> bool {
        ![MIB_TCP_STATE_CLOSED, MIB_TCP_STATE_LISTEN, MIB_TCP_STATE_TIME_WAIT, MIB_TCP_STATE_DELETE_TCB]
            .contains(&self.state)
            && self.pid != 0
    }

    pub(in super::super) fn is(&self, from: SocketAddr, to: SocketAddr) -> bool {
        self.is_open() && self.from == canonical(from) && self.to == canonical(to)
    }
}

/// The end `from` of the connection `from` → `to`, while a process has it.
pub(in super::super) fn connection(from: SocketAddr, to: SocketAddr) -> io::Result<Option<Connection>> {
    // Whoever opened an IPv6 socket to an IPv4 address may stand in either table.
    let of = |family| Ok(table(family)?.into_iter().find(|one| one.is(from, to)));
    let (first, second) = if canonical(from).is_ipv4() { (AF_INET, AF_INET6) } else { (AF_INET6, AF_INET) };
    match of(first)? {
        Some(found) => Ok(Some(found)),
        None => of(second),
    }
}

/// What listens at an address, or at its port on all addresses.
pub(in super::super) fn listener(addr: SocketAddr) -> io::Result<Option<Connection>> {
    let addr = canonical(addr);
    let all = all()?;
    let at = |ip: IpAddr| {
        all.iter().find(|one| one.state == MIB_TCP_STATE_LISTEN && one.from == SocketAddr::new(ip, addr.port()))
    };
    let everywhere = [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()];
    Ok(at(addr.ip()).or_else(|| everywhere.into_iter().find_map(at)).filter(|one| one.pid != 0).copied())
}

/// Every end on this machine.
pub(in super::super) fn all() -> io::Result<Vec<Connection>> {
    let mut all = table(AF_INET)?;
    all.extend(table(AF_INET6)?);
    Ok(all)
}

fn table(family: u16) -> io::Result<Vec<Connection>> {
    let mut size = FIRST_SIZE;
    for _ in 0..ATTEMPTS {
        let mut room = vec![0_u64; usize::try_from(size).unwrap_or_default().div_ceil(size_of::<u64>())];
        #[expect(unsafe_code, reason = "the system fills a buffer of ours")]
        // SAFETY: the buffer is as large as is said, and is written to during the call only.
        let status = unsafe {
            GetExtendedTcpTable(
                room.as_mut_ptr().cast(),
                &raw mut size,
                0,
                u32::from(family),
                TCP_TABLE_OWNER_MODULE_ALL,
                0,
            )
        };
        match status {
            NO_ERROR => return Ok(if family == AF_INET { rows_v4(&room) } else { rows_v6(&room) }),
            // Some more, for those that are opened meanwhile.
            ERROR_INSUFFICIENT_BUFFER => size = size.saturating_add(FIRST_SIZE),
            error => return Err(io::Error::from_raw_os_error(error.cast_signed())),
        }
    }
    Err(io::Error::other("the table of connections grows faster than it is read"))
}

#[expect(unsafe_code, reason = "the table is a number and an array behind it")]
fn rows_v4(room: &[u64]) -> Vec<Connection> {
    let table = room.as_ptr().cast::<MIB_TCPTABLE_OWNER_MODULE>();
    // SAFETY: the system has filled the room with this structure, which is aligned for it, with as many rows as it says.
    let rows = unsafe {
        let count = usize::try_from((*table).dwNumEntries).unwrap_or_default();
        slice::from_raw_parts((&raw const (*table).table).cast::<MIB_TCPROW_OWNER_MODULE>(), count)
    };
    rows.iter()
        .map(|row| Connection {
            from: addr(Ipv4Addr::from(row.dwLocalAddr.to_ne_bytes()).into(), row.dwLocalPort),
            to: addr(Ipv4Addr::from(row.dwRemoteAddr.to_ne_bytes()).into(), row.dwRemotePort),
            state: row.dwState.cast_signed(),
            pid: row.dwOwningPid,
            made: row.liCreateTimestamp,
        })
        .collect()
}

#[expect(unsafe_code, reason = "the table is a number and an array behind it")]
fn rows_v6(room: &[u64]) -> Vec<Connection> {
    let table = room.as_ptr().cast::<MIB_TCP6TABLE_OWNER_MODULE>();
    // SAFETY: the system has filled the room with this structure, which is aligned for it, with as many rows as it says.
    let rows = unsafe {
        let count = usize::try_from((*table).dwNumEntries).unwrap_or_default();
        slice::from_raw_parts((&raw const (*table).table).cast::<MIB_TCP6ROW_OWNER_MODULE>(), count)
    };
    rows.iter()
        .map(|row| Connection {
            from: addr(Ipv6Addr::from(row.ucLocalAddr).into(), row.dwLocalPort),
            to: addr(Ipv6Addr::from(row.ucRemoteAddr).into(), row.dwRemotePort),
            state: row.dwState.cast_signed(),
            pid: row.dwOwningPid,
            made: row.liCreateTimestamp,
        })
        .collect()
}

/// The port stands in the order of the network, in the first two of four bytes.
fn addr(ip: IpAddr, port: u32) -> SocketAddr {
    let [high, low, ..] = port.to_ne_bytes();
    canonical(SocketAddr::new(ip, u16::from_be_bytes([high, low])))
}

/// Without scope.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}
