//! Who may read a file, by its owner and mode.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::Group;

const READ_BY_GROUP: u32 = 0o040;
const READ_BY_ALL: u32 = 0o004;
const ROOT: u32 = 0;

/// Where containers find their secrets, with a mode that is not theirs to choose; nobody else lives in there.
const OF_CONTAINERS: &str = "/run/secrets";

/// The group of the machine's service, to which root gives its secrets.
const OF_SERVICE: &str = "hallpass";

/// Somebody reads the file who has no business to: besides its owner and root, those in a group of ours whom an
/// administrator gave it to. What we cannot read ourselves is a secret of others, such as the machine's service, and not
/// ours to judge.
pub fn others_may_read(path: &Path) -> io::Result<bool> {
    let found = fs::metadata(path)?;
    let by_container = path.starts_with(OF_CONTAINERS) && found.uid() == ROOT;
    let file = File::of(&found);
    if by_container || is_closed_to(&file, rustix::process::geteuid().as_raw(), &groups()) {
        return Ok(false);
    }
    let of_service = || Group::from_name(OF_SERVICE).ok().flatten().map(|group| group.gid.as_raw());
    let is_services = file.mode & READ_BY_ALL == 0 && file.owner == ROOT && of_service() == Some(file.group);
    Ok(!is_services && is_open(&file, rustix::process::geteuid().as_raw(), &groups()))
}

struct File {
    owner: u32,
    group: u32,
    mode: u32,
}

impl File {
    fn of(found: &Metadata) -> Self {
        Self { owner: found.uid(), group: found.gid(), mode: found.mode() }
    }
}

fn is_closed_to(file: &File, ourselves: u32, our_groups: &[u32]) -> bool {
    let is_ours = ourselves == ROOT || ourselves == file.owner || our_groups.contains(&file.group);
    !is_ours && file.mode & READ_BY_ALL == 0
}

fn is_open(file: &File, ourselves: u32, our_groups: &[u32]) -> bool {
    let given = file.owner == ROOT && ourselves != ROOT && our_groups.contains(&file.group);
    file.mode & READ_BY_ALL != 0 || (file.mode & READ_BY_GROUP != 0 && !given)
}

fn groups() -> Vec<u32> {
    let more = rustix::process::getgroups().unwrap_or_default();
    more.into_iter().chain([rustix::process::getegid()]).map(|group| group.as_raw()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_its_owners_or_was_given_to_our_group_by_root() {
        for (owner, group, mode, open) in [
            (77, 77, 0o600, false),
            (77, 77, 0o400, false),
            (77, 77, 0o640, true),
            (77, 77, 0o604, true),
            (0, 77, 0o640, false),
            (0, 78, 0o440, false),
            (0, 5, 0o640, true),
            (0, 77, 0o644, true),
            (5, 77, 0o640, true),
            (0, 0, 0o600, false),
        ] {
            let file = File { owner, group, mode };
            assert_eq!(is_open(&file, 77, &[77, 78]), open, "{owner} {group} {mode:o}");
        }
        assert!(is_open(&File { owner: 0, group: 0, mode: 0o640 }, 0, &[0]), "root gives nothing to itself");
    }

    #[test]
    fn what_we_cannot_read_is_the_secret_of_others() {
        for (owner, group, mode, closed) in [
            (0, 5, 0o640, true),
            (5, 5, 0o600, true),
            (0, 5, 0o644, false),
            (0, 78, 0o640, false),
            (77, 5, 0o640, false),
        ] {
            let file = File { owner, group, mode };
            assert_eq!(is_closed_to(&file, 77, &[77, 78]), closed, "{owner} {group} {mode:o}");
            assert!(!is_closed_to(&file, 0, &[0]), "root reads everything");
        }
    }
}
