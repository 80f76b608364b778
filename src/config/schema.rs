//! The file's JSON Schema, for editors: the keys of `keys`, their comments in the example with every key, and the defaults
//! that a configuration of nothing has.

use serde_json::{Map, Value as Json, json};

use super::build::{DIRECT_FALLBACKS, FORMATS, LEVELS, PORT_80};
use super::keys;
use super::layer::{Layer, Value};
use super::load::{Files, Inputs, Loaded, load};
use super::mistake::{Mistakes, Origin};
use super::policy::PolicyPlace;
use super::upstreams::{CANONICALIZE, CHANNEL_BINDINGS};
use super::{Environment, show};

const EXAMPLE: &str = include_str!("../../examples/hallpass.toml");

/// What may stand for a key. Any text may hold `${env:NAME}` or `${file:/path}`, and one value stands for a list of one.
enum Shape {
    Text,
    /// A text of this pattern.
    Like(&'static str),
    Word(Vec<&'static str>),
    Duration,
    DurationOrOff,
    Size,
    Whole(u64, u64),
    Switch,
    List(Box<Shape>),
    /// The first that fits.
    Either(Vec<Shape>),
}

const DURATION: &str = "[0-9]+(ms|s|m|h|d)";
const SIZE: &str = "[0-9]+(B|KiB|MiB|GiB)";
const UPSTREAM: &str = "((http|https|socks5|socks4)://)?[^/ ]+:[0-9]+/?";
/// What is filled in when the file is read.
const FILLED_IN: &str = r".*\$\{.+\}.*";

fn list(of: Shape) -> Shape {
    Shape::List(Box::new(of))
}

fn words<T>(choices: &[(&'static str, T)]) -> Shape {
    Shape::Word(choices.iter().map(|(word, _)| *word).collect())
}

/// `None` for a key that nobody has given one yet: a test finds it.
fn shape(key: &str) -> Option<Shape> {
    let port = || Shape::Whole(1, 65535);
    let key = match key.strip_prefix("profiles.*.") {
        Some(inner @ "no_proxy") => inner,
        Some(rule) if rule.starts_with("rules.#.") => rule,
        Some(_) | None => key,
    };
    Some(match key {
        "listen" => list(Shape::Either(vec![port(), Shape::Text])),
        "grace" | "drain_delay" => Shape::Duration,
        "connect_timeout" | "handshake_timeout" | "head_timeout" | "half_close_timeout" => Shape::Duration,
        "idle_timeout" | "keepalive" | "audit.max_age" => Shape::DurationOrOff,
        "pac.refresh" | "pac.timeout" => Shape::Duration,
        "max_clients" => Shape::Whole(1, 1_000_000),
        "max_logons" => Shape::Whole(1, 1000),
        "warm_handshakes" => Shape::Whole(0, 1),
        "max_head" | "pac.memory" | "audit.max_size" => Shape::Size,
        "audit.keep" => Shape::Whole(0, 1000),
        "connect_ports" => Shape::Either(vec![Shape::Word(vec!["any"]), list(port())]),
        "connect_port_80" => words(&PORT_80),
        "direct_fallback" => words(&DIRECT_FALLBACKS),
        "log.level" => words(&LEVELS),
        "log.format" => words(&FORMATS),
        "upstreams.*.canonicalize" => words(&CANONICALIZE),
        "upstreams.*.channel_bindings" => words(&CHANNEL_BINDINGS),
        "upstreams.*.schemes" => list(Shape::Word(vec!["negotiate", "ntlm", "digest", "basic"])),
        "upstreams.*.url" => Shape::Like(UPSTREAM),
        "rules.#.schemes" => list(Shape::Word(vec!["http", "https"])),
        "rules.#.ports" => list(Shape::Either(vec![port(), Shape::Like("[0-9]+(-[0-9]+)?")])),
        "credentials.*.nt_hash" => Shape::Like("[0-9A-Fa-f]{32}"),
        "listeners.#.port" => port(),
        "tunnels.#.listen" => Shape::Either(vec![port(), Shape::Text]),
        "tunnels.#.target" => Shape::Like(".+:[0-9]+"),
        "pac.wpad" | "rules.#.resolve" | "listeners.#.socks5" | "credentials.*.separate_account" => Shape::Switch,
        "access.users" => list(Shape::Either(vec![Shape::Whole(0, u64::from(u32::MAX)), Shape::Text])),
        "local_hosts"
        | "never_direct"
        | "no_proxy"
        | "access.allow"
        | "access.metrics"
        | "rules.#.hosts"
        | "rules.#.cidr"
        | "rules.#.programs"
        | "rules.#.use"
        | "profiles.*.when.dns_suffix"
        | "profiles.*.when.subnet"
        | "profiles.*.when.resolves"
        | "profiles.*.when.reachable"
        | "profiles.*.when.gateway"
        | "profiles.*.upstreams"
        | "listeners.#.allow"
        | "credentials.*.password_command"
        | "credentials.*.kdc"
        | "credentials.*.for" => list(Shape::Text),
        "access.token"
        | "user_agent"
        | "profile"
        | "pac.url"
        | "rules.#.reason"
        | "profiles.*.pac"
        | "listeners.#.interface"
        | "listeners.#.token"
        | "upstreams.*.credential"
        | "upstreams.*.spn"
        | "upstreams.*.ca_file"
        | "upstreams.*.client_cert"
        | "upstreams.*.client_key"
        | "credentials.*.user"
        | "credentials.*.password"
        | "credentials.*.keytab"
        | "credentials.*.realm"
        | "audit.to" => Shape::Text,
        _ => return None,
    })
}

/// Whether the key is true or false.
pub(super) fn is_switch(path: &[&str]) -> bool {
    keys::pattern(path).and_then(shape).is_some_and(|shape| matches!(shape, Shape::Switch))
}

/// How an editor of policies asks for a value, and of what kind it is in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Element {
    /// A number, 1 or 0.
    Switch,
    Text,
    /// One text of several lines.
    Lines,
    List,
    Number(u64, u64),
    Words(Vec<&'static str>),
    /// Names of somebody's choice, each with a text.
    Named,
    /// Texts that are counted.
    Numbered,
}

/// Of a key as it stands in the list of all keys.
pub(super) fn element(key: &str) -> Element {
    let of_shape = |shape: &Shape| match shape {
        Shape::Text | Shape::Like(_) | Shape::Duration | Shape::DurationOrOff | Shape::Size => Element::Text,
        Shape::Word(words) => Element::Words(words.clone()),
        Shape::Whole(from, to) => Element::Number(*from, *to),
        Shape::Switch => Element::Switch,
        Shape::List(_) => Element::List,
        Shape::Either(shapes) if shapes.iter().any(|shape| matches!(shape, Shape::List(_))) => Element::List,
        Shape::Either(_) => Element::Text,
    };
    shape(key).as_ref().map_or(Element::Text, of_shape)
}

/// What a key has that is not written, where that is a number.
pub(super) fn default_number(key: &str) -> Option<u64> {
    Defaults::find().ok()?.of(key)?.as_u64()
}

/// What the key is for.
pub(super) fn description_of(path: &[&str]) -> Option<String> {
    description(keys::pattern(path)?)
}

impl Shape {
    /// All that fit; one alone needs no `anyOf`.
    fn json(&self) -> Json {
        let mut forms = self.forms();
        match (forms.len(), forms.pop()) {
            (1, Some(only)) => only,
            (_, Some(last)) => {
                forms.push(last);
                json!({ "anyOf": forms })
            }
            (_, None) => json!({}),
        }
    }

    fn forms(&self) -> Vec<Json> {
        let like = |pattern: &str| json!({ "type": "string", "pattern": format!("^({pattern}|{FILLED_IN})$") });
        match self {
            Self::Text => vec![json!({ "type": "string" })],
            Self::Like(pattern) => vec![like(pattern)],
            Self::Word(words) => {
                vec![json!({ "enum": words }), json!({ "type": "string", "pattern": format!("^{FILLED_IN}$") })]
            }
            Self::Duration => vec![like(DURATION)],
            Self::DurationOrOff => vec![like(&format!("off|{DURATION}"))],
            Self::Size => vec![like(SIZE)],
            Self::Whole(from, to) => {
                vec![json!({ "type": "integer", "minimum": from, "maximum": to }), like("[0-9]+")]
            }
            Self::Switch => vec![json!({ "type": "boolean" }), like("true|false")],
            Self::List(of) => {
                let mut forms = of.forms();
                forms.push(json!({ "type": "array", "items": of.json() }));
                forms
            }
            Self::Either(shapes) => shapes.iter().flat_map(Self::forms).collect(),
        }
    }
}

/// The whole schema. `Err` if a configuration of nothing were wrong.
pub fn schema() -> Result<Json, Mistakes> {
    let defaults = Defaults::find()?;
    let mut root = table("Configuration of hallpass.");
    for key in keys::all() {
        let mut leaf = shape(key).map_or_else(|| json!({}), |shape| shape.json());
        if let Some(text) = description(key) {
            leaf["description"] = text.into();
        }
        if let Some(default) = defaults.of(key) {
            leaf["default"] = default;
        }
        plant(&mut root, &key.split('.').collect::<Vec<_>>(), leaf);
    }
    root["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    root["title"] = "hallpass.toml".into();
    Ok(root)
}

fn table(description: &str) -> Json {
    json!({ "type": "object", "description": description, "additionalProperties": false, "properties": {} })
}

/// Puts a key where it belongs, with the tables above it.
fn plant(within: &mut Json, path: &[&str], leaf: Json) {
    let Some((first, rest)) = path.split_first() else { return };
    let below = match *first {
        "*" => {
            if !within["additionalProperties"].is_object() {
                within["additionalProperties"] = table("A name of your choice.");
            }
            &mut within["additionalProperties"]
        }
        "#" => {
            if !within["items"].is_object() {
                *within = json!({ "type": "array", "items": table("") });
            }
            &mut within["items"]
        }
        name if rest.is_empty() => {
            within["properties"][name] = leaf;
            return;
        }
        name => {
            if !within["properties"][name].is_object() {
                within["properties"][name] = table(&format!("[{name}]"));
            }
            &mut within["properties"][name]
        }
    };
    plant(below, rest, leaf);
}

/// What a key is when it is not written.
struct Defaults {
    loaded: Loaded,
    shown: Map<String, Json>,
}

/// Stands where the user picks a name, and for the number of a table.
const SAMPLE: &str = "sample";

impl Defaults {
    /// Of the least that makes every table appear.
    fn find() -> Result<Self, Mistakes> {
        let origin = Origin::Flag("");
        let mut flags = Layer::default();
        for (path, text) in
            [(["upstreams", SAMPLE, "url"], "proxy.example:8080"), (["credentials", SAMPLE, "user"], SAMPLE)]
        {
            flags.set(&path, Value::Text(text.into()), origin.clone());
        }
        let loaded = load(&Inputs {
            files: Files::Nothing,
            environment: Environment::default(),
            flags,
            policy: PolicyPlace::Nowhere,
        })?;
        let shown = toml::from_str(&show::toml(&loaded)).unwrap_or_default();
        Ok(Self { loaded, shown })
    }

    fn of(&self, key: &str) -> Option<Json> {
        match key {
            // What is the sample's alone is nobody's default.
            "upstreams.*.credential" => return None,
            // These appear only where there is one.
            "listeners.#.allow" => return Some("interface-subnet".into()),
            "listeners.#.socks5" | "rules.#.resolve" | "profiles.*.rules.#.resolve" => return Some(false.into()),
            _ => {}
        }
        let path: Vec<&str> = key.split('.').map(|part| if part == "*" { SAMPLE } else { part }).collect();
        if self.loaded.origin(&path) != Origin::Default {
            return None;
        }
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.shown.get(*first)?, |value, part| value.get(part)).cloned()
    }
}

/// The comment above the key in the example. Keys that one comment speaks of stand below each other there.
fn description(key: &str) -> Option<String> {
    let together: &[&[&str]] = &[
        &["upstreams.*.ca_file", "upstreams.*.client_cert", "upstreams.*.client_key"],
        &["audit.max_size", "audit.max_age", "audit.keep"],
        &["credentials.*.keytab", "credentials.*.realm"],
        &["rules.#.cidr", "rules.#.resolve"],
        &["tunnels.#", "tunnels.#.listen", "tunnels.#.target"],
        &["listeners.#.interface", "listeners.#.port"],
        &["profiles.*", "profiles.*.upstreams", "profiles.*.pac", "profiles.*.no_proxy"],
        &["pac", "pac.url"],
        &["pac.timeout", "pac.memory"],
    ];
    let key = match key {
        inner if inner.starts_with("profiles.*.when.") => "profiles.*.when",
        inner => inner.strip_prefix("profiles.*.").filter(|rule| rule.starts_with("rules.#.")).unwrap_or(inner),
    };
    let comments = comments();
    let of = |key: &str| comments.iter().find(|(known, _)| known == key).map(|(_, text)| text.clone());
    let first = together.iter().find(|group| group.contains(&key)).and_then(|group| of(group.first()?));
    let text = match of(key).filter(|text| !text.is_empty()) {
        // It goes on where the value stands.
        Some(begun) if begun.ends_with(':') => format!("{} {}", first.unwrap_or_default(), begun.trim_end_matches(':')),
        Some(own) => own,
        None => first?,
    };
    Some(text).filter(|text| !text.is_empty())
}

/// Each key and table of the example, as `keys` writes it, with the lines right above it.
fn comments() -> Vec<(String, String)> {
    let (mut found, mut text, mut table) = (Vec::new(), Vec::new(), String::new());
    for line in EXAMPLE.lines() {
        let line = line.strip_prefix('#').map(str::trim).unwrap_or_default();
        if let Some(head) = head_of(line) {
            found.push((head.clone(), text.join(" ")));
            (text, table) = (Vec::new(), format!("{head}."));
        } else if let Some(key) = key_of(line) {
            found.push((format!("{table}{key}"), text.join(" ")));
            text = Vec::new();
        } else if line.is_empty() {
            text = Vec::new();
        } else {
            text.push(line);
        }
    }
    found
}

fn head_of(line: &str) -> Option<String> {
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "._".contains(c));
    if let Some(list) = line.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]")) {
        return Some(format!("{list}.#")).filter(|_| is_name(list));
    }
    let name = line.strip_prefix('[')?.strip_suffix(']').filter(|name| is_name(name))?;
    Some(name.split_once('.').map_or_else(|| name.into(), |(table, _)| format!("{table}.*")))
}

fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.split_once(" = ")?;
    let is_key = key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    (is_key && !key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_shape_and_a_description() {
        for key in keys::all() {
            assert!(shape(key).is_some(), "{key} has no shape");
            assert!(description(key).is_some(), "{key} has no comment in examples/hallpass.toml");
        }
    }

    /// The keys that a schema describes, as `keys` writes them.
    fn described(within: &Json, path: &str, found: &mut Vec<String>) {
        let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        if let Some(named) = within.get("additionalProperties").filter(|named| named.is_object()) {
            return described(named, &join("*"), found);
        }
        if let Some(items) = within.get("items").filter(|items| items.get("properties").is_some()) {
            return described(items, &join("#"), found);
        }
        match within.get("properties").and_then(Json::as_object) {
            Some(properties) => properties.iter().for_each(|(name, value)| described(value, &join(name), found)),
            None => found.push(path.into()),
        }
    }

    #[test]
    fn every_key_and_no_other_is_in_the_schema() {
        let (mut found, mut wanted) = (Vec::new(), keys::all().map(str::to_owned).collect::<Vec<_>>());
        described(&schema().unwrap(), "", &mut found);
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted);
    }

    #[test]
    fn defaults_and_words_are_those_of_the_code() {
        let schema = schema().unwrap();
        assert_eq!(schema["properties"]["grace"]["default"], "5s");
        assert_eq!(schema["properties"]["max_clients"]["default"], 10_000);
        assert_eq!(schema["properties"]["idle_timeout"]["default"], "off");
        let upstream = &schema["properties"]["upstreams"]["additionalProperties"]["properties"];
        assert_eq!(upstream["schemes"]["default"], json!(["negotiate", "ntlm", "digest"]));
        assert_eq!(upstream["url"].get("default"), None);
        let fallback = &schema["properties"]["direct_fallback"];
        assert_eq!(fallback["anyOf"][0]["enum"], json!(["never", "pac-unreachable", "always"]));
    }
}
