//! Sinks of Unix: files that others cannot read.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const ONLY_OWNER: u32 = 0o600;

/// Records say where somebody went: they are for the owner alone.
pub fn append_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(ONLY_OWNER).open(path)
}
