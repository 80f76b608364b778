//! The proxy settings of KDE Plasma, as the file `kioslaverc` keeps them.

use std::collections::HashMap;

use super::{Found, Kind, Variable, exceptions, value};
use crate::address::{Endpoint, Protocol};

pub(super) const GROUP: &str = "[Proxy Settings]";

pub(super) const SOURCE: &str = "KDE's proxy settings";

/// In order of preference; KDE calls HTTP within TLS to a proxy nothing.
const PROXIES: [(&str, Protocol); 3] =
    [("httpsProxy", Protocol::Http), ("httpProxy", Protocol::Http), ("socksProxy", Protocol::Socks5)];

/// `None` if the file says nothing of proxies. The variables are for the setting that names some.
pub fn read(text: &str, variable: Variable) -> Option<Found> {
    let settings = settings(text);
    let mut notes = Vec::new();
    let kind = match settings.get("ProxyType")?.trim() {
        "1" => fixed(&settings, &mut notes, &|text| Some(text.to_string())),
        // An empty URL cannot be asked for.
        "2" => match settings.get("Proxy Config Script").map(|url| url.trim()).unwrap_or_default() {
            "" => Kind::Direct,
            url => Kind::Pac(url.into()),
        },
        "3" => Kind::AutoDetect,
        // The values are then names of variables, which need not be the usual ones.
        "4" => fixed(&settings, &mut notes, &|name| variable(name)),
        _ => Kind::Direct,
    };
    Some(Found { source: SOURCE.into(), kind, notes })
}

/// The keys of our group. `Key[$e]=…` is the same key, marked for the expansion of variables.
fn settings(text: &str) -> HashMap<&str, &str> {
    let group = text.lines().map(str::trim).skip_while(|line| *line != GROUP).skip(1);
    let lines = group.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once('='));
    lines.map(|(key, value)| (key.split('[').next().unwrap_or(key).trim(), value)).collect()
}

fn fixed(settings: &HashMap<&str, &str>, notes: &mut Vec<String>, meant: &dyn Fn(&str) -> Option<String>) -> Kind {
    let of = |key: &str| settings.get(key).and_then(|text| meant(text.trim())).filter(|text| !text.trim().is_empty());
    let mut upstreams = Vec::new();
    for (key, protocol) in PROXIES {
        let Some(text) = of(key) else { continue };
        match proxy(&text, protocol) {
            Ok((endpoint, had_userinfo)) => {
                notes.extend(had_userinfo.then(|| value::userinfo_note(SOURCE)));
                upstreams.push(endpoint);
                break;
            }
            Err(cause) => notes.push(format!("{SOURCE}: {key} is ignored: {cause}")),
        }
    }
    let list = of("NoProxyFor").unwrap_or_default();
    let reversed = settings.get("ReversedException").is_some_and(|text| text.trim().eq_ignore_ascii_case("true"));
    let entries: Vec<&str> = if reversed { Vec::new() } else { list.split([',', ' ']).collect() };
    if reversed {
        notes.push(format!(
            "{SOURCE}: \"use proxy settings only for the exceptions\" cannot be kept: write rules for it"
        ));
    }
    let found = exceptions::translate(SOURCE, entries);
    notes.extend(found.notes);
    Kind::Static { upstreams, no_proxy: found.no_proxy, short_names_direct: found.short_names_direct }
}

/// `http://host 8080`; before KDE 4.7, and in variables, `http://host:8080`.
fn proxy(text: &str, otherwise: Protocol) -> Result<(Endpoint, bool), crate::address::AddressError> {
    let mut parts = text.split_ascii_whitespace();
    let place = parts.next().unwrap_or_default();
    let spelled = match (parts.next(), place.contains("://")) {
        (Some(port), true) => format!("{}:{port}", place.trim_end_matches('/')),
        (Some(port), false) => format!("{otherwise}://{place}:{port}"),
        (None, true) => place.to_string(),
        (None, false) => format!("{otherwise}://{place}"),
    };
    let read = value::endpoint(&spelled)?;
    Ok((read.endpoint, read.had_userinfo))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(settings: &str) -> Found {
        let text = format!("[$Version]\nupdate_info=x\n\n[Proxy Settings]\n{settings}\n\n[Other]\nProxyType=3\n");
        read(&text, &|name| (name == "OFFICE_PROXY").then(|| "http://env.corp.example:3128/".to_string())).unwrap()
    }

    #[test]
    fn a_fixed_proxy_stands_with_a_blank_or_a_colon_before_its_port() {
        for (settings, upstream) in [
            ("ProxyType=1\nhttpProxy=http://proxy.corp.example 8080", "http://proxy.corp.example:8080"),
            ("ProxyType=1\nhttpProxy=http://proxy.corp.example:8080", "http://proxy.corp.example:8080"),
            ("ProxyType=1\nhttpProxy=http://a 1\nhttpsProxy=http://b 2", "http://b:2"),
            ("ProxyType=1\nhttpProxy=\nhttpsProxy=\nsocksProxy=socks://10.0.0.1 1080", "socks5://10.0.0.1:1080"),
            ("ProxyType=1\nsocksProxy=10.0.0.1 1081", "socks5://10.0.0.1:1081"),
            ("ProxyType=4\nhttpProxy=OFFICE_PROXY", "http://env.corp.example:3128"),
        ] {
            let Kind::Static { upstreams, .. } = found(settings).kind else { panic!("{settings}") };
            assert_eq!(upstreams.iter().map(ToString::to_string).collect::<Vec<_>>(), [upstream], "{settings}");
        }
    }

    #[test]
    fn the_other_types_are_a_script_a_search_and_none() {
        for (settings, kind) in [
            ("ProxyType=0\nhttpProxy=http://a 1", Kind::Direct),
            ("ProxyType=2\nProxy Config Script=http://w/p.pac", Kind::Pac("http://w/p.pac".into())),
            ("ProxyType=2\nProxy Config Script[$e]=file:///etc/p.pac", Kind::Pac("file:///etc/p.pac".into())),
            ("ProxyType=2", Kind::Direct),
            ("ProxyType=3", Kind::AutoDetect),
        ] {
            assert_eq!(found(settings).kind, kind, "{settings}");
        }
    }

    #[test]
    fn exceptions_are_kept_and_reversed_ones_are_told() {
        let list = "ProxyType=1\nhttpProxy=http://a 1\nNoProxyFor=.corp.example,10.0.0.0/8 intranet";
        let Kind::Static { no_proxy, .. } = found(list).kind else { panic!("not fixed") };
        assert_eq!(no_proxy, ".corp.example, 10.0.0.0/8, intranet");
        let reversed = found(&format!("{list}\nReversedException=true"));
        assert!(reversed.notes[0].contains("rules"), "{:?}", reversed.notes);
        assert!(matches!(reversed.kind, Kind::Static { no_proxy, .. } if no_proxy.is_empty()));
    }

    #[test]
    fn a_file_without_the_group_says_nothing() {
        for text in ["", "[Other]\nProxyType=1\n", "ProxyType=1\n"] {
            assert_eq!(read(text, &|_| None), None, "{text:?}");
        }
    }
}
