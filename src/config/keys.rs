//! Every key there is, and the nearest one to a key that is not.

/// The keys of this version. `*` is a name that the user picks, `#` the number of a table in a list of tables.
const KEYS: &[&str] = &[
    "listen",
    "access.users",
    "access.token",
    "access.allow",
    "access.metrics",
    "grace",
    "drain_delay",
    "connect_timeout",
    "handshake_timeout",
    "head_timeout",
    "idle_timeout",
    "half_close_timeout",
    "keepalive",
    "max_clients",
    "max_logons",
    "warm_handshakes",
    "max_head",
    "local_hosts",
    "connect_ports",
    "connect_port_80",
    "listeners.#.interface",
    "listeners.#.port",
    "listeners.#.allow",
    "listeners.#.token",
    "listeners.#.socks5",
    "tunnels.#.listen",
    "tunnels.#.target",
    "profile",
    "direct_fallback",
    "never_direct",
    "no_proxy",
    "user_agent",
    "pac.url",
    "pac.refresh",
    "pac.timeout",
    "pac.memory",
    "pac.wpad",
    "rules.#.hosts",
    "rules.#.cidr",
    "rules.#.resolve",
    "rules.#.ports",
    "rules.#.schemes",
    "rules.#.programs",
    "rules.#.use",
    "rules.#.reason",
    "profiles.*.when.dns_suffix",
    "profiles.*.when.subnet",
    "profiles.*.when.resolves",
    "profiles.*.when.reachable",
    "profiles.*.when.gateway",
    "profiles.*.upstreams",
    "profiles.*.pac",
    "profiles.*.no_proxy",
    "profiles.*.rules.#.hosts",
    "profiles.*.rules.#.cidr",
    "profiles.*.rules.#.resolve",
    "profiles.*.rules.#.ports",
    "profiles.*.rules.#.schemes",
    "profiles.*.rules.#.programs",
    "profiles.*.rules.#.use",
    "profiles.*.rules.#.reason",
    "upstreams.*.url",
    "upstreams.*.credential",
    "upstreams.*.schemes",
    "upstreams.*.spn",
    "upstreams.*.canonicalize",
    "upstreams.*.channel_bindings",
    "upstreams.*.ca_file",
    "upstreams.*.client_cert",
    "upstreams.*.client_key",
    "credentials.*.user",
    "credentials.*.password",
    "credentials.*.password_command",
    "credentials.*.nt_hash",
    "credentials.*.keytab",
    "credentials.*.realm",
    "credentials.*.kdc",
    "credentials.*.separate_account",
    "credentials.*.for",
    "audit.to",
    "audit.max_size",
    "audit.max_age",
    "audit.keep",
    "log.level",
    "log.format",
];

/// What people write, and where it belongs.
const ELSEWHERE: &[(&str, &str)] = &[
    ("upstream", "url in a table [upstreams.NAME]"),
    ("proxy", "url in a table [upstreams.NAME]"),
    ("pac_url", "url in the table [pac]"),
    ("wpad", "wpad in the table [pac]"),
    ("scheme", "schemes in a table [upstreams.NAME]"),
    ("user", "user in a table [credentials.NAME]"),
    ("username", "user in a table [credentials.NAME]"),
    ("domain", "user = 'DOMAIN\\user' in a table [credentials.NAME]"),
    ("password", "password in a table [credentials.NAME]"),
    ("port", "listen = [\"127.0.0.1:PORT\"]"),
];

/// What a path of keys leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Key,
    Table,
    /// A table whose name the user picked, such as `upstreams.office`.
    Named,
    /// A list of tables, such as `[[tunnels]]`; a number leads to one of them.
    Tables,
    Unknown,
}

pub fn find(path: &[&str]) -> Found {
    find_in(KEYS, path)
}

/// The key as it stands in the list of all keys, with `*` and `#`.
pub fn pattern(path: &[&str]) -> Option<&'static str> {
    let fits = |key: &&&'static str| {
        let parts: Vec<&str> = key.split('.').collect();
        parts.len() == path.len() && leads(path, &parts)
    };
    KEYS.iter().find(fits).copied()
}

