//! Processes by their handles: whose program they run, when they began, whether they still run.

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::PathBuf;

use windows_sys::Win32::Foundation::{FILETIME, HANDLE, WAIT_TIMEOUT};
use windows_sys::Win32::System::Threading::{
    GetProcessTimes, OpenProcess, PROCESS_ACCESS_RIGHTS, PROCESS_NAME_WIN32, PROCESS_QUERY_LIMITED_INFORMATION,
    PROCESS_SYNCHRONIZE, QueryFullProcessImageNameW, WaitForSingleObject,
};

/// Longer than any path of the system's.
const MAX_PATH: usize = 32 * 1024;

#[derive(Debug)]
pub(in super::super) struct Process(OwnedHandle);

impl Process {
    /// To be asked what it is.
    pub(in super::super) fn open(pid: u32) -> io::Result<Self> {
        Self::with(PROCESS_QUERY_LIMITED_INFORMATION, pid)
    }

    /// One that has not ended. Needs a right that not everybody has who may ask what it is.
    pub(in super::super) fn open_running(pid: u32) -> io::Result<Option<Self>> {
        let process = Self::with(PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE, pid)?;
        Ok(Some(process).filter(Self::runs))
    }

    #[expect(unsafe_code, reason = "the system's call for a process")]
    fn with(rights: PROCESS_ACCESS_RIGHTS, pid: u32) -> io::Result<Self> {
        // SAFETY: no pointers; what comes back is null or a handle that is ours to close.
        let handle = unsafe { OpenProcess(rights, 0, pid) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle is fresh and ours alone.
        Ok(Self(unsafe { OwnedHandle::from_raw_handle(handle) }))
    }

    pub(in super::super) fn handle(&self) -> HANDLE {
        self.0.as_raw_handle()
    }

    #[expect(unsafe_code, reason = "the system's call for a process's end")]
    fn runs(&self) -> bool {
        // SAFETY: the handle is open; the call does not wait.
        unsafe { WaitForSingleObject(self.handle(), 0) == WAIT_TIMEOUT }
    }

    /// In units of 100 ns since Windows' beginning.
    #[expect(unsafe_code, reason = "the system's call for a process's times")]
    pub(in super::super) fn began(&self) -> Option<i64> {
        let none = FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 };
        let (mut began, mut ended, mut kernel, mut user) = (none, none, none, none);
        // SAFETY: the handle is open, and all four places live until the call has returned.
        let known = unsafe { GetProcessTimes(self.handle(), &mut began, &mut ended, &mut kernel, &mut user) } != 0;
        known.then(|| (i64::from(began.dwHighDateTime) << 32) | i64::from(began.dwLowDateTime))
    }

    #[expect(unsafe_code, reason = "the system's call for a process's program")]
    pub(in super::super) fn program(&self) -> Option<PathBuf> {
        let mut room = vec![0_u16; MAX_PATH];
        let mut length = u32::try_from(room.len()).ok()?;
        // SAFETY: the handle is open, and the room is as large as is said.
        let known = unsafe {
            QueryFullProcessImageNameW(self.handle(), PROCESS_NAME_WIN32, room.as_mut_ptr(), &raw mut length)
        };
        let path = room.get(..usize::try_from(length).ok()?)?;
        (known != 0).then(|| String::from_utf16_lossy(path).into())
    }
}
