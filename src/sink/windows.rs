//! Sinks of Windows.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Who may read it follows from its directory.
pub fn append_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}
