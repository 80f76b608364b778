//! What a script returns → hops: `PROXY a:8080; SOCKS b; DIRECT`.
//!
//! As in Chromium and Firefox: entries are separated by `;`, the type is read without regard to case, blanks of any
//! kind may stand around everything, an entry that is wrong is passed over and the next one counts. `SOCKS` is
//! SOCKS4. What was passed over is kept to be shown. What has no usable entry is an error, never `DIRECT`.

use thiserror::Error;

use super::super::Hop;
use crate::address::{Endpoint, Protocol, Target};

/// More hops than anyone waits for.
const MOST_HOPS: usize = 32;

/// How much of an entry that was passed over is kept.
const SHOWN: usize = 80;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    pub hops: Vec<Hop>,
    /// Entries that mean nothing, as they were written.
    pub skipped: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DirectiveError {
    #[error("nothing")]
    Empty,
    #[error("nothing usable: {0:?}")]
    Unusable(String),
}

/// Reads the list. A hop that is named twice is taken once, in its first place.
pub fn parse(returned: &str) -> Result<Directive, DirectiveError> {
    let mut directive = Directive { hops: Vec::new(), skipped: Vec::new() };
    for entry in returned.split(';').map(trimmed).filter(|entry| !entry.is_empty()) {
        match hop(entry) {
            Some(hop) if directive.hops.contains(&hop) => {}
            Some(hop) if directive.hops.len() < MOST_HOPS => directive.hops.push(hop),
            _ if directive.skipped.len() < MOST_HOPS => directive.skipped.push(shortened(entry, SHOWN)),
            _ => {}
        }
    }
    match (directive.hops.is_empty(), directive.skipped.is_empty()) {
        (true, true) => Err(DirectiveError::Empty),
        (true, false) => Err(DirectiveError::Unusable(shortened(trimmed(returned), 2 * SHOWN))),
        (false, _) => Ok(directive),
    }
}

fn hop(entry: &str) -> Option<Hop> {
    let (kind, place) = entry.split_once(is_blank).unwrap_or((entry, ""));
    let place = trimmed(place);
    let (protocol, port) = match kind.to_ascii_uppercase().as_str() {
        "DIRECT" => return place.is_empty().then_some(Hop::Direct),
        "PROXY" | "HTTP" => (Protocol::Http, 80),
        "HTTPS" => (Protocol::Https, 443),
        "SOCKS" | "SOCKS4" => (Protocol::Socks4, 1080),
        "SOCKS5" => (Protocol::Socks5, 1080),
        _ => return None,
    };
    let target = Target::parse(place, Some(port)).ok()?;
    Some(Hop::Upstream(Endpoint { target, protocol }))
}

fn trimmed(text: &str) -> &str {
    text.trim_matches(is_blank)
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\0' || c == '\u{feff}'
}