pub(super) fn find_in(keys: &[&str], path: &[&str]) -> Found {
    let mut keys = keys.iter().map(|key| key.split('.').collect::<Vec<_>>());
    let Some(key) = keys.find(|key| leads(path, key)) else { return Found::Unknown };
    match (key[path.len() - 1], key.get(path.len())) {
        (_, None) => Found::Key,
        (_, Some(&"#")) => Found::Tables,
        ("*" | "#", Some(_)) => Found::Named,
        (_, Some(_)) => Found::Table,
    }
}

pub fn all() -> impl Iterator<Item = &'static str> {
    KEYS.iter().copied()
}

/// Keys that have one fixed name and so can be an environment variable.
pub fn fixed() -> impl Iterator<Item = &'static str> {
    KEYS.iter().copied().filter(|key| !key.contains(['*', '#']))
}

/// What the user may have meant by an unknown key.
pub fn meant(path: &[&str]) -> Option<String> {
    let last = *path.last()?;
    if path.len() > 1 && KEYS.contains(&last) {
        return Some(format!("{last} stands above the first [table] of the file"));
    }
    if let Some((_, place)) = ELSEWHERE.iter().find(|(written, _)| path.len() == 1 && *written == last) {
        return Some(format!("write {place}"));
    }
    nearest(last, siblings(path).into_iter()).map(|key| format!("did you mean {key}?"))
}

/// The candidate that differs by the fewest keystrokes, if that is few.
pub fn nearest<'a>(written: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let far = 1 + written.len() / 4;
    let distance = |key: &str| strsim::damerau_levenshtein(&written.to_ascii_lowercase(), &key.to_ascii_lowercase());
    candidates.map(|key| (distance(key), key)).filter(|(d, _)| *d <= far).min().map(|(_, key)| key)
}

fn siblings(path: &[&str]) -> Vec<&'static str> {
    let (_, parents) = path.split_last().unwrap_or((&"", &[]));
    let mut names: Vec<&str> = KEYS
        .iter()
        .filter(|key| leads(parents, &key.split('.').collect::<Vec<_>>()))
        .filter_map(|key| key.split('.').nth(parents.len()))
        .filter(|name| !["*", "#"].contains(name))
        .collect();
    names.dedup();
    names
}

fn leads(path: &[&str], key: &[&str]) -> bool {
    path.len() <= key.len() && path.iter().zip(key).all(|(part, wanted)| ["*", "#"].contains(wanted) || part == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_a_key_a_table_or_nothing() {
        for (path, found) in [
            (&["grace"][..], Found::Key),
            (&["upstreams"], Found::Table),
            (&["upstreams", "office"], Found::Named),
            (&["upstreams", "office", "url"], Found::Key),
            (&["upstreams", "office", "url", "x"], Found::Unknown),
            (&["log"], Found::Table),
            (&["pac"], Found::Table),
            (&["pac", "url"], Found::Key),
            (&["rules"], Found::Tables),
            (&["profiles", "office", "when"], Found::Table),
            (&["access"], Found::Table),
            (&["access", "users"], Found::Key),
            (&["grcae"], Found::Unknown),
        ] {
            assert_eq!(find(path), found, "{path:?}");
        }
    }

    #[test]
    fn a_list_of_tables_is_told_from_a_table_and_may_stand_in_one() {
        let keys = ["ways.#.port", "profiles.*.ways.#.port", "profiles.*.when.subnet"];
        for (path, found) in [
            (&["ways"][..], Found::Tables),
            (&["ways", "1"], Found::Named),
            (&["ways", "1", "port"], Found::Key),
            (&["ways", "1", "prot"], Found::Unknown),
            (&["profiles"], Found::Table),
            (&["profiles", "office"], Found::Named),
            (&["profiles", "office", "ways"], Found::Tables),
            (&["profiles", "office", "ways", "2", "port"], Found::Key),
            (&["profiles", "office", "when"], Found::Table),
        ] {
            assert_eq!(find_in(&keys, path), found, "{path:?}");
        }
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_likely_one() {
        for (path, hint) in [
            (&["grcae"][..], "did you mean grace?"),
            (&["noproxy"], "did you mean no_proxy?"),
            (&["upstream"], "write url in a table [upstreams.NAME]"),
            (&["upstreams", "office", "uri"], "did you mean url?"),
            (&["credentials", "corp", "pasword"], "did you mean password?"),
            (&["log", "grace"], "grace stands above the first [table] of the file"),
        ] {
            assert_eq!(meant(path).as_deref(), Some(hint));
        }
        assert_eq!(meant(&["something_else"]), None);
    }
}
