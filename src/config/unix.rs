//! Who may touch a configuration, by its mode.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

const WRITE_BY_GROUP: u32 = 0o020;
const WRITE_BY_OTHERS: u32 = 0o002;
const ONLY_OWNER: u32 = 0o600;
const ROOT: u32 = 0;

/// Whoever may change what is the machine's.
pub const OWNERS: &str = "root";

/// The command by which nobody else may write any more.
pub fn closing(path: &Path) -> String {
    let directory = path.parent().unwrap_or(path);
    format!("chown root: {0} {1}; chmod go-w {0} {1}", directory.display(), path.display())
}

/// The file or its directory can be changed by somebody who is neither root nor ourselves.
pub fn others_may_write(path: &Path) -> bool {
    let ourselves = rustix::process::geteuid().as_raw();
    let open =
        |path: &Path| fs::metadata(path).is_ok_and(|found| is_open(found.uid(), found.gid(), found.mode(), ourselves));
    open(path) || path.parent().is_some_and(open)
}

/// The same where whoever runs the program counts as another, too.
pub fn others_than_root_may_write(path: &Path) -> bool {
    let open =
        |path: &Path| fs::metadata(path).is_ok_and(|found| is_open(found.uid(), found.gid(), found.mode(), ROOT));
    open(path) || path.parent().is_some_and(open)
}

fn is_open(owner: u32, group: u32, mode: u32, ourselves: u32) -> bool {
    let by_owner = owner != ROOT && owner != ourselves;
    let by_group = mode & WRITE_BY_GROUP != 0 && group != ROOT;
    by_owner || by_group || mode & WRITE_BY_OTHERS != 0
}

/// A new file that only its owner can read.
pub fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(ONLY_OWNER).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_wide_file_belongs_to_root_alone() {
        for (owner, group, mode, open) in [
            (0, 0, 0o644, false),
            (0, 0, 0o664, false),
            (0, 50, 0o640, false),
            (0, 50, 0o664, true),
            (0, 0, 0o646, true),
            (1000, 1000, 0o600, true),
            (77, 77, 0o600, false),
        ] {
            assert_eq!(is_open(owner, group, mode, 77), open, "{owner} {group} {mode:o}");
        }
    }
}
