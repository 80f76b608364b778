//! Whose the files are.

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(not(unix), path = "other.rs")]
mod imp;

use std::fs::File;
use std::io;
use std::path::Path;

/// Root writes in the name of whoever the directory belongs to: a service sees only what is its own.
pub fn give_to_owner_of(directory: &Path, file: &File) -> io::Result<()> {
    imp::give_to_owner_of(directory, file)
}

/// A file to lock, made where there is none. What its directory's owner has put there instead, such as a link to
/// somebody else's file, is not opened.
pub fn open_lock(directory: &Path, name: &str) -> io::Result<File> {
    imp::open_lock(directory, name)
}
