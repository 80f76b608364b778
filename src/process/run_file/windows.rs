//! The user's own directory on this machine: nothing there ends with a log-on.

pub(super) const PARENT: &str = "LOCALAPPDATA";
pub(super) const BELOW: &str = r"hallpass\run";
