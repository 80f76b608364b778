//! The users of this machine by name and number, and for whom this process was started.

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(not(unix), path = "other.rs")]
mod imp;

use std::io;

/// The number of a user, `None` where nobody has that name. May ask a directory service, and wait for it.
pub fn uid_of(name: &str) -> io::Result<Option<u32>> {
    imp::uid_of(name)
}

/// The name of a user, where there is one. May ask a directory service, and wait for it.
pub fn name_of(uid: u32) -> Option<String> {
    imp::name_of(uid)
}

/// Whom this process runs as; `None` where users have no numbers.
pub fn own_uid() -> Option<u32> {
    imp::own_uid()
}

/// The first process of the machine started this one, as it does with services of the system, and not for a person.
pub fn is_system_service() -> bool {
    imp::is_child_of_init() && own_uid().is_some_and(|uid| !is_person(uid))
}

/// Root's, ours or a service's, which serve the users of the machine; not another person's.
pub fn may_be_relied_on(uid: u32) -> bool {
    own_uid() == Some(uid) || uid < 1000 || (61_184..65_520).contains(&uid)
}

/// Below are root and the accounts of services; the numbers near 65536 are systemd's (its "UIDs, GIDs") and nobody's.
fn is_person(uid: u32) -> bool {
    uid >= 1000 && !(61_184..65_536).contains(&uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_told_from_people_by_their_numbers() {
        for (uid, person) in
            [(0, false), (999, false), (1000, true), (61_184, false), (65_534, false), (1_000_001, true)]
        {
            assert_eq!(is_person(uid), person, "{uid}");
        }
        for (uid, reliable) in [(0, true), (998, true), (61_200, true), (65_534, false), (123_456, false)] {
            assert_eq!(may_be_relied_on(uid), reliable, "{uid}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn users_have_names_and_numbers() {
        assert_eq!(uid_of("root").unwrap(), Some(0));
        assert_eq!(name_of(0).as_deref(), Some("root"));
        assert_eq!(uid_of("nobody-has-this-name").unwrap(), None);
        assert!(own_uid().is_some());
    }
}
