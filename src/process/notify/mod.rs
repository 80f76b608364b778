//! What the manager of services that started us hears of us, if it asked for that.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(windows, path = "windows.rs")]
#[cfg_attr(not(any(target_os = "linux", windows)), path = "other.rs")]
mod imp;

use std::time::Duration;

/// What a service manager wants to know of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Ready,
    Reloading,
    /// The end may take this long.
    Stopping(Duration),
}

/// Tells the service manager, if one asked for it.
pub fn notify(state: State) {
    told(imp::notify(state));
}

/// One line in words, for people who ask the manager.
pub fn describe(text: &str) {
    told(imp::describe(text));
}

/// How often the manager wants to hear that we are alive, before it puts an end to us.
pub fn watchdog() -> Option<Duration> {
    imp::watchdog()
}

/// We are, until the next time that [`watchdog`] says.
pub fn alive() {
    told(imp::alive());
}

fn told(result: std::io::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "the service manager was not told");
    }
}
