//! A session of its own.

use std::io;
use std::process::Command;

use rustix::process::{chdir, setsid};

pub(super) fn prepare(_: &mut Command) {}

/// And no directory in use that somebody may want to unmount.
pub(super) fn settle() -> io::Result<()> {
    setsid()?;
    Ok(chdir("/")?)
}
