//! A proxy as a variable or a setting spells it: `http://host:port`, `host:port`, `socks5h://host`.

use crate::address::{AddressError, Endpoint, Protocol, Target};

/// A proxy that was named, and what was named with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    pub endpoint: Endpoint,
    /// A user name or password stood in it.
    pub had_userinfo: bool,
}

/// Without a scheme it is HTTP, as everywhere.
pub fn endpoint(text: &str) -> Result<Value, AddressError> {
    let (scheme, rest) = text.trim().split_once("://").unwrap_or(("http", text.trim()));
    let (protocol, port) = match scheme.to_ascii_lowercase().as_str() {
        "https" => (Protocol::Https, 443),
        // Who resolves a name is not asked: it is always the proxy.
        "socks" | "socks5" | "socks5h" => (Protocol::Socks5, 1080),
        "socks4" | "socks4a" => (Protocol::Socks4, 1080),
        _ => (Protocol::Http, 80),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (userinfo, place) = authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
    let target = Target::parse(place.trim_end_matches(':'), Some(port))?;
    Ok(Value { endpoint: Endpoint { target, protocol }, had_userinfo: userinfo.is_some() })
}

/// The user name that stands in it, for whoever may take it for a suggestion.
pub fn user_name(text: &str) -> Option<String> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (userinfo, _) = authority.rsplit_once('@')?;
    let name = userinfo.split(':').next().filter(|name| !name.is_empty())?;
    decoded(name)
}

/// Without its percent signs (RFC 3986 §2.1).
fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

/// The same for a host and a port that are set apart, of which the former may carry a scheme.
pub fn host_and_port(protocol: Protocol, host: &str, port: u16) -> Result<Endpoint, AddressError> {
    let host = host.trim();
    let bracketed =
        if host.matches(':').count() > 1 && !host.starts_with('[') { format!("[{host}]") } else { host.into() };
    let spelled =
        if host.contains("://") { format!("{host}:{port}") } else { format!("{protocol}://{bracketed}:{port}") };
    Ok(endpoint(&spelled)?.endpoint)
}

/// What to say of a value that carries a password; the value itself must not be shown.
pub fn userinfo_note(source: &str) -> String {
    format!("{source}: the user name and password in it are not used; put them into [credentials]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_in_every_spelling_of_the_field() {
        for (text, shown) in [
            ("http://proxy.corp.example:8080", "http://proxy.corp.example:8080"),
            ("http://proxy.corp.example:8080/", "http://proxy.corp.example:8080"),
            ("HTTP://Proxy.Corp.Example", "http://proxy.corp.example:80"),
            ("proxy.corp.example:8080", "http://proxy.corp.example:8080"),
            (" 10.0.0.1:3128 ", "http://10.0.0.1:3128"),
            ("https://proxy.corp.example", "https://proxy.corp.example:443"),
            ("socks5://proxy.corp.example", "socks5://proxy.corp.example:1080"),
            ("socks5h://[2001:db8::1]:9050", "socks5://[2001:db8::1]:9050"),
            ("socks://127.0.0.1:1080/", "socks5://127.0.0.1:1080"),
            ("socks4a://10.0.0.1", "socks4://10.0.0.1:1080"),
        ] {
            let read = endpoint(text).unwrap();
            assert_eq!((read.endpoint.to_string().as_str(), read.had_userinfo), (shown, false), "{text}");
        }
    }

    #[test]
    fn a_password_is_dropped_and_remembered_to_have_been_there() {
        for text in ["http://u:p@h:1", "u@h:1", "http://CORP%5Cu:p@ss@h:1/", "socks5://:p@h:1"] {
            let read = endpoint(text).unwrap();
            assert!(read.had_userinfo && read.endpoint.target.to_string() == "h:1", "{text}");
        }
    }

    #[test]
    fn the_user_name_can_be_had_and_the_password_cannot() {
        for (text, name) in [
            ("http://alice:secret@h:1", Some("alice")),
            ("http://CORP%5Calice:p%40ss@h:1/", Some("CORP\\alice")),
            ("alice@h:1", Some("alice")),
            ("http://alice@corp:p@h:1", Some("alice@corp")),
            ("http://:p@h:1", None),
            ("http://%zz:p@h:1", None),
            ("http://%ff:p@h:1", None),
            ("http://a%4:p@h:1", None),
            ("http://h:1", None),
        ] {
            assert_eq!(user_name(text).as_deref(), name, "{text}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        for text in ["", "http://", "http://h:0", "http://h:99999", "a b", "h:x", "http://[::1"] {
            assert!(endpoint(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_host_set_apart_from_its_port_may_carry_a_scheme_or_be_ipv6() {
        for (host, shown) in [
            ("proxy.example", "http://proxy.example:8080"),
            ("http://proxy.example", "http://proxy.example:8080"),
            ("https://proxy.example", "https://proxy.example:8080"),
            ("2001:db8::1", "http://[2001:db8::1]:8080"),
            ("[2001:db8::1]", "http://[2001:db8::1]:8080"),
        ] {
            assert_eq!(host_and_port(Protocol::Http, host, 8080).unwrap().to_string(), shown, "{host}");
        }
    }
}
