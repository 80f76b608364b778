//! The order to end for a relay without a console: an event of the user's session, which has a name.
#![expect(unsafe_code, reason = "events with names are functions of the system")]

use std::io;
use std::ptr::null;
use std::thread;

use windows_sys::Win32::Foundation::{CloseHandle, HANDLE, WAIT_OBJECT_0};
use windows_sys::Win32::System::Recovery::{RESTART_NO_REBOOT, RegisterApplicationRestart};
use windows_sys::Win32::System::Threading::{
    CreateEventW, EVENT_MODIFY_STATE, INFINITE, OpenEventW, SetEvent, WaitForSingleObject,
};

use super::task::command_line;

/// There for as long as the relay.
const NAME: &str = r"Local\hallpassw-stop";

pub fn listen_unseen(stop: Box<dyn Fn() + Send>) -> io::Result<()> {
    let name = wide(NAME);
    // SAFETY: the name ends with a zero and outlives the call; what comes back is null or a handle that is ours. Access
    // is by default: this user's and the system's.
    let event = unsafe { CreateEventW(null(), 0, 0, name.as_ptr()) };
    if event.is_null() {
        return Err(io::Error::last_os_error());
    }
    survive();
    let event = Event(event);
    thread::Builder::new().name("orders".into()).spawn(move || {
        while event.wait() {
            stop();
        }
    })?;
    Ok(())
}

/// After a crash, and after an installer had to end us, Windows starts us again with the same arguments.
fn survive() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let line = wide(&command_line(&arguments));
    // SAFETY: the text ends with a zero and outlives the call.
    let failed = unsafe { RegisterApplicationRestart(line.as_ptr(), RESTART_NO_REBOOT) };
    if failed < 0 {
        tracing::debug!(failed, "Windows does not start us again after a crash");
    }
}

/// Whether this user's relay without a console runs.
pub(super) fn runs_unseen() -> bool {
    open().is_some()
}

/// Nothing is to be said where there is nobody.
pub(super) fn ask_to_stop() -> io::Result<()> {
    let Some(event) = open() else { return Ok(()) };
    // SAFETY: the handle is open, with the right to do this.
    if unsafe { SetEvent(event.0) } == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn open() -> Option<Event> {
    let name = wide(NAME);
    // SAFETY: the name ends with a zero and outlives the call; what comes back is null or a handle that is ours.
    let event = unsafe { OpenEventW(EVENT_MODIFY_STATE, 0, name.as_ptr()) };
    (!event.is_null()).then_some(Event(event))
}

struct Event(HANDLE);

// SAFETY: the handle is a number to us, and any thread may wait for it.
unsafe impl Send for Event {}

impl Event {
    /// False: there is nothing to wait for any more.
    fn wait(&self) -> bool {
        // SAFETY: the handle is open for as long as we live.
        unsafe { WaitForSingleObject(self.0, INFINITE) == WAIT_OBJECT_0 }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the handle is ours, and used no more.
        unsafe { CloseHandle(self.0) };
    }
}

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}
