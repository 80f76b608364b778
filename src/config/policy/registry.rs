//! A branch of the registry: one JSON text, a value for each key, or both, of which single values stand above the JSON.
//!
//! `grace` is a value of the branch itself, `log\level` one of the key `log` below it, `upstreams\office\url` one of the key
//! `upstreams\office`. REG_SZ is text, REG_DWORD a number or a switch, REG_MULTI_SZ a list. As lists of Group Policy write
//! them, a list may also be a key with numbered values; a rule, listener or tunnel is a numbered value with JSON, or a
//! numbered key; and `upstreams\office` may be a value, too: JSON, or just the url (of credentials: the user).
//!
//! The registry keeps no order, so tables with names of somebody's choice are taken in the order of their names; whoever
//! wants another one writes them in the JSON.

use super::{CONFIGURATION, Content, Node, RECOMMENDED, Stated, json};
use crate::config::keys::{self, Found};
use crate::config::layer::Layer;
use crate::config::mistake::{Mistake, Origin, Problem};
use crate::config::schema;

/// A key of the registry with all that is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Key {
    pub values: Vec<(String, Value)>,
    pub keys: Vec<(String, Key)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Number(u64),
    List(Vec<String>),
    /// The name of a type that is not taken.
    Other(&'static str),
}

pub fn read(root: &str, key: &Key, mistakes: &mut Vec<Mistake>) -> Stated {
    let is_recommended = |name: &str| name.eq_ignore_ascii_case(RECOMMENDED);
    let below = key.keys.iter().find(|(name, _)| is_recommended(name));
    let recommended = below.map(|(name, key)| branch(&format!(r"{root}\{name}"), key, mistakes));
    let mut own = key.clone();
    own.keys.retain(|(name, _)| !is_recommended(name));
    Stated { locked: branch(root, &own, mistakes), recommended: recommended.unwrap_or_default() }
}

fn branch(root: &str, key: &Key, mistakes: &mut Vec<Mistake>) -> Layer {
    let is_json = |name: &str| name.eq_ignore_ascii_case(CONFIGURATION);
    let mut layer = Layer::default();
    if let Some((name, value)) = key.values.iter().find(|(name, _)| is_json(name)) {
        let origin = of_value(root, name);
        let read = match value {
            Value::Text(text) => json::read(text, &origin),
            // Editors of policies write a text of several lines so.
            Value::List(lines) => json::read(&lines.join("\n"), &origin),
            Value::Number(_) | Value::Other(_) => Err(Problem::new("this wants JSON in a REG_SZ")),
        };
        match read {
            Ok(node) => layer = node.into_layer(mistakes),
            Err(problem) => mistakes.push(Mistake::new(origin, "", problem)),
        }
    }
    let mut single = key.clone();
    single.values.retain(|(name, _)| !is_json(name));
    let mut reading = Reading { mistakes };
    let node = reading.key(&[], root, &single);
    layer.cover(node.into_layer(mistakes));
    layer
}

fn of_value(key: &str, name: &str) -> Origin {
    Origin::Managed(format!("{key}, value {name}"))
}

struct Reading<'a> {
    mistakes: &'a mut Vec<Mistake>,
}

