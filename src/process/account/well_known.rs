//! Identifiers of Windows that are the same on each machine: which of them are accounts.

/// The system itself, its two accounts for services, and those that each service may have of its own.
pub(super) fn is_of_a_service(sid: &str) -> bool {
    ["S-1-5-18", "S-1-5-19", "S-1-5-20"].contains(&sid) || is_virtual("S-1-5-80-", sid)
}

/// The others are groups, and no process is a group's.
pub(super) fn is_account(sid: &str) -> bool {
    is_of_a_service(sid) || is_virtual("S-1-5-82-", sid)
}

/// An account that was made of a name, of a service (80) or of a pool of the web server (82): five numbers are its hash.
/// All services together are `S-1-5-80-0`, a group.
fn is_virtual(kind: &str, sid: &str) -> bool {
    let hash = |rest: &str| rest.split('-').count() == 5 && rest.split('-').all(|part| part.parse::<u32>().is_ok());
    sid.strip_prefix(kind).is_some_and(hash)
}

#[cfg(test)]
mod tests {
    use super::is_account;

    /// Windows names all of them as well-known groups; no process is a group's.
    #[test]
    fn accounts_are_told_from_groups_that_are_as_well_known() {
        for (name, sid, expected) in [
            ("LocalSystem", "S-1-5-18", true),
            ("LocalService", "S-1-5-19", true),
            ("NetworkService", "S-1-5-20", true),
            ("NT SERVICE\\hallpass", "S-1-5-80-1048334654-185639308-2341196751-734829731-2172117685", true),
            ("IIS APPPOOL\\DefaultAppPool", "S-1-5-82-3006700770-424185619-1745488364-794895919-4004696415", true),
            ("NT SERVICE\\ALL SERVICES", "S-1-5-80-0", false),
            ("IIS APPPOOL", "S-1-5-82-0", false),
            ("Everyone", "S-1-1-0", false),
            ("NULL SID", "S-1-0-0", false),
            ("LOCAL", "S-1-2-0", false),
            ("CREATOR OWNER", "S-1-3-0", false),
            ("DIALUP", "S-1-5-1", false),
            ("NETWORK", "S-1-5-2", false),
            ("INTERACTIVE", "S-1-5-4", false),
            ("SERVICE", "S-1-5-6", false),
            ("ANONYMOUS LOGON", "S-1-5-7", false),
            ("SELF", "S-1-5-10", false),
            ("Authenticated Users", "S-1-5-11", false),
            ("RESTRICTED", "S-1-5-12", false),
            ("IUSR", "S-1-5-17", false),
            ("Administrators", "S-1-5-32-544", false),
            ("something that is none", "S-1-5-80-x-1-2-3-4", false),
            ("one number more than 18", "S-1-5-18-1", false),
        ] {
            assert_eq!(is_account(sid), expected, "{name}");
        }
    }
}
