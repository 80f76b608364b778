//! GNOME's proxy settings as they are changed: what is read, what is wanted, and the words for `gsettings`.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::{Key, Part, Value};
use crate::system_proxy::gnome;

/// All that is changed. SOCKS and FTP would count in a manual configuration, left over from who knows when; and a
/// password for another proxy is none for us.
const KEYS: [(&str, Part); 9] = [
    ("http.host", Part::Proxy),
    ("http.port", Part::Proxy),
    ("http.use-authentication", Part::Proxy),
    ("https.host", Part::Proxy),
    ("https.port", Part::Proxy),
    ("socks.host", Part::Proxy),
    ("ftp.host", Part::Proxy),
    ("ignore-hosts", Part::Exceptions),
    ("mode", Part::Switch),
];

/// What a relay on this machine is not asked for.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.0/8", "::1"];

/// Both texts are what `gsettings list-recursively` prints, the second with nothing set. What is as if nobody had set
/// it counts as not set: the program does not tell.
pub fn values(now: &str, unset: &str) -> Vec<Value> {
    let (now, unset) = (settings(now), settings(unset));
    let value = |(name, part): (&str, Part)| {
        let text = now.get(name)?;
        let text = (unset.get(name) != Some(text)).then(|| text.clone());
        Some(Value { key: key(name), part, text })
    };
    KEYS.into_iter().filter_map(value).collect()
}

/// See [`super::Settings::wanted`].
pub fn wanted(before: &[Value], unset: &str, relay: SocketAddr) -> Vec<Value> {
    let unset = settings(unset);
    let value = |before: &Value| {
        let name = before.key.name.as_str();
        let default = unset.get(name);
        let text = match name {
            "mode" => "'manual'".into(),
            "http.host" | "https.host" => quoted(&relay.ip().to_string()),
            "http.port" | "https.port" => relay.port().to_string(),
            "http.use-authentication" => "false".into(),
            "ignore-hosts" => exceptions(before.text.as_ref().or(default).map_or("", String::as_str)),
            _ => "''".into(),
        };
        Value { text: (default != Some(&text)).then_some(text), ..before.clone() }
    };
    before.iter().map(value).collect()
}

/// What is to be set since taking it back was not enough: an administrator may have given it another default than the
/// schema has.
pub fn not_taken_back(values: &[Value], now: &str, unset: &str) -> Vec<Value> {
    let (now, unset) = (settings(now), settings(unset));
    let explicit = |value: &Value| {
        let default = unset.get(&value.key.name)?;
        (now.get(&value.key.name) != Some(default)).then(|| Value { text: Some(default.clone()), ..value.clone() })
    };
    values.iter().filter(|value| value.text.is_none()).filter_map(explicit).collect()
}

/// What `gsettings` is told to have this value.
pub fn arguments(value: &Value) -> Vec<String> {
    let name = value.key.name.as_str();
    let (schema, key) = match name.rsplit_once('.') {
        Some((section, key)) => (format!("{}.{section}", gnome::SCHEMA), key),
        None => (gnome::SCHEMA.into(), name),
    };
    match &value.text {
        Some(text) => vec!["set".into(), schema, key.into(), text.clone()],
        None => vec!["reset".into(), schema, key.into()],
    }
}

fn settings(text: &str) -> HashMap<String, String> {
    text.lines().filter_map(gnome::setting).map(|(name, value)| (name, value.to_string())).collect()
}

fn key(name: &str) -> Key {
    Key { connection: String::new(), name: name.into() }
}

/// What stands there stays as the system writes it.
fn exceptions(before: &str) -> String {
    let entries = gnome::strings(before);
    let missing = LOOPBACK.iter().filter(|wanted| !entries.iter().any(|entry| entry == *wanted));
    let added: Vec<String> = missing.map(|wanted| quoted(wanted)).collect();
    match before.trim().strip_suffix(']').filter(|_| !entries.is_empty()) {
        Some(_) if added.is_empty() => before.to_string(),
        Some(open) => format!("{open}, {}]", added.join(", ")),
        None => format!("[{}]", added.join(", ")),
    }
}

/// As GVariant's text form has a text without quotes.
fn quoted(text: &str) -> String {
    format!("'{text}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(name: &str) -> String {
        std::fs::read_to_string(format!("tests/data/system_proxy/{name}")).unwrap()
    }

    fn text<'a>(values: &'a [Value], name: &str) -> Option<&'a str> {
        values.iter().find(|value| value.key.name == name).unwrap().text.as_deref()
    }

    #[test]
    fn what_is_as_if_nobody_had_set_it_is_not_set() {
        let unset = recorded("gnome-none.txt");
        let fresh = values(&unset, &unset);
        assert_eq!(fresh.len(), KEYS.len());
        assert!(fresh.iter().all(|value| value.text.is_none()), "{fresh:?}");
        let manual = values(&recorded("gnome-manual.txt"), &unset);
        assert_eq!(text(&manual, "mode"), Some("'manual'"));
        assert_eq!(text(&manual, "https.host"), Some("'secure.corp.example'"));
    }

    #[test]
    fn a_relay_takes_the_place_of_every_proxy_and_the_exceptions_stay() {
        let unset = recorded("gnome-none.txt");
        let relay: SocketAddr = "127.0.0.1:3128".parse().unwrap();
        let ours = wanted(&values(&recorded("gnome-manual.txt"), &unset), &unset, relay);
        for (name, wanted) in [
            ("mode", Some("'manual'")),
            ("http.host", Some("'127.0.0.1'")),
            ("https.host", Some("'127.0.0.1'")),
            ("http.port", Some("3128")),
            ("https.port", Some("3128")),
            ("http.use-authentication", None),
            ("socks.host", None),
            ("ftp.host", None),
        ] {
            assert_eq!(text(&ours, name), wanted, "{name}");
        }
        assert!(text(&ours, "ignore-hosts").unwrap().contains("corp.example"));
    }

    #[test]
    fn what_an_administrator_gives_instead_is_overruled_as_it_was_before() {
        let unset = recorded("gnome-none.txt");
        let before = values(&unset, &unset);
        let now = unset.replace("proxy mode 'none'", "proxy mode 'auto'");
        let explicit = not_taken_back(&before, &now, &unset);
        assert_eq!(explicit.len(), 1, "{explicit:?}");
        assert_eq!(text(&explicit, "mode"), Some("'none'"));
        assert!(not_taken_back(&before, &unset, &unset).is_empty());
    }

    #[test]
    fn loopback_joins_the_exceptions_once() {
        for (before, after) in [
            ("['localhost', '127.0.0.0/8', '::1']", "['localhost', '127.0.0.0/8', '::1']"),
            ("@as []", "['localhost', '127.0.0.0/8', '::1']"),
            (r#"["it's", '::1']"#, r#"["it's", '::1', 'localhost', '127.0.0.0/8']"#),
        ] {
            assert_eq!(exceptions(before), after, "{before}");
        }
    }

    #[test]
    fn a_value_is_set_or_reset_where_it_stands() {
        let value =
            |name: &str, text: Option<&str>| Value { key: key(name), part: Part::Proxy, text: text.map(str::to_owned) };
        assert_eq!(arguments(&value("mode", None)), ["reset", "org.gnome.system.proxy", "mode"]);
        assert_eq!(arguments(&value("http.host", Some("'h'"))), ["set", "org.gnome.system.proxy.http", "host", "'h'"]);
    }
}
