//! The proxy settings of macOS, as `scutil --proxy` prints those of the network in use.

use std::collections::HashMap;

use super::{Found, Kind, exceptions, value};
use crate::address::Protocol;

pub(super) const SOURCE: &str = "the proxies of macOS's network settings";

/// In order of preference: HTTPS is most of what is sent, and a web proxy does more than SOCKS.
const PROXIES: [(&str, Protocol); 3] =
    [("HTTPS", Protocol::Http), ("HTTP", Protocol::Http), ("SOCKS", Protocol::Socks5)];

/// `None` if the text is no such dictionary.
pub fn read(text: &str) -> Option<Found> {
    text.contains("<dictionary> {").then_some(())?;
    let (settings, list) = entries(text);
    let on = |key: &str| settings.get(key) == Some(&"1");
    let url = settings.get("ProxyAutoConfigURLString").copied().unwrap_or_default();
    let mut notes = Vec::new();
    let kind = if on("ProxyAutoConfigEnable") && !url.is_empty() {
        Kind::Pac(url.into())
    } else if PROXIES.iter().any(|(name, _)| on(&format!("{name}Enable"))) {
        manual(&settings, &list, &mut notes)
    } else if on("ProxyAutoDiscoveryEnable") {
        Kind::AutoDetect
    } else {
        Kind::Direct
    };
    Some(Found { source: SOURCE.into(), kind, notes })
}

/// The dictionary's own keys and the list of exceptions. What belongs to single interfaces is deeper, and left out.
fn entries(text: &str) -> (HashMap<&str, &str>, Vec<&str>) {
    let (mut settings, mut list) = (HashMap::new(), Vec::new());
    let mut within: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim) {
        let (key, value) = line.split_once(" : ").unwrap_or((line, ""));
        match within.as_slice() {
            _ if line == "}" => drop(within.pop()),
            _ if line.ends_with('{') => within.push(key),
            [_] => drop(settings.insert(key, value.trim())),
            [_, "ExceptionsList"] => list.push(value.trim()),
            _ => {}
        }
    }
    (settings, list)
}

fn manual(settings: &HashMap<&str, &str>, list: &[&str], notes: &mut Vec<String>) -> Kind {
    let mut upstreams = Vec::new();
    for (name, protocol) in PROXIES {
        let of = |what: &str| settings.get(format!("{name}{what}").as_str()).copied().unwrap_or_default();
        if of("Enable") != "1" || !upstreams.is_empty() {
            continue;
        }
        match value::host_and_port(protocol, of("Proxy"), of("Port").parse().unwrap_or_default()) {
            Ok(endpoint) => upstreams.push(endpoint),
            Err(cause) => notes.push(format!("{SOURCE}: the {name} proxy is ignored: {cause}")),
        }
    }
    let found = exceptions::translate(SOURCE, list.iter().copied());
    notes.extend(found.notes);
    let simple = settings.get("ExcludeSimpleHostnames") == Some(&"1");
    Kind::Static { upstreams, no_proxy: found.no_proxy, short_names_direct: found.short_names_direct || simple }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(name: &str) -> Found {
        read(&std::fs::read_to_string(format!("tests/data/system_proxy/{name}")).unwrap()).unwrap()
    }

    #[test]
    fn manual_proxies_come_with_their_exceptions() {
        let found = recorded("scutil-manual.txt");
        assert_eq!(found.notes, Vec::<String>::new());
        let Kind::Static { upstreams, no_proxy, short_names_direct } = found.kind else { panic!("not manual") };
        assert_eq!(upstreams.iter().map(ToString::to_string).collect::<Vec<_>>(), ["http://secure.corp.example:8443"]);
        assert_eq!(no_proxy, "*.local, 169.254.0.0/16, *.corp.example");
        assert!(short_names_direct);
    }

    #[test]
    fn a_script_comes_first_and_a_search_last() {
        assert_eq!(recorded("scutil-script.txt").kind, Kind::Pac("http://wpad.corp.example/wpad.dat".into()));
        assert_eq!(read("<dictionary> {\n  ProxyAutoDiscoveryEnable : 1\n}\n").unwrap().kind, Kind::AutoDetect);
        assert_eq!(read("<dictionary> {\n  HTTPEnable : 0\n}\n").unwrap().kind, Kind::Direct);
        assert_eq!(read("No such key\n"), None);
    }

    #[test]
    fn a_proxy_that_cannot_be_read_makes_way_and_is_told() {
        let text = "<dictionary> {\n  HTTPSEnable : 1\n  HTTPSProxy : \n  HTTPSPort : 1\n  SOCKSEnable : 1\n  \
                    SOCKSProxy : 10.0.0.1\n  SOCKSPort : 1080\n}\n";
        let found = read(text).unwrap();
        assert!(found.notes[0].contains("HTTPS proxy"), "{:?}", found.notes);
        let Kind::Static { upstreams, .. } = found.kind else { panic!("not manual") };
        assert_eq!(upstreams[0].to_string(), "socks5://10.0.0.1:1080");
    }
}
