//! Who may change a file, by the access lists of Windows: judged for what the machine trusts, written for what is ours.

#[cfg(windows)]
mod windows;

#[cfg(windows)]
pub use windows::{Held, access_of, create_file, make_directory, own_sid, program_data, strangers_at, strangers_by};

/// The account that the service control manager makes for our service, `NT SERVICE\hallpass`: S-1-5-80 and the SHA-1 of
/// the name in capitals.
pub const SERVICE_SID: &str = "S-1-5-80-1048334654-185639308-2341196751-734829731-2172117685";

const SYSTEM: &str = "S-1-5-18";
const ADMINISTRATORS: &str = "S-1-5-32-544";
const TRUSTED_INSTALLER: &str = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464";
/// Stand for whoever the owner is, who is judged anyway.
const OWNER: [&str; 2] = ["S-1-3-0", "S-1-3-4"];
const EVERYONE: &str = "S-1-1-0";

/// Rights by which somebody changes a file, puts another into its place, or gives such a right to himself: to write, to
/// append, to delete it or what is in it, to change its list or its owner, and what stands for several of them.
const CHANGING: u32 = 0x2 | 0x4 | 0x40 | 0x1_0000 | 0x4_0000 | 0x8_0000 | 0x1000_0000 | 0x4000_0000;

/// Rights to a directory by which somebody puts another into its place, or into that of one in it: to delete what is in
/// it, to change its list or its owner, and all of them; and to delete it, which nobody can with a drive.
const REPLACING: u32 = 0x40 | 0x4_0000 | 0x8_0000 | 0x1000_0000;
const DELETING: u32 = 0x1_0000;

/// Not inherited from above, where every user may add something.
const ADMINISTRATORS_OWN: &str = "O:BAG:SYD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)";

/// One entry of a list that allows something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    pub sid: String,
    pub mask: u32,
}

/// Whose a file is, and who may do what to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub owner: String,
    /// Without a list everybody may do everything.
    pub list: Option<Vec<Allowed>>,
}

/// Those who may change the file and are neither administrators, nor the system, nor our service, nor `ourselves`.
/// Entries that deny are not looked at: what they take away may be given again by another group.
pub fn strangers(access: &Access, ourselves: &str) -> Vec<String> {
    strangers_with(CHANGING, access, ourselves)
}

/// Those who may put another directory into the place of one in this one, however deep, or of itself.
pub fn strangers_above(access: &Access, is_root: bool, ourselves: &str) -> Vec<String> {
    strangers_with(if is_root { REPLACING } else { REPLACING | DELETING }, access, ourselves)
}

