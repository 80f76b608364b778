//! Processes by ps(1): when they began.

use std::process::Command;

pub(super) fn started(pid: u32) -> Option<String> {
    let mut command = Command::new("/bin/ps");
    command.args(["-o", "state=,lstart=", "-p", &pid.to_string()]).env("LC_ALL", "C").env("TZ", "UTC");
    let printed = String::from_utf8(command.output().ok()?.stdout).ok()?;
    // A zombie has ended.
    let (state, since) = printed.trim().split_once(char::is_whitespace)?;
    (!state.starts_with('Z')).then(|| since.trim().to_string())
}

pub(super) fn may_run(pid: u32) -> bool {
    started(pid).is_some()
}

pub(super) fn is_alive(pid: u32, since: &str) -> bool {
    started(pid).as_deref() == Some(since)
}
