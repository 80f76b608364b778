//! The users of this machine by what tells them apart and by name: people and accounts of services.

pub mod numbers;

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(not(unix), path = "windows.rs")]
mod imp;
#[cfg_attr(not(windows), allow(dead_code, reason = "only Windows has names that are the same on each machine"))]
mod well_known;

use std::io;

#[cfg(windows)]
pub(super) use imp::{owner_of, owner_of_sid};

use crate::owner::Owner;

/// How a person may write a user.
pub const HINT: &str = imp::HINT;

/// The user that somebody wrote, `None` where there is none. May ask a directory service, and wait for it.
pub fn find(written: &str) -> io::Result<Option<Owner>> {
    imp::find(written)
}

/// The name of a user, where there is one. May ask a directory service, and wait for it.
pub fn name_of(owner: &Owner) -> Option<String> {
    imp::name_of(owner)
}

/// Whom this process runs as.
pub fn own() -> Option<Owner> {
    imp::own()
}

/// Who can do anything anyway.
pub fn root() -> Owner {
    imp::root()
}

/// Root's, ours or a service's, which serve the users of the machine; not another person's.
pub fn may_be_relied_on(owner: &Owner) -> bool {
    own().as_ref() == Some(owner)
        || match owner {
            Owner::Uid(uid) => imp::NUMBERS.is_of_a_service(*uid),
            Owner::Sid(sid) => well_known::is_of_a_service(sid),
        }
}

pub fn is_person(owner: &Owner) -> bool {
    match owner {
        Owner::Uid(uid) => imp::NUMBERS.is_person(*uid),
        Owner::Sid(sid) => !well_known::is_of_a_service(sid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_told_from_people() {
        for (uid, reliable, person) in [(0, true, false), (499, true, false), (123_456, false, true)] {
            let owner = Owner::Uid(uid);
            assert_eq!((may_be_relied_on(&owner), is_person(&owner)), (reliable, person), "{uid}");
        }
        for (sid, reliable) in [
            ("S-1-5-18", true),
            ("S-1-5-80-1-2-3-4-5", true),
            ("S-1-5-21-1-2-3-1001", false),
            ("S-1-12-1-1-2-3-4", false),
        ] {
            let owner = Owner::Sid(sid.into());
            assert_eq!((may_be_relied_on(&owner), is_person(&owner)), (reliable, !reliable), "{sid}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn users_have_names_and_numbers() {
        assert_eq!(find("root").unwrap(), Some(root()));
        assert_eq!(find("4711").unwrap(), Some(Owner::Uid(4711)));
        assert_eq!(find("4294967296").unwrap(), None);
        assert_eq!(name_of(&root()).as_deref(), Some("root"));
        assert_eq!(find("nobody-has-this-name").unwrap(), None);
        assert!(own().is_some());
    }
}
