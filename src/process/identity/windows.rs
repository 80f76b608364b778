//! Processes by the time at which Windows created them.

use super::super::held::Process;

pub(super) fn started(pid: u32) -> Option<String> {
    let process = Process::open_running(pid).ok().flatten()?;
    Some(format!("{:016x}", process.began()?))
}

pub(super) fn is_alive(pid: u32, since: &str) -> bool {
    started(pid).as_deref() == Some(since)
}
