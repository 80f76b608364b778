//! KDE's proxy settings as they are changed: lines of the file `kioslaverc`, of which all others stay as they are.

use std::net::SocketAddr;

use super::{Key, Part, Value};
use crate::system_proxy::kde;

/// All that is changed. A SOCKS proxy would count, left over from who knows when.
const KEYS: [(&str, Part); 6] = [
    ("httpProxy", Part::Proxy),
    ("httpsProxy", Part::Proxy),
    ("socksProxy", Part::Proxy),
    ("NoProxyFor", Part::Exceptions),
    ("ReversedException", Part::Exceptions),
    ("ProxyType", Part::Switch),
];

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Each value is its whole line, with the marks that its key may carry: `httpProxy[$e]=…`.
pub fn values(file: &str) -> Vec<Value> {
    let group = group(file);
    let line = |name: &str| group.iter().find(|line| names(line, name)).map(ToString::to_string);
    let value = |(name, part): (&str, Part)| Value {
        key: Key { connection: String::new(), name: name.into() },
        part,
        text: line(name),
    };
    KEYS.into_iter().map(value).collect()
}

/// See [`super::Settings::wanted`].
pub fn wanted(before: &[Value], relay: SocketAddr) -> Vec<Value> {
    let said = |name: &str| {
        let line = before.iter().find(|value| value.key.name == name).and_then(|value| value.text.as_deref());
        line.and_then(|line| line.split_once('=')).map(|(_, text)| text.trim().to_string()).unwrap_or_default()
    };
    // A list of what alone goes to the proxy excepts nothing.
    let reversed = said("ReversedException").eq_ignore_ascii_case("true");
    // The name of a variable is no list either.
    let list = if reversed || said("ProxyType") == "4" { String::new() } else { said("NoProxyFor") };
    let url = format!("http://{} {}", relay.ip(), relay.port());
    let value = |before: &Value| {
        let text = match before.key.name.as_str() {
            "ReversedException" if !reversed => return before.clone(),
            "ProxyType" => Some("1".into()),
            "httpProxy" | "httpsProxy" => Some(url.clone()),
            "NoProxyFor" => Some(exceptions(&list)),
            "ReversedException" => Some("false".into()),
            _ => before.text.is_some().then(String::new),
        };
        let name = &before.key.name;
        Value { text: text.map(|text| format!("{name}={text}")), ..before.clone() }
    };
    before.iter().map(value).collect()
}

/// The file with these lines.
pub fn with(file: &str, values: &[Value]) -> String {
    let mut lines: Vec<String> = file.split_inclusive('\n').map(str::to_owned).collect();
    for value in values {
        let range = range_of_group(&lines);
        let at = range.clone().find(|at| names(lines[*at].trim(), &value.key.name));
        match (at, &value.text) {
            (Some(at), Some(text)) => lines[at] = format!("{text}\n"),
            (Some(at), None) => drop(lines.remove(at)),
            (None, Some(text)) => insert(&mut lines, range, text),
            (None, None) => {}
        }
    }
    lines.concat()
}

/// Behind the last line of the group that says something; a group that is not there yet comes last.
fn insert(lines: &mut Vec<String>, range: std::ops::Range<usize>, text: &str) {
    if let Some(last) = lines.last_mut().filter(|last| !last.ends_with('\n')) {
        last.push('\n');
    }
    if range.is_empty() {
        lines.push(format!("{}\n", kde::GROUP));
        lines.push(format!("{text}\n"));
        return;
    }
    let at = range.rev().find(|at| !lines[*at].trim().is_empty()).map_or(lines.len(), |at| at + 1);
    lines.insert(at, format!("{text}\n"));
}

/// The group's lines, its heading first; empty if it is not there.
fn range_of_group(lines: &[String]) -> std::ops::Range<usize> {
    let Some(start) = lines.iter().position(|line| line.trim() == kde::GROUP) else { return 0..0 };
    let length = lines[start + 1..].iter().take_while(|line| !line.trim().starts_with('[')).count();
    start..start + 1 + length
}

fn group(file: &str) -> Vec<&str> {
    let lines = file.lines().map(str::trim).skip_while(|line| *line != kde::GROUP).skip(1);
    lines.take_while(|line| !line.starts_with('[')).collect()
}

fn names(line: &str, key: &str) -> bool {
    line.split_once('=').is_some_and(|(name, _)| name.split('[').next().unwrap_or(name).trim() == key)
}

fn exceptions(before: &str) -> String {
    let there = |wanted: &str| before.split([',', ' ']).any(|entry| entry.trim() == wanted);
    let missing = LOOPBACK.into_iter().filter(|wanted| !there(wanted));
    Some(before).filter(|list| !list.is_empty()).into_iter().chain(missing).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELAY: &str = "127.0.0.1:3128";

    fn changed(file: &str) -> String {
        with(file, &wanted(&values(file), RELAY.parse().unwrap()))
    }

    #[test]
    fn the_relay_is_set_and_every_other_line_stays() {
        let file = "[$Version]\nupdate_info=x\n\n[Proxy Settings]\nProxyType=2\nProxy Config Script[$e]=http://w/p.pac\n\
                    NoProxyFor=.corp.example\nsocksProxy=socks://s 1080\n\n[Other]\nProxyType=7\n";
        assert_eq!(
            changed(file),
            "[$Version]\nupdate_info=x\n\n[Proxy Settings]\nProxyType=1\nProxy Config Script[$e]=http://w/p.pac\n\
             NoProxyFor=.corp.example,localhost,127.0.0.1,::1\nsocksProxy=\nhttpProxy=http://127.0.0.1 3128\n\
             httpsProxy=http://127.0.0.1 3128\n\n[Other]\nProxyType=7\n"
        );
    }

    #[test]
    fn a_list_that_means_something_else_is_no_list_of_exceptions() {
        for file in [
            "[Proxy Settings]\nProxyType=1\nNoProxyFor=only.example\nReversedException=true\n",
            "[Proxy Settings]\nProxyType=4\nNoProxyFor=NO_PROXY\n",
        ] {
            let changed = changed(file);
            assert!(changed.contains("NoProxyFor=localhost,127.0.0.1,::1\n"), "{changed}");
            assert!(!changed.contains("ReversedException=true"), "{changed}");
        }
    }

    #[test]
    fn a_line_that_says_what_is_wanted_already_stays_where_it_stands() {
        let file = "[Proxy Settings]\nProxyType=0\nReversedException=false\nNoProxyFor=localhost,127.0.0.1,::1\n";
        let before = values(file);
        let ours = wanted(&before, RELAY.parse().unwrap());
        let same = ours.iter().filter(|value| value.text.is_some() && before.contains(value));
        assert_eq!(same.map(|value| value.key.name.as_str()).collect::<Vec<_>>(), ["NoProxyFor", "ReversedException"]);
    }

    #[test]
    fn what_was_changed_is_put_back_line_for_line() {
        for file in [
            "",
            "[Other]\nx=1",
            "[Proxy Settings]\nProxyType[$e]=0\nhttpProxy[$e]=http://a 1\n",
            "[Proxy Settings]\nProxyType=1\nhttpProxy=http://a 1\nhttpsProxy=http://b 2\nNoProxyFor=x\nReversedException=true\n",
        ] {
            let after = with(&changed(file), &values(file));
            assert_eq!(values(&after), values(file), "{file:?}");
            let kept = after.replace("[Proxy Settings]\n", "");
            assert_eq!(kept.trim_end(), file.replace("[Proxy Settings]\n", "").trim_end(), "{file:?}");
        }
    }
}
