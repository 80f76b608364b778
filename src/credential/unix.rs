//! Who may read a file, by its mode.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The mode bits that let the group and everybody read.
const READ_BY_OTHERS: u32 = 0o044;

/// Somebody besides the owner (and root) may read the file.
pub fn others_may_read(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.mode() & READ_BY_OTHERS != 0)
}
