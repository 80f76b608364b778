//! Whether a process is a service of the machine, by what it knows of itself.

use crate::process::account::numbers::Numbers;

/// What a process of Unix knows of how it began.
#[derive(Debug, Clone, Copy)]
pub struct Beginning {
    /// The first process of the machine is its parent, as of the machine's services, and of orphans.
    pub is_child_of_init: bool,
    /// That process says so itself, where it does that.
    pub is_announced: bool,
    pub uid: u32,
}

pub fn is_of_the_machine(beginning: Beginning, numbers: &Numbers) -> bool {
    beginning.is_child_of_init && beginning.is_announced && !numbers.is_person(beginning.uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::account::numbers::{LINUX, MACOS};

    #[test]
    fn a_service_is_the_machines_where_init_starts_it_and_not_for_a_person() {
        for (numbers, is_child_of_init, is_announced, uid, wanted) in [
            (&LINUX, true, true, 0, true),
            (&LINUX, true, true, 998, true),
            // Lent by systemd.
            (&LINUX, true, true, 61_200, true),
            (&LINUX, true, true, 65_534, true),
            (&LINUX, true, true, 1000, false),
            // In a container, or an orphan.
            (&LINUX, true, false, 0, false),
            // A unit's program has started us.
            (&LINUX, false, true, 0, false),
            (&MACOS, true, true, 0, true),
            (&MACOS, true, true, 499, true),
            // An agent, which launchd starts too.
            (&MACOS, true, true, 501, false),
            (&MACOS, false, true, 0, false),
        ] {
            let beginning = Beginning { is_child_of_init, is_announced, uid };
            assert_eq!(is_of_the_machine(beginning, numbers), wanted, "{beginning:?} {numbers:?}");
        }
    }
}
