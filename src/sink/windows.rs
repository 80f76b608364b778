//! Sinks of Windows: files, and the event log.
#![expect(unsafe_code, reason = "the event log is functions of the system")]

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::EventLog::{
    DeregisterEventSource, EVENTLOG_ERROR_TYPE, EVENTLOG_INFORMATION_TYPE, EVENTLOG_WARNING_TYPE, RegisterEventSourceW,
    ReportEventW,
};

use super::{Output, Severity, SystemLog, severity};

/// Characters that an event may hold (ReportEventW).
const LONGEST: usize = 31_839;

/// One kind of event: a line. EventCreate.exe, whose text of the events from 1 to 1000 is the line itself, is what an
/// installation names as the file of our messages.
const LINE: u32 = 1;

/// Who may read it follows from its directory.
pub fn append_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

pub fn has(log: SystemLog) -> bool {
    log == SystemLog::EventLog
}

pub fn open(log: SystemLog) -> io::Result<Box<dyn Output>> {
    match log {
        SystemLog::EventLog => Ok(Box::new(Events(source()?))),
        SystemLog::Journald | SystemLog::Syslog => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// The handle of our source.
struct Events(HANDLE);

// SAFETY: the handle is a number to us, and any thread may report by it.
unsafe impl Send for Events {}

fn source() -> io::Result<HANDLE> {
    let name = wide("hallpass");
    // SAFETY: the name ends with a zero and outlives the call; no server means this machine.
    let handle = unsafe { RegisterEventSourceW(null(), name.as_ptr()) };
    if handle.is_null() { Err(io::Error::last_os_error()) } else { Ok(handle) }
}

impl Output for Events {
    fn write(&mut self, line: &str) -> io::Result<()> {
        let text = wide(line.trim_end_matches('\n'));
        let texts = [text.as_ptr()];
        // SAFETY: the one text ends with a zero and outlives the call; there is no user and no data.
        let reported =
            unsafe { ReportEventW(self.0, kind(severity(line)), 0, LINE, null_mut(), 1, 0, texts.as_ptr(), null()) };
        if reported == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

fn kind(severity: Severity) -> u16 {
    match severity {
        Severity::Information => EVENTLOG_INFORMATION_TYPE,
        Severity::Warning => EVENTLOG_WARNING_TYPE,
        Severity::Error => EVENTLOG_ERROR_TYPE,
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and used nowhere else any more.
        unsafe { DeregisterEventSource(self.0) };
    }
}

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().take(LONGEST - 1).chain([0]).collect()
}
