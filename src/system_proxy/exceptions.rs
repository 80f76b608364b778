//! The exceptions of a system's settings in our dialect of `no_proxy`.
//!
//! `<local>` is a flag of its own. A name without a star covers what is below it too, which Windows does not mean,
//! but GNOME, KDE and every tool do. What cannot be said is told.

use crate::route::no_proxy::NoProxy;

/// A list in our dialect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exceptions {
    pub no_proxy: String,
    pub short_names_direct: bool,
    pub notes: Vec<String>,
}

/// `source` is whose list it is, for the notes.
pub fn translate<'a>(source: &str, entries: impl IntoIterator<Item = &'a str>) -> Exceptions {
    let mut list = Vec::new();
    let mut found = Exceptions::default();
    for entry in entries.into_iter().map(str::trim).filter(|entry| !entry.is_empty()) {
        if entry.eq_ignore_ascii_case("<local>") {
            found.short_names_direct = true;
            continue;
        }
        // Loopback never goes to a proxy, so this asks for nothing that could be done.
        let wanted = if entry.eq_ignore_ascii_case("<-loopback>") { None } else { one(entry) };
        match wanted {
            Some(ours) => list.push(ours),
            None => found.notes.push(format!("{source}: the exception {entry} cannot be kept: write a rule for it")),
        }
    }
    found.no_proxy = list.join(", ");
    found
}

fn one(entry: &str) -> Option<String> {
    let spelled = network_of_wildcard(entry).or_else(|| short_network(entry)).unwrap_or_else(|| entry.to_string());
    // `*example.com` is `example.com` to all but a name that ends the same by chance.
    let spelled = match spelled.strip_prefix('*') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_alphanumeric()) => rest.to_string(),
        _ => spelled,
    };
    NoProxy::parse(&spelled).1.is_empty().then_some(spelled)
}

/// `10.*` and `192.168.1.*` are networks.
fn network_of_wildcard(entry: &str) -> Option<String> {
    let parts: Vec<&str> = entry.split('.').collect();
    let fixed: Vec<&str> = parts.iter().copied().take_while(|part| *part != "*").collect();
    let stars = parts.len() - fixed.len();
    let octets = (1..=3).contains(&fixed.len()) && fixed.iter().all(|part| part.parse::<u8>().is_ok());
    (octets && stars > 0 && parts.len() <= 4 && parts[fixed.len()..].iter().all(|part| *part == "*"))
        .then(|| padded(&fixed, 8 * fixed.len()))
}

/// `169.254/16`, as macOS writes networks.
fn short_network(entry: &str) -> Option<String> {
    let (address, prefix) = entry.split_once('/')?;
    let octets: Vec<&str> = address.split('.').collect();
    let short = (1..=3).contains(&octets.len()) && octets.iter().all(|octet| octet.parse::<u8>().is_ok());
    short.then(|| prefix.parse().ok()).flatten().map(|prefix| padded(&octets, prefix))
}

fn padded(octets: &[&str], prefix: usize) -> String {
    let mut all = octets.to_vec();
    all.resize(4, "0");
    format!("{}/{prefix}", all.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_that_can_be_said_is_said_in_our_dialect() {
        for (theirs, ours) in [
            ("*.corp.example", "*.corp.example"),
            (".corp.example", ".corp.example"),
            ("intranet.example", "intranet.example"),
            ("*corp.example", "corp.example"),
            ("10.*", "10.0.0.0/8"),
            ("192.168.*", "192.168.0.0/16"),
            ("192.168.*.*", "192.168.0.0/16"),
            ("172.16.1.*", "172.16.1.0/24"),
            ("127.0.0.0/8", "127.0.0.0/8"),
            ("169.254/16", "169.254.0.0/16"),
            ("10/8", "10.0.0.0/8"),
            ("::1", "::1"),
            ("[fd00::]/8", "[fd00::]/8"),
            ("10.1.2.3:8080", "10.1.2.3:8080"),
            ("*", "*"),
        ] {
            let found = translate("x", [theirs]);
            assert_eq!((found.no_proxy.as_str(), found.notes.len()), (ours, 0), "{theirs}");
        }
    }

    #[test]
    fn what_cannot_be_said_is_told_and_the_rest_is_kept() {
        let entries = ["a*.example", "<LOCAL>", "https://secure.example", "10.*.1", "<-loopback>", "", " b.example "];
        let found = translate("Windows", entries);
        assert_eq!(found.no_proxy, "a*.example, 10.*.1, b.example");
        assert!(found.short_names_direct);
        assert_eq!(
            found.notes,
            ["https://secure.example", "<-loopback>"]
                .map(|entry| format!("Windows: the exception {entry} cannot be kept: write a rule for it"))
        );
    }
}
