//! The owner of a connection's end: the user whose process has it, by the table of connections and its token.
//!
//! The table names a process by a number, which may be another one's a moment later. So the process is held, the table
//! is asked once more, and only who is known to have begun before the connection was made is taken for its owner. What
//! is left: a process that got its socket from another one counts as that other one, as everywhere on Windows.
//!
//! The whole table is copied each time, and a token may have to be asked of Remote Desktop Services: that takes from a
//! fraction of a millisecond to as long as another process of the system takes.

use std::io;
use std::net::SocketAddr;
use std::ptr;
use std::slice;

use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, ERROR_INVALID_PARAMETER};
use windows_sys::Win32::System::RemoteDesktop::{
    WTS_CURRENT_SESSION, WTS_PROCESS_INFOW, WTSEnumerateProcessesExW, WTSFreeMemoryExW, WTSTypeProcessInfoLevel0,
};

use super::super::account;
use super::super::held::Process;
use super::super::tcp_table::{Connection, connection, listener};
use super::{OwnerError, maker};
use crate::owner::Owner;

pub(super) const SUPPORTED: bool = true;
pub(super) const WAITS: bool = true;

/// The kernel, which is nobody's process.
const KERNEL: u32 = 4;

#[derive(Debug)]
pub(super) struct Owners;

impl Owners {
    pub fn open() -> Result<Self, OwnerError> {
        Ok(Self)
    }

    pub fn of(&self, from: SocketAddr, to: SocketAddr) -> Result<Owner, OwnerError> {
        owner_of(|| connection(from, to))
    }

    pub fn of_listener(&self, addr: SocketAddr) -> Result<Owner, OwnerError> {
        owner_of(|| listener(addr))
    }
}

fn owner_of(look: impl Fn() -> io::Result<Option<Connection>>) -> Result<Owner, OwnerError> {
    let found = look().map_err(OwnerError::Query)?.ok_or(OwnerError::Gone)?;
    if found.pid == KERNEL {
        return Ok(Owner::system());
    }
    let process = Process::open(found.pid).map_err(|error| match is(&error, ERROR_INVALID_PARAMETER) {
        true => OwnerError::Gone,
        false => OwnerError::Query(error),
    })?;
    let again = look().map_err(OwnerError::Query)?;
    if again.is_none_or(|again| again.pid != found.pid) {
        return Err(OwnerError::Gone);
    }
    maker::check(process.began(), found.made)?;
    match account::owner_of(process.handle()) {
        // What runs as administrator hides its token from the same user's other programs.
        Err(error) if is(&error, ERROR_ACCESS_DENIED) => told_of(found.pid).ok_or(OwnerError::Query(error)),
        told => told.map_err(OwnerError::Query),
    }
}

fn is(error: &io::Error, code: u32) -> bool {
    error.raw_os_error() == Some(code.cast_signed())
}

/// What Remote Desktop Services say of the processes of this log-on's session, to everybody in it.
#[expect(unsafe_code, reason = "the system's call for a list of processes")]
fn told_of(pid: u32) -> Option<Owner> {
    let (mut level, mut count, mut list) = (0, 0, ptr::null_mut());
    // SAFETY: a null server is this machine, and all places are ours.
    let told = unsafe {
        WTSEnumerateProcessesExW(ptr::null_mut(), &raw mut level, WTS_CURRENT_SESSION, &raw mut list, &raw mut count)
    };
    if told == 0 || list.is_null() {
        return None;
    }
    // SAFETY: at level 0 the list is of this structure, as long as it says, with texts and identifiers that live as
    // long as the list, which is freed once, after its last use.
    unsafe {
        let all = slice::from_raw_parts(list.cast::<WTS_PROCESS_INFOW>(), usize::try_from(count).unwrap_or_default());
        let process = all.iter().find(|one| one.ProcessId == pid);
        let owner = process.and_then(|one| account::owner_of_sid(one.pUserSid).ok());
        WTSFreeMemoryExW(WTSTypeProcessInfoLevel0, list.cast(), count);
        owner
    }
}
