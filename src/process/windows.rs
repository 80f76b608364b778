//! Ctrl-C of a console, and what a crash tells; a service hears of its end through its manager.

use std::io;
use std::path::Path;

use windows_sys::Win32::System::ErrorReporting::{WER_FAULT_REPORTING_FLAG_NOHEAP, WerSetFlags};

use super::Signal;

/// Only the end of the process ends its output here.
pub fn end_stdout() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A console is not asked.
pub fn terminal_height<T>(_: T) -> Option<usize> {
    None
}

/// A report of a crash to Windows Error Reporting goes without our heap, which holds secrets.
#[expect(unsafe_code, reason = "Windows has no other way to say so")]
pub fn leave_no_core() {
    // SAFETY: a call without pointers, which changes a flag of this process.
    let failed = unsafe { WerSetFlags(WER_FAULT_REPORTING_FLAG_NOHEAP) };
    if failed < 0 {
        tracing::debug!(failed, "cannot keep the heap out of crash reports");
    }
}

/// A file has the access that its directory gives it.
pub fn let_all_read(_: &Path) -> io::Result<()> {
    Ok(())
}

pub struct Signals;

impl Signals {
    pub fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    pub async fn next(&mut self) -> Signal {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Signal::Stop
    }
}