/// The beginning of a text, for people.
pub fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.into(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(returned: &str) -> (Vec<String>, Vec<String>) {
        match parse(returned) {
            Ok(Directive { hops, skipped }) => (hops.iter().map(Hop::to_string).collect(), skipped),
            Err(error) => panic!("{returned:?}: {error}"),
        }
    }

    #[test]
    fn what_browsers_take_becomes_hops_in_order() {
        let rows: &[(&str, &[&str])] = &[
            ("DIRECT", &["direct"]),
            ("direct", &["direct"]),
            ("DiReCt;", &["direct"]),
            ("  DIRECT  ", &["direct"]),
            ("PROXY p:8080", &["http://p:8080"]),
            ("proxy P.Corp.Example:8080", &["http://p.corp.example:8080"]),
            ("PROXY p", &["http://p:80"]),
            ("HTTP p:3128", &["http://p:3128"]),
            ("HTTPS p", &["https://p:443"]),
            ("https p:8443", &["https://p:8443"]),
            ("SOCKS s", &["socks4://s:1080"]),
            ("SOCKS4 s:1081", &["socks4://s:1081"]),
            ("SOCKS5 s", &["socks5://s:1080"]),
            ("socks5 s:9050", &["socks5://s:9050"]),
            ("PROXY a:1; PROXY b:2", &["http://a:1", "http://b:2"]),
            ("PROXY a:1;PROXY b:2", &["http://a:1", "http://b:2"]),
            ("PROXY a:1 ;; ; PROXY b:2;;", &["http://a:1", "http://b:2"]),
            ("PROXY\ta:1", &["http://a:1"]),
            ("PROXY   a:1", &["http://a:1"]),
            ("PROXY a:1;\r\n\tDIRECT\n", &["http://a:1", "direct"]),
            ("\nPROXY a:1\n", &["http://a:1"]),
            ("PROXY 192.0.2.1:8080", &["http://192.0.2.1:8080"]),
            ("PROXY [2001:db8::1]:8080", &["http://[2001:db8::1]:8080"]),
            ("PROXY [2001:db8::1]", &["http://[2001:db8::1]:80"]),
            ("PROXY 2001:db8::1", &[]),
            ("PROXY a:1; PROXY a:1; DIRECT", &["http://a:1", "direct"]),
            ("DIRECT; DIRECT", &["direct"]),
            ("PROXY a:1; HTTP a:1", &["http://a:1"]),
            ("PROXY a:1; HTTPS a:1", &["http://a:1", "https://a:1"]),
            ("DIRECT; PROXY a:1", &["direct", "http://a:1"]),
            ("PROXY a.:80", &["http://a:80"]),
            ("PROXY a_b.example:80", &["http://a_b.example:80"]),
            (" \u{a0}PROXY a:1\u{a0}", &["http://a:1"]),
        ];
        for (returned, hops) in rows {
            if hops.is_empty() {
                assert!(parse(returned).is_err(), "{returned:?}");
            } else {
                assert_eq!(read(returned), (hops.iter().map(|hop| (*hop).into()).collect(), vec![]), "{returned:?}");
            }
        }
    }

    #[test]
    fn what_means_nothing_is_passed_over_and_named() {
        let rows: &[(&str, &[&str], &[&str])] = &[
            ("QUIC q:443; PROXY a:1", &["http://a:1"], &["QUIC q:443"]),
            ("PROXY; DIRECT", &["direct"], &["PROXY"]),
            ("PROXY :8080; DIRECT", &["direct"], &["PROXY :8080"]),
            ("PROXY a:; DIRECT", &["direct"], &["PROXY a:"]),
            ("PROXY a:0; DIRECT", &["direct"], &["PROXY a:0"]),
            ("PROXY a:99999; DIRECT", &["direct"], &["PROXY a:99999"]),
            ("PROXY a:80 b:80; DIRECT", &["direct"], &["PROXY a:80 b:80"]),
            ("PROXY http://a:80; DIRECT", &["direct"], &["PROXY http://a:80"]),
            ("PROXY u:p@a:80; DIRECT", &["direct"], &["PROXY u:p@a:80"]),
            ("DIRECT now; PROXY a:1", &["http://a:1"], &["DIRECT now"]),
            ("PROXY a:1, PROXY b:2; DIRECT", &["direct"], &["PROXY a:1, PROXY b:2"]),
            ("a:8080; PROXY a:1", &["http://a:1"], &["a:8080"]),
            ("PROXY a/b:80; DIRECT", &["direct"], &["PROXY a/b:80"]),
        ];
        for (returned, hops, skipped) in rows {
            let wanted = (hops.iter().map(|h| (*h).into()).collect(), skipped.iter().map(|s| (*s).into()).collect());
            assert_eq!(read(returned), wanted, "{returned:?}");
        }
    }

    #[test]
    fn nothing_usable_is_an_error_and_never_direct() {
        for returned in ["", " ", ";", " ; ;\n", "\0", "\u{feff}"] {
            assert_eq!(parse(returned), Err(DirectiveError::Empty), "{returned:?}");
        }
        for returned in ["PROXY", "undefined", "null", "false", "DIRECT!", "PROXY a:b", "<html>", "DIRECTPROXY a:1"] {
            assert_eq!(parse(returned), Err(DirectiveError::Unusable(returned.into())), "{returned:?}");
        }
    }

    #[test]
    fn a_list_without_end_is_cut() {
        let list: String = (1..10_000).map(|port| format!("PROXY a:{port}; nonsense {port};")).collect();
        let directive = parse(&list).unwrap();
        assert_eq!((directive.hops.len(), directive.skipped.len()), (MOST_HOPS, MOST_HOPS));
        let Err(DirectiveError::Unusable(shown)) = parse(&"é".repeat(10_000)) else { panic!("no error") };
        assert!(shown.chars().count() <= 2 * SHOWN + 1);
    }
}