impl Reading<'_> {
    fn key(&mut self, path: &[&str], place: &str, key: &Key) -> Node {
        let mut inner = Vec::new();
        // Group Policy leaves keys behind whose values it has taken away: they say nothing.
        let said = key.keys.iter().filter(|(_, key)| *key != Key::default());
        for (name, below) in sorted(said) {
            let name = known(path, name);
            let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
            let node = self.subkey(&path, &format!(r"{place}\{name}"), below);
            inner.push((name, node));
        }
        // A value without a name is the key's own default, which nobody needs.
        for (name, value) in sorted(key.values.iter().filter(|(name, _)| !name.is_empty())) {
            let origin = of_value(place, name);
            let name = known(path, name);
            let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
            if inner.iter().any(|(taken, _)| *taken == name) {
                let problem = Problem::new("it is a key, too").hint("write one of them");
                self.mistakes.push(Mistake::new(origin, path.join("."), problem));
                continue;
            }
            let node = self.value(&path, value, &origin);
            inner.push((name, node));
        }
        inner.sort_by_key(|(name, _)| order(name));
        Node::new(Content::Table(inner), &Origin::Managed(place.into()))
    }

    fn subkey(&mut self, path: &[&str], place: &str, key: &Key) -> Node {
        let origin = Origin::Managed(place.into());
        match keys::find(path) {
            Found::Key => Node::new(Content::List(self.numbered(path, place, key)), &origin),
            Found::Tables => {
                let Content::Table(inner) = self.key(path, place, key).content else {
                    return Node::new(Content::List(Vec::new()), &origin);
                };
                Node::new(Content::List(inner.into_iter().map(|(_, node)| node).collect()), &origin)
            }
            Found::Table | Found::Named | Found::Unknown => self.key(path, place, key),
        }
    }

    /// A list that is written as a key with numbered values.
    fn numbered(&mut self, path: &[&str], place: &str, key: &Key) -> Vec<Node> {
        for (name, _) in key.keys.iter().filter(|(_, below)| *below != Key::default()) {
            let problem = Problem::new("a list has values, and no keys below it").hint("delete the key");
            let origin = Origin::Managed(format!(r"{place}\{name}"));
            self.mistakes.push(Mistake::new(origin, path.join("."), problem));
        }
        let values = sorted(key.values.iter());
        values.map(|(name, value)| self.value(path, value, &of_value(place, name))).collect()
    }

    fn value(&mut self, path: &[&str], value: &Value, origin: &Origin) -> Node {
        let content = match (keys::find(path), value) {
            (_, Value::Other(kind)) => Content::Other(kind),
            (Found::Key, Value::Number(number @ (0 | 1))) if schema::is_switch(path) => Content::Switch(*number == 1),
            (_, Value::Number(number)) => Content::Number(number.to_string()),
            (Found::Named | Found::Table | Found::Tables, Value::Text(text)) if is_json(text) => {
                return self.json(path, text, origin);
            }
            (Found::Named, Value::Text(text)) => match short(path) {
                Some(key) => {
                    let text = Node::new(Content::Text(text.clone()), origin);
                    Content::Table(vec![(key.into(), text)])
                }
                None => Content::Text(text.clone()),
            },
            (Found::Key | Found::Table | Found::Tables | Found::Unknown, Value::Text(text)) => {
                Content::Text(text.clone())
            }
            (Found::Tables, Value::List(texts)) => {
                Content::List(texts.iter().map(|text| self.json(path, text, origin)).collect())
            }
            (_, Value::List(texts)) => {
                Content::List(texts.iter().map(|text| Node::new(Content::Text(text.clone()), origin)).collect())
            }
        };
        Node::new(content, origin)
    }

    fn json(&mut self, path: &[&str], text: &str, origin: &Origin) -> Node {
        json::read(text, origin).unwrap_or_else(|problem| {
            self.mistakes.push(Mistake::new(origin.clone(), path.join("."), problem));
            Node::new(Content::Table(Vec::new()), origin)
        })
    }
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

/// What a text alone means for a table with a name.
fn short(path: &[&str]) -> Option<&'static str> {
    match path {
        ["upstreams", _] => Some("url"),
        ["credentials", _] => Some("user"),
        _ => None,
    }
}

/// The registry does not tell upper from lower case, and our keys are all lower.
fn known(path: &[&str], name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let full: Vec<&str> = path.iter().copied().chain([lower.as_str()]).collect();
    let is_ours = !matches!(keys::find(&full), Found::Named | Found::Unknown);
    if is_ours { lower } else { name.into() }
}

fn sorted<'a, T: 'a>(named: impl Iterator<Item = &'a (String, T)>) -> impl Iterator<Item = (&'a str, &'a T)> {
    let mut all: Vec<(&str, &T)> = named.map(|(name, inner)| (name.as_str(), inner)).collect();
    all.sort_by_key(|(name, _)| order(name));
    all.into_iter()
}

/// Numbers as numbers, and before names.
pub(in crate::config) fn order(name: &str) -> (u64, String, String) {
    (name.parse().unwrap_or(u64::MAX), name.to_ascii_lowercase(), name.into())
}