fn strangers_with(rights: u32, access: &Access, ourselves: &str) -> Vec<String> {
    let known = [SYSTEM, ADMINISTRATORS, TRUSTED_INSTALLER, SERVICE_SID, ourselves];
    let everyone = [Allowed { sid: EVERYONE.into(), mask: CHANGING }];
    let list = access.list.as_deref().unwrap_or(&everyone);
    let changing = list.iter().filter(|entry| entry.mask & rights != 0).map(|entry| entry.sid.as_str());
    let mut found: Vec<String> = changing
        .filter(|sid| !OWNER.contains(sid))
        .chain([access.owner.as_str()])
        .filter(|sid| !known.contains(sid))
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

/// The directory of the machine's configuration, in the language of security descriptors: administrators may change it,
/// users read it.
pub fn of_configuration() -> String {
    format!("{ADMINISTRATORS_OWN}(A;OICI;FRFX;;;{SERVICE_SID})(A;OICI;FRFX;;;BU)")
}

/// The directory of what the service keeps: its records say where people went.
pub fn of_state() -> String {
    format!("{ADMINISTRATORS_OWN}(A;OICI;0x1301bf;;;{SERVICE_SID})")
}

/// The directory in which the service says where it listens: everybody may know.
pub fn of_run() -> String {
    format!("{ADMINISTRATORS_OWN}(A;OICI;0x1301bf;;;{SERVICE_SID})(A;OICI;FRFX;;;BU)")
}

/// A file with a secret in it, of one user.
pub fn of_secret(user: &str) -> String {
    format!("D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;{user})")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "S-1-5-21-1-2-3-1001";
    const USERS: &str = "S-1-5-32-545";
    const READ: u32 = 0x12_00a9;
    const FULL: u32 = 0x1f_01ff;
    const MODIFY: u32 = 0x13_01bf;

    fn found(owner: &str, list: &[(&str, u32)]) -> Vec<String> {
        let list = list.iter().map(|(sid, mask)| Allowed { sid: (*sid).into(), mask: *mask }).collect();
        strangers(&Access { owner: owner.into(), list: Some(list) }, ALICE)
    }

    #[test]
    fn a_file_that_only_administrators_the_system_and_our_service_may_change_is_trusted() {
        for (owner, list) in [
            (ADMINISTRATORS, &[(SYSTEM, FULL), (ADMINISTRATORS, FULL), (USERS, READ)][..]),
            (SYSTEM, &[(SERVICE_SID, MODIFY), (EVERYONE, READ)]),
            (TRUSTED_INSTALLER, &[(TRUSTED_INSTALLER, FULL)]),
            // Of the owner, who is an administrator.
            (ADMINISTRATORS, &[("S-1-3-0", FULL), ("S-1-3-4", FULL)]),
            // Ourselves.
            (ALICE, &[(ALICE, FULL)]),
            (ADMINISTRATORS, &[]),
        ] {
            assert_eq!(found(owner, list), [""; 0], "{owner} {list:x?}");
        }
    }

    #[test]
    fn each_right_by_which_a_stranger_could_change_it_is_seen() {
        for mask in [0x2, 0x4, 0x40, 0x1_0000, 0x4_0000, 0x8_0000, 0x1000_0000, 0x4000_0000, MODIFY, FULL] {
            assert_eq!(found(ADMINISTRATORS, &[(USERS, READ | mask)]), [USERS], "{mask:x}");
        }
        for mask in [READ, 0x8000_0000, 0x2000_0000, 0x10, 0x80, 0x100, 0x10_0000] {
            assert_eq!(found(ADMINISTRATORS, &[(USERS, mask)]), [""; 0], "{mask:x}");
        }
    }

    #[test]
    fn above_a_directory_a_stranger_may_add_something_but_replace_nothing() {
        let found = |owner: &str, mask, is_root| {
            let list = Some(vec![Allowed { sid: USERS.into(), mask }]);
            strangers_above(&Access { owner: owner.into(), list }, is_root, ALICE)
        };
        for mask in [0x40, 0x4_0000, 0x8_0000, 0x1000_0000, FULL] {
            assert_eq!(
                (found(SYSTEM, mask, false), found(SYSTEM, mask, true)),
                (vec![USERS.into()], vec![USERS.into()]),
                "{mask:x}"
            );
        }
        for mask in [READ, 0x2, 0x4, 0x4000_0000, 0x8000_0000] {
            assert_eq!(found(SYSTEM, READ | mask, false), [""; 0], "{mask:x}");
        }
        // As users have it of a second drive; of a directory it allows to rename it.
        assert_eq!((found(SYSTEM, MODIFY, true), found(SYSTEM, MODIFY, false)), (Vec::new(), vec![USERS.into()]));
        let bob = "S-1-5-21-1-2-3-1002";
        assert_eq!(found(bob, READ, true), [bob]);
    }

    #[test]
    fn an_owner_may_give_every_right_to_himself() {
        let bob = "S-1-5-21-1-2-3-1002";
        assert_eq!(found(bob, &[(bob, READ)]), [bob]);
        assert_eq!(found(bob, &[(USERS, FULL), (bob, FULL), (EVERYONE, FULL)]), [EVERYONE, bob, USERS]);
    }

    #[test]
    fn without_a_list_everybody_may_change_it() {
        let access = Access { owner: SYSTEM.into(), list: None };
        assert_eq!(strangers(&access, ALICE), [EVERYONE]);
    }

    #[test]
    fn what_is_ours_inherits_nothing_and_users_read_only_the_configuration() {
        for descriptor in [of_configuration(), of_state(), of_run(), of_secret(ALICE)] {
            assert!(descriptor.contains("D:P(A;"), "{descriptor}");
        }
        assert!(of_configuration().ends_with("(A;OICI;FRFX;;;BU)"));
        assert!(of_run().ends_with("(A;OICI;FRFX;;;BU)") && of_run().contains(SERVICE_SID));
        assert!(!of_state().contains("BU") && of_state().contains(SERVICE_SID));
        assert!(of_secret(ALICE).ends_with(&format!("(A;;FA;;;{ALICE})")));
    }
}
