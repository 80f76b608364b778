//! Which numbers of users are services' and which are people's: each kind of system gives them out in ranges of its own.

use std::ops::Range;

#[derive(Debug)]
pub struct Numbers {
    /// Root and the accounts of services.
    services: Range<u32>,
    /// Those that the system lends to services for as long as they run.
    lent: Range<u32>,
    /// Whoever has no rights: no person, and not to be relied on.
    nobody: Range<u32>,
}

/// systemd's "Users, Groups, UIDs and GIDs" has those near 65536.
pub const LINUX: Numbers = Numbers { services: 0..1000, lent: 61_184..65_520, nobody: 65_520..65_536 };

/// People's begin with 501, and nobody is -2.
pub const MACOS: Numbers = Numbers { services: 0..500, lent: 0..0, nobody: u32::MAX - 1..u32::MAX };

impl Numbers {
    pub fn is_of_a_service(&self, uid: u32) -> bool {
        self.services.contains(&uid) || self.lent.contains(&uid)
    }

    pub fn is_person(&self, uid: u32) -> bool {
        !self.is_of_a_service(uid) && !self.nobody.contains(&uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_told_from_people_by_their_numbers() {
        for (numbers, uid, of_a_service, person) in [
            (&LINUX, 0, true, false),
            (&LINUX, 999, true, false),
            (&LINUX, 1000, false, true),
            (&LINUX, 61_183, false, true),
            (&LINUX, 61_184, true, false),
            (&LINUX, 65_534, false, false),
            (&LINUX, 1_000_001, false, true),
            (&MACOS, 0, true, false),
            (&MACOS, 499, true, false),
            (&MACOS, 501, false, true),
            (&MACOS, 999, false, true),
            (&MACOS, 61_200, false, true),
            // Of a directory.
            (&MACOS, 1_234_567_890, false, true),
            (&MACOS, 4_294_967_294, false, false),
        ] {
            assert_eq!(
                (numbers.is_of_a_service(uid), numbers.is_person(uid)),
                (of_a_service, person),
                "{numbers:?} {uid}"
            );
        }
    }
}
