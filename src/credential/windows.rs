//! Who may read a file on Windows.

use std::io;
use std::path::Path;

/// Not known: access control lists are not read, so nobody is warned. It is an error only where there is no file.
pub fn others_may_read(path: &Path) -> io::Result<bool> {
    path.metadata().map(|_| false)
}
