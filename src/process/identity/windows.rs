//! Processes by the time at which Windows created them.

use windows_sys::Win32::Foundation::{CloseHandle, FILETIME, WAIT_TIMEOUT};
use windows_sys::Win32::System::Threading::{
    GetProcessTimes, OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE, WaitForSingleObject,
};

#[expect(unsafe_code, reason = "Windows has no other way to ask")]
pub(super) fn started(pid: u32) -> Option<String> {
    // SAFETY: no pointers; what comes back is null or a handle that is ours to close.
    let process = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE, 0, pid) };
    if process.is_null() {
        return None;
    }
    let none = FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 };
    let (mut created, mut exited, mut kernel, mut user) = (none, none, none, none);
    // SAFETY: the handle is open, and all four places live until the call has returned.
    let known = unsafe { GetProcessTimes(process, &mut created, &mut exited, &mut kernel, &mut user) } != 0;
    // SAFETY: the handle is open; the call does not wait.
    let runs = unsafe { WaitForSingleObject(process, 0) } == WAIT_TIMEOUT;
    // SAFETY: the handle is open, and used no more.
    unsafe { CloseHandle(process) };
    (known && runs).then(|| format!("{:08x}{:08x}", created.dwHighDateTime, created.dwLowDateTime))
}

pub(super) fn is_alive(pid: u32, since: &str) -> bool {
    started(pid).as_deref() == Some(since)
}
