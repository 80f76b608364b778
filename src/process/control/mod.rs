//! Orders of a manager that calls a function of ours where others send signals: the service control manager of Windows.

#[cfg_attr(windows, path = "windows.rs")]
#[cfg_attr(not(windows), path = "other.rs")]
mod imp;

use std::io;

#[cfg(windows)]
pub(super) use imp::notify;
#[cfg(windows)]
pub use imp::{announce_by, stop};

/// The relay from its begin to its end, and the exit code.
pub type Relay = Box<dyn FnOnce() -> u8 + Send>;

/// Runs the relay as the service that the manager has started this process for; returns when the service has ended.
/// An error: nobody but a person has started us.
pub fn obey(relay: Relay) -> io::Result<()> {
    imp::obey(relay)
}

/// Whether [`obey`] is under way: then there is no terminal, no profile of a user, and nobody who looks.
pub fn is_obeying() -> bool {
    imp::is_obeying()
}
