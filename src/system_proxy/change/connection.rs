//! The proxy settings of one connection of Windows as they are changed: flags, servers, exceptions, the script's URL.

use std::net::SocketAddr;

use super::{Key, Part, Value};

pub const FLAGS: &str = "flags";
pub const SERVER: &str = "proxy server";
pub const EXCEPTIONS: &str = "exceptions";
pub const SCRIPT: &str = "script";

/// Always set by the control panel, and not always given back.
const DIRECT: u32 = 1;

/// Without a script or the search for one.
const BY_PROXY: u32 = DIRECT | 2;

const LOOPBACK: [&str; 3] = ["localhost", "127.*", "[::1]"];

/// The local network's connection has an empty name. An empty text is none.
pub fn values(connection: &str, flags: u32, server: &str, exceptions: &str, script: &str) -> Vec<Value> {
    let value = |name: &str, part, text: &str| Value {
        key: Key { connection: connection.into(), name: name.into() },
        part,
        text: (!text.is_empty()).then(|| text.to_string()),
    };
    vec![
        value(SERVER, Part::Proxy, server),
        value(EXCEPTIONS, Part::Exceptions, exceptions),
        // Windows may forget it with the flag that has it count.
        value(SCRIPT, Part::Proxy, script),
        value(FLAGS, Part::Switch, &(flags | DIRECT).to_string()),
    ]
}

/// See [`super::Settings::wanted`].
pub fn wanted(before: &[Value], relay: SocketAddr) -> Vec<Value> {
    let value = |before: &Value| {
        let text = match before.key.name.as_str() {
            FLAGS => Some(BY_PROXY.to_string()),
            SERVER => Some(relay.to_string()),
            EXCEPTIONS => Some(with_loopback(before.text.as_deref().unwrap_or_default())),
            _ => None,
        };
        Value { text, ..before.clone() }
    };
    before.iter().map(value).collect()
}

/// `<-loopback>` takes back what is excepted by itself, which would have us asked for ourselves.
fn with_loopback(before: &str) -> String {
    let entries = before.split([';', ' ', ',']).map(str::trim).filter(|entry| !entry.is_empty());
    let kept: Vec<&str> = entries.filter(|entry| !entry.eq_ignore_ascii_case("<-loopback>")).collect();
    let missing = LOOPBACK.into_iter().filter(|wanted| !kept.contains(wanted));
    kept.iter().copied().chain(missing).collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_takes_the_place_of_servers_and_scripts_and_the_exceptions_stay() {
        let before = values("Office VPN", 1 | 4, "", "*.corp.example;<local>;<-loopback>", "http://w/p.pac");
        let ours = wanted(&before, "127.0.0.1:3128".parse().unwrap());
        let said: Vec<_> = ours.iter().map(|value| (value.key.to_string(), value.text.as_deref())).collect();
        assert_eq!(
            said,
            [
                ("proxy server of Office VPN".into(), Some("127.0.0.1:3128")),
                ("exceptions of Office VPN".into(), Some("*.corp.example;<local>;localhost;127.*;[::1]")),
                ("script of Office VPN".into(), None),
                ("flags of Office VPN".to_string(), Some("3")),
            ]
        );
    }

    #[test]
    fn a_proxy_reads_the_same_whether_direct_is_said_beside_it_or_not() {
        assert_eq!(values("", 2, "h:1", "", ""), values("", 3, "h:1", "", ""));
        assert_ne!(values("", 1, "h:1", "", ""), values("", 3, "h:1", "", ""));
    }

    #[test]
    fn what_is_excepted_already_is_not_said_twice() {
        assert_eq!(with_loopback("localhost; 127.*;[::1]"), "localhost;127.*;[::1]");
        assert_eq!(with_loopback(""), "localhost;127.*;[::1]");
    }
}
