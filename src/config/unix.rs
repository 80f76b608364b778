//! Where configurations live on Linux, and who may touch them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub const MACHINE_FILE: &str = "/etc/hallpass/hallpass.toml";

const WRITE_BY_GROUP: u32 = 0o020;
const WRITE_BY_OTHERS: u32 = 0o002;
const ONLY_OWNER: u32 = 0o600;
const ROOT: u32 = 0;

/// `$XDG_CONFIG_HOME/hallpass/hallpass.toml`; without a home there is none.
pub fn user_file(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    // The specification wants relative values ignored.
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
    Some(base.join("hallpass/hallpass.toml"))
}

/// The file or its directory can be changed by somebody who is neither root nor ourselves.
pub fn others_may_write(path: &Path) -> bool {
    let ourselves = fs::metadata("/proc/self").map_or(ROOT, |process| process.uid());
    let open =
        |path: &Path| fs::metadata(path).is_ok_and(|found| is_open(found.uid(), found.gid(), found.mode(), ourselves));
    open(path) || path.parent().is_some_and(open)
}

fn is_open(owner: u32, group: u32, mode: u32, ourselves: u32) -> bool {
    let by_owner = owner != ROOT && owner != ourselves;
    let by_group = mode & WRITE_BY_GROUP != 0 && group != ROOT;
    by_owner || by_group || mode & WRITE_BY_OTHERS != 0
}

/// Writes a file that only its owner can read, whole or not at all. An existing one is replaced only on demand.
pub fn write_private(path: &Path, text: &str, replace: bool) -> io::Result<()> {
    if !replace && path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::create_dir_all(directory)?;
    }
    let draft = path.with_extension(format!("toml.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(ONLY_OWNER).open(&draft)?;
    let written =
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        let _already_gone = fs::remove_file(&draft);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_file_follows_the_xdg_specification() {
        let file = |pairs: &[(&str, &str)]| {
            user_file(&|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_string()))
        };
        let at = |path: &str| Some(PathBuf::from(path));
        assert_eq!(file(&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")]), at("/x/hallpass/hallpass.toml"));
        assert_eq!(file(&[("XDG_CONFIG_HOME", "x"), ("HOME", "/h")]), at("/h/.config/hallpass/hallpass.toml"));
        assert_eq!(file(&[]), None);
    }

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
