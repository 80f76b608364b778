//! Who had this process started: the machine itself, for whoever is on it, or a person.

#[cfg(any(unix, test))]
mod judged;

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod imp;

/// The manager of the machine's services started this process, and not for a person: then whom it serves is nobody's
/// guess, and has to be said. What is true when it is first asked stays: a process that outlives its parent gets another one,
/// so whoever runs for long asks at the start.
pub fn is_machines_service() -> bool {
    imp::is_machines_service()
}
