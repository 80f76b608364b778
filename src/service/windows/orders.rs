//! A relay without a console among the programs of its user's session, by events that have names: the order to end, that
//! it is ready, and that the time is over which its end may take.
#![expect(unsafe_code, reason = "events with names are functions of the system")]

use std::ffi::OsString;
use std::io;
use std::ptr::null;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use windows_sys::Win32::Foundation::{CloseHandle, ERROR_ALREADY_EXISTS, HANDLE, SetLastError, WAIT_OBJECT_0};
use windows_sys::Win32::System::Recovery::{RESTART_NO_REBOOT, RegisterApplicationRestart};
use windows_sys::Win32::System::Threading::{
    CreateEventW, CreateWaitableTimerW, EVENT_MODIFY_STATE, INFINITE, OpenEventW, OpenWaitableTimerW, ResetEvent,
    SYNCHRONIZATION_SYNCHRONIZE, SetEvent, SetWaitableTimer, WaitForSingleObject,
};

use super::task::command_line;
use super::texts;
use crate::process::{State, control};

/// There for as long as the relay.
const STOP: &str = r"Local\hallpassw-stop";
/// Set from when it listens.
const READY: &str = r"Local\hallpassw-ready";
/// There from when it ends, and set when it should have ended.
const OVERDUE: &str = r"Local\hallpassw-overdue";

/// What the end takes beside the grace of tunnels.
const LAST_STEPS: Duration = Duration::from_secs(10);

/// For as long as we live.
static END: OnceLock<Event> = OnceLock::new();

pub fn listen_unseen() -> io::Result<bool> {
    let Some(order) = Event::first(STOP)? else { return Ok(false) };
    // Somebody who has waited for the one before may still hold it.
    let ready = Event::make(READY, true)?;
    ready.reset()?;
    survive();
    thread::Builder::new().name("orders".into()).spawn(move || {
        while order.wait(INFINITE) {
            control::stop();
        }
    })?;
    control::announce_by(Box::new(move |state| {
        let told = match state {
            State::Ready => ready.set(),
            State::Reloading => Ok(()),
            State::Stopping(time) => {
                Event::alarm(OVERDUE, time.saturating_add(LAST_STEPS)).map(|end| drop(END.set(end)))
            }
        };
        if let Err(error) = told {
            tracing::debug!(%error, "whoever waits for us was not told how we are");
        }
    }));
    Ok(true)
}

/// After a crash, and after an installer had to end us, Windows starts us again with the same arguments.
fn survive() {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let line = wide(&command_line(&texts(&arguments)));
    // SAFETY: the text ends with a zero and outlives the call.
    let failed = unsafe { RegisterApplicationRestart(line.as_ptr(), RESTART_NO_REBOOT) };
    if failed < 0 {
        tracing::debug!(failed, "Windows does not start us again after a crash");
    }
}

/// Whether this user's relay without a console runs.
pub(super) fn runs_unseen() -> bool {
    Event::find(STOP, EVENT_MODIFY_STATE).is_some()
}

/// Whether it listens.
pub(super) fn is_ready() -> bool {
    Event::find(READY, SYNCHRONIZATION_SYNCHRONIZE).is_some_and(|ready| ready.wait(0))
}

/// Whether the time is over that its end may take; `None` until it has said so.
pub(super) fn is_overdue() -> Option<bool> {
    Event::find_alarm(OVERDUE).map(|end| end.wait(0))
}

/// Nothing is to be said where there is nobody.
pub(super) fn ask_to_stop() -> io::Result<()> {
    Event::find(STOP, EVENT_MODIFY_STATE).map_or(Ok(()), |order| order.set())
}

struct Event(HANDLE);

// SAFETY: the handle is a number to us, and any thread may wait for it or set it.
unsafe impl Send for Event {}
// SAFETY: as above; the system orders what several threads do.
unsafe impl Sync for Event {}

impl Event {
    /// One that falls back when its waiter is woken; `None` where there is one by that name.
    fn first(name: &str) -> io::Result<Option<Self>> {
        // SAFETY: a call without pointers. A success would leave the code of an earlier failure.
        unsafe { SetLastError(0) };
        let event = Self::make(name, false)?;
        let is_old = io::Error::last_os_error().raw_os_error() == Some(ERROR_ALREADY_EXISTS.cast_signed());
        Ok((!is_old).then_some(event))
    }

    /// Access is by default: this user's and the system's.
    fn make(name: &str, stays_set: bool) -> io::Result<Self> {
        let name = wide(name);
        // SAFETY: the name ends with a zero and outlives the call; what comes back is null or a handle that is ours.
        let event = unsafe { CreateEventW(null(), stays_set.into(), 0, name.as_ptr()) };
        if event.is_null() { Err(io::Error::last_os_error()) } else { Ok(Self(event)) }
    }

    fn find(name: &str, rights: u32) -> Option<Self> {
        let name = wide(name);
        // SAFETY: the name ends with a zero and outlives the call; what comes back is null or a handle that is ours.
        let event = unsafe { OpenEventW(rights, 0, name.as_ptr()) };
        (!event.is_null()).then_some(Self(event))
    }

    /// One that is set after a time.
    fn alarm(name: &str, time: Duration) -> io::Result<Self> {
        let name = wide(name);
        // SAFETY: the name ends with a zero and outlives the call; what comes back is null or a handle that is ours.
        let alarm = unsafe { CreateWaitableTimerW(null(), 1, name.as_ptr()) };
        if alarm.is_null() {
            return Err(io::Error::last_os_error());
        }
        let alarm = Self(alarm);
        // In units of 100 ns; what is below zero counts from now.
        let due = -i64::try_from(time.as_nanos() / 100).unwrap_or(i64::MAX);
        // SAFETY: the handle is open, the time is copied, and there is nothing to be called.
        let set = unsafe { SetWaitableTimer(alarm.0, &raw const due, 0, None, null(), 0) };
        if set == 0 { Err(io::Error::last_os_error()) } else { Ok(alarm) }
    }

    fn find_alarm(name: &str) -> Option<Self> {
        let name = wide(name);
        // SAFETY: the name ends with a zero and outlives the call; what comes back is null or a handle that is ours.
        let alarm = unsafe { OpenWaitableTimerW(SYNCHRONIZATION_SYNCHRONIZE, 0, name.as_ptr()) };
        (!alarm.is_null()).then_some(Self(alarm))
    }

    fn set(&self) -> io::Result<()> {
        // SAFETY: the handle is open for as long as we live.
        if unsafe { SetEvent(self.0) } == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn reset(&self) -> io::Result<()> {
        // SAFETY: the handle is open for as long as we live.
        if unsafe { ResetEvent(self.0) } == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Whether it was set within so many milliseconds.
    fn wait(&self, time: u32) -> bool {
        // SAFETY: the handle is open for as long as we live.
        unsafe { WaitForSingleObject(self.0, time) == WAIT_OBJECT_0 }
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
