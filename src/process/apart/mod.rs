//! A process that outlives its parent, its terminal and what is typed there.

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod imp;

use std::io;
use std::process::Command;

/// Before the child is started, its parent.
pub fn prepare(child: &mut Command) {
    imp::prepare(child);
}

/// Once it runs, the child. No signal that a terminal or a shell sends to a group reaches it afterwards.
pub fn settle() -> io::Result<()> {
    imp::settle()
}
