//! The environment variables by which programs find their proxy.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

use super::Trust;
use crate::secret::Secret;

/// What no program needs to ask a relay on its own machine for.
const LOOPBACK: &str = "localhost,127.0.0.1,::1";

/// Node's: certificates besides those that it has.
const ADDING_CA: &str = "NODE_EXTRA_CA_CERTS";

/// Certificates in place of all others: OpenSSL's (Go's, uv's, wget's too), those of Python's requests and pip, curl's, git's
/// and cargo's.
const REPLACING_CA: [&str; 6] =
    ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT", "CARGO_HTTP_CAINFO"];

/// What a program is to know.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub relay: SocketAddr,
    /// The exceptions that are there already, in any dialect; loopback joins them.
    pub no_proxy: Option<&'a str>,
    /// What the relay wants to be shown by its clients.
    pub token: Option<&'a Secret>,
    pub trust: Option<Trust<'a>>,
}

/// Names and values, each in both cases where programs differ: curl reads `http_proxy` only in lower case, others
/// only look for upper case.
pub fn variables(wanted: &Wanted) -> Vec<(&'static str, OsString)> {
    let url = url(wanted);
    let no_proxy = exceptions(wanted.no_proxy.unwrap_or_default());
    let mut variables: Vec<(&'static str, OsString)> =
        ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"].map(|name| (name, url.clone().into())).into();
    variables.extend(["NO_PROXY", "no_proxy"].map(|name| (name, no_proxy.clone().into())));
    // Node's own fetch and http look at the others only then.
    variables.push(("NODE_USE_ENV_PROXY", "1".into()));
    if let Some(Trust { extra, combined }) = wanted.trust {
        variables.extend(ca_variables(extra, combined));
    }
    variables
}

/// The token stands where a password does; the name before it is no matter to the relay.
fn url(wanted: &Wanted) -> String {
    let token = wanted.token.map(|token| format!("hallpass:{}@", in_url(token.expose()))).unwrap_or_default();
    format!("http://{token}{}", wanted.relay)
}

/// All but what RFC 3986 calls unreserved, byte by byte.
fn in_url(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// A list of exceptions, and loopback where it is not in it yet: what was set once is not longer when it is set again.
pub fn exceptions(list: &str) -> String {
    let list = list.trim().trim_end_matches([',', ' ']);
    let is_there = |name: &str| list.split([',', ' ']).any(|entry| entry.eq_ignore_ascii_case(name));
    let missing = LOOPBACK.split(',').filter(|name| list != "*" && !is_there(name));
    let all: Vec<&str> = Some(list).filter(|list| !list.is_empty()).into_iter().chain(missing).collect();
    all.join(",")
}

/// What makes programs trust further certificates. Node adds `extra` to what it has; whatever reads one of the others
/// trusts that file and nothing else, so it must be `combined`: what the system trusts, and `extra` (see
/// [`super::bundle`]).
fn ca_variables(extra: &Path, combined: &Path) -> Vec<(&'static str, OsString)> {
    let of_combined = REPLACING_CA.map(|name| (name, combined.into()));
    [(ADDING_CA, extra.into())].into_iter().chain(of_combined).collect()
}

/// Every name that is ever set, to be taken back.
pub fn names() -> Vec<&'static str> {
    let relay = SocketAddr::from(([127, 0, 0, 1], 0));
    let of_proxy = variables(&Wanted { relay, no_proxy: None, token: None, trust: None });
    of_proxy.iter().map(|(name, _)| *name).chain([ADDING_CA]).chain(REPLACING_CA).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_keep_what_was_there_and_do_not_grow() {
        for (before, after) in [
            ("", "localhost,127.0.0.1,::1"),
            ("corp.example", "corp.example,localhost,127.0.0.1,::1"),
            ("a b, ", "a b,localhost,127.0.0.1,::1"),
            ("LOCALHOST,x", "LOCALHOST,x,127.0.0.1,::1"),
            ("*", "*"),
        ] {
            assert_eq!(exceptions(before), after, "{before:?}");
            assert_eq!(exceptions(after), after, "{after:?}");
        }
    }

    #[test]
    fn only_node_is_given_what_is_added_and_all_others_get_everything() {
        let set = ca_variables(Path::new("/corp.pem"), Path::new("/all.pem"));
        for (name, value) in &set {
            assert_eq!(value, if *name == "NODE_EXTRA_CA_CERTS" { "/corp.pem" } else { "/all.pem" }, "{name}");
        }
        assert!(set.len() > 6 && set.iter().all(|(name, _)| names().contains(name)), "{set:?}");
    }

    #[test]
    fn both_cases_say_the_same_and_loopback_is_no_matter_for_the_relay() {
        let relay = SocketAddr::from(([127, 0, 0, 1], 3128));
        let trust = Trust { extra: Path::new("/ca.pem"), combined: Path::new("/all.pem") };
        let found = variables(&Wanted { relay, no_proxy: Some("corp.example "), token: None, trust: Some(trust) });
        let value =
            |name: &str| found.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()).unwrap();
        for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"] {
            assert_eq!(value(name), "http://127.0.0.1:3128", "{name}");
        }
        assert_eq!(value("NO_PROXY"), "corp.example,localhost,127.0.0.1,::1");
        assert_eq!(value("no_proxy"), value("NO_PROXY"));
        assert_eq!((value("NODE_USE_ENV_PROXY"), value("NODE_EXTRA_CA_CERTS")), ("1".into(), "/ca.pem".into()));
        assert_eq!(value("GIT_SSL_CAINFO"), "/all.pem");
    }

    #[test]
    fn a_token_is_part_of_the_address_whatever_is_in_it() {
        let relay = SocketAddr::from(([127, 0, 0, 1], 3128));
        let token = Secret::new("a:/@é%");
        let found = variables(&Wanted { relay, no_proxy: None, token: Some(&token), trust: None });
        assert_eq!(found[0].1, "http://hallpass:a%3A%2F%40%C3%A9%25@127.0.0.1:3128");
    }
}
