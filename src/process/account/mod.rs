//! The users of this machine by what tells them apart and by name, and for whom this process was started.

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

/// The first process of the machine started this one, as it does with services of the system, and not for a person.
pub fn is_system_service() -> bool {
    imp::is_child_of_init() && own().is_some_and(|own| !is_person(&own))
}

/// Root's, ours or a service's, which serve the users of the machine; not another person's.
pub fn may_be_relied_on(owner: &Owner) -> bool {
    own().as_ref() == Some(owner)
        || match owner {
            Owner::Uid(uid) => *uid < 1000 || (61_184..65_520).contains(uid),
            Owner::Sid(sid) => well_known::is_of_a_service(sid),
        }
}

/// Below are root and the accounts of services; the numbers near 65536 are systemd's (its "UIDs, GIDs") and nobody's.
fn is_person(owner: &Owner) -> bool {
    match owner {
        Owner::Uid(uid) => *uid >= 1000 && !(61_184..65_536).contains(uid),
        Owner::Sid(sid) => !well_known::is_of_a_service(sid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_told_from_people_by_their_numbers() {
        for (uid, person) in
            [(0, false), (999, false), (1000, true), (61_184, false), (65_534, false), (1_000_001, true)]
        {
            assert_eq!(is_person(&Owner::Uid(uid)), person, "{uid}");
        }
        for (uid, reliable) in [(0, true), (998, true), (61_200, true), (65_534, false), (123_456, false)] {
            assert_eq!(may_be_relied_on(&Owner::Uid(uid)), reliable, "{uid}");
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
