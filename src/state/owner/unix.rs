//! By its owner and group.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use rustix::fs::OFlags;

pub(super) fn give_to_owner_of(directory: &Path, file: &File) -> io::Result<()> {
    let found = fs::metadata(directory)?;
    let is_anothers = rustix::process::geteuid().is_root() && found.uid() != 0;
    if is_anothers { fchown(file, Some(found.uid()), Some(found.gid())) } else { Ok(()) }
}

/// Only a file that was just made is given away: root would else give away what a link leads to.
pub(super) fn open_lock(directory: &Path, name: &str) -> io::Result<File> {
    let path = directory.join(name);
    match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(made) => give_to_owner_of(directory, &made).map(|()| made),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => open_plain(&path),
        Err(error) => Err(error),
    }
}

fn open_plain(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().write(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let found = file.metadata()?;
    if found.is_file() && found.nlink() == 1 {
        return Ok(file);
    }
    Err(io::Error::other(format!("{} is no file of its own: remove it", path.display())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_lock_is_never_what_a_link_leads_to() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("other"), "mine").unwrap();
        symlink(at("other"), at("link")).unwrap();
        fs::hard_link(at("other"), at("double")).unwrap();
        for name in ["link", "double"] {
            assert!(open_lock(directory.path(), name).is_err(), "{name}");
        }
        for _ in 0..2 {
            assert!(open_lock(directory.path(), "lock").is_ok());
        }
        assert_eq!(fs::read_to_string(at("other")).unwrap(), "mine");
    }
}
