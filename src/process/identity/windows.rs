//! Processes by the time at which Windows created them.

use std::io::ErrorKind;

use super::super::held::Process;

pub(super) fn started(pid: u32) -> Option<String> {
    let process = Process::open_running(pid).ok().flatten()?;
    began(&process)
}

/// Windows denies us another account's processes, but not that there is one.
pub(super) fn may_run(pid: u32) -> bool {
    match Process::open_running(pid) {
        Ok(process) => process.is_some(),
        Err(error) => error.kind() == ErrorKind::PermissionDenied,
    }
}

pub(super) fn is_alive(pid: u32, since: &str) -> bool {
    match Process::open_running(pid) {
        Ok(process) => process.and_then(|process| began(&process)).as_deref() == Some(since),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            // Whether it has ended is more than when it began, which may be allowed.
            let shown = Process::open(pid).ok().and_then(|process| began(&process));
            shown.is_none_or(|shown| shown == since)
        }
        Err(_) => false,
    }
}

fn began(process: &Process) -> Option<String> {
    process.began().map(|time| format!("{time:016x}"))
}
