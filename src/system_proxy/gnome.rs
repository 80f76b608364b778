//! The proxy settings of GNOME and its relatives, as `gsettings list-recursively org.gnome.system.proxy` prints them.

use std::collections::HashMap;

use super::{Found, Kind, exceptions, value};
use crate::address::Protocol;

pub(super) const SCHEMA: &str = "org.gnome.system.proxy";

pub(super) const SOURCE: &str = "GNOME's network settings";

/// Which sections are looked at: HTTPS is most of what is sent, and a web proxy does more than SOCKS.
const SECTIONS: [(&str, Protocol); 3] =
    [("https", Protocol::Http), ("http", Protocol::Http), ("socks", Protocol::Socks5)];

/// `None` if the text is none of it; a desktop without a proxy is [`Kind::Direct`].
pub fn read(text: &str) -> Option<Found> {
    let settings: HashMap<String, &str> = text.lines().filter_map(setting).collect();
    let mut notes = Vec::new();
    let kind = match string(settings.get("mode")?).as_str() {
        "manual" => manual(&settings, &mut notes),
        "auto" => match string(settings.get("autoconfig-url").unwrap_or(&"''")) {
            url if url.is_empty() => Kind::AutoDetect,
            url => Kind::Pac(url),
        },
        _ => Kind::Direct,
    };
    Some(Found { source: SOURCE.into(), kind, notes })
}

/// `org.gnome.system.proxy.http host 'h'` is `http.host` and `'h'`.
pub(super) fn setting(line: &str) -> Option<(String, &str)> {
    let (schema, rest) = line.trim().split_once(' ')?;
    let (key, value) = rest.split_once(' ')?;
    let section = schema.strip_prefix(SCHEMA)?;
    let name = if section.is_empty() { key.into() } else { format!("{}.{key}", section.strip_prefix('.')?) };
    Some((name, value.trim()))
}

fn manual(settings: &HashMap<String, &str>, notes: &mut Vec<String>) -> Kind {
    let mut upstreams = Vec::new();
    for (section, protocol) in SECTIONS {
        let host = settings.get(&format!("{section}.host")).map(|host| string(host)).unwrap_or_default();
        let port = settings.get(&format!("{section}.port")).and_then(|port| port.parse().ok()).unwrap_or_default();
        // An unset section has an empty host, or a port of zero.
        if host.is_empty() || port == 0 {
            continue;
        }
        match value::host_and_port(protocol, &host, port) {
            Ok(endpoint) => {
                upstreams.push(endpoint);
                break;
            }
            Err(cause) => notes.push(format!("{SOURCE}: the {section} proxy is ignored: {cause}")),
        }
    }
    if settings.get("http.use-authentication") == Some(&"true") {
        notes.push(value::userinfo_note(SOURCE));
    }
    let entries = settings.get("ignore-hosts").map(|list| strings(list)).unwrap_or_default();
    let found = exceptions::translate(SOURCE, entries.iter().map(String::as_str));
    notes.extend(found.notes);
    Kind::Static { upstreams, no_proxy: found.no_proxy, short_names_direct: found.short_names_direct }
}

fn string(text: &str) -> String {
    strings(text).into_iter().next().unwrap_or_default()
}

/// The quoted strings of a value in GVariant's text form, alone or in an array.
pub(super) fn strings(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text.chars();
    while let Some(quote) = rest.by_ref().find(|c| ['\'', '"'].contains(c)) {
        let mut one = String::new();
        while let Some(c) = rest.next().filter(|c| *c != quote) {
            one.extend(if c == '\\' { rest.next() } else { Some(c) });
        }
        found.push(one);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(name: &str) -> Found {
        let text = std::fs::read_to_string(format!("tests/data/system_proxy/{name}")).unwrap();
        read(&text).unwrap()
    }

    #[test]
    fn a_fresh_desktop_has_no_proxy() {
        let found = recorded("gnome-none.txt");
        assert_eq!((found.kind, found.notes), (Kind::Direct, vec![]));
    }

    #[test]
    fn a_manual_proxy_has_its_exceptions_and_its_password_is_left_behind() {
        let found = recorded("gnome-manual.txt");
        assert!(!format!("{found:?}").contains("s3cret"));
        assert_eq!(found.notes.len(), 1, "{:?}", found.notes);
        let Kind::Static { upstreams, no_proxy, short_names_direct } = found.kind else { panic!("not manual") };
        assert_eq!(upstreams[0].to_string(), "http://secure.corp.example:8443");
        assert_eq!(upstreams.len(), 1);
        assert_eq!(no_proxy, "localhost, 127.0.0.0/8, ::1, *.corp.example, 10.0.0.0/8");
        assert!(!short_names_direct);
    }

    #[test]
    fn a_script_is_given_or_to_be_found() {
        let url = "http://wpad.corp.example/proxy.pac";
        let auto =
            |url: &str| format!("org.gnome.system.proxy mode 'auto'\norg.gnome.system.proxy autoconfig-url '{url}'\n");
        assert_eq!(read(&auto(url)).unwrap().kind, Kind::Pac(url.into()));
        assert_eq!(read(&auto("")).unwrap().kind, Kind::AutoDetect);
    }

    #[test]
    fn socks_alone_is_used_and_an_odd_text_says_nothing() {
        let socks = "org.gnome.system.proxy mode 'manual'\norg.gnome.system.proxy.https host ''\n\
                     org.gnome.system.proxy.https port 0\norg.gnome.system.proxy.http host 'h'\n\
                     org.gnome.system.proxy.http port 0\norg.gnome.system.proxy.socks host '10.0.0.1'\n\
                     org.gnome.system.proxy.socks port 1080\n";
        let Kind::Static { upstreams, .. } = read(socks).unwrap().kind else { panic!("not manual") };
        assert_eq!(upstreams[0].to_string(), "socks5://10.0.0.1:1080");
        for text in ["", "No schemas installed\n", "org.gnome.system.proxymode 'manual'\n"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_text_value_may_be_quoted_in_either_way_and_escaped() {
        for (text, read) in [
            ("['a', \"b'c\"]", vec!["a", "b'c"]),
            (r"'it\'s'", vec!["it's"]),
            ("@as []", vec![]),
            ("''", vec![""]),
            ("'open", vec!["open"]),
        ] {
            assert_eq!(strings(text), read, "{text}");
        }
    }
}
