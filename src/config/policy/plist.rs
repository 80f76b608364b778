//! A property list of macOS, as XML or binary: the keys of `hallpass.toml` as a dictionary, with a dictionary for each table.
//!
//! A property list keeps no order either, so tables with names of somebody's choice are taken in the order of their names;
//! whoever wants another one writes them as JSON in the text `Configuration`.

use std::io::Cursor;
use std::path::Path;

use plist::{Dictionary, Value};

use super::{CONFIGURATION, Content, Node, RECOMMENDED, Stated, json, registry};
use crate::config::keys::{self, Found};
use crate::config::layer::Layer;
use crate::config::mistake::{Mistake, Origin, Problem};

/// What installs a property list notes in it how it came.
const NOT_OURS: &str = "Payload";

pub fn read(path: &Path, bytes: &[u8], mistakes: &mut Vec<Mistake>) -> Stated {
    let place = path.display().to_string();
    match Value::from_reader(Cursor::new(bytes)) {
        Ok(Value::Dictionary(dictionary)) => stated(&place, &dictionary, mistakes),
        Ok(_) => {
            let problem = Problem::new("this is no dictionary");
            mistakes.push(Mistake::new(Origin::Managed(place), "", problem));
            Stated::default()
        }
        Err(error) => {
            let problem = Problem::new(format!("this is no property list: {error}"));
            mistakes.push(Mistake::new(Origin::Managed(place), "", problem));
            Stated::default()
        }
    }
}

pub fn stated(place: &str, dictionary: &Dictionary, mistakes: &mut Vec<Mistake>) -> Stated {
    let mut own = dictionary.clone();
    let recommended = match own.remove(RECOMMENDED) {
        Some(Value::Dictionary(inner)) => layer(place, Some(RECOMMENDED), &inner, mistakes),
        Some(_) => {
            let problem = Problem::new("this wants a dictionary");
            mistakes.push(Mistake::new(of_key(place, &[], Some(RECOMMENDED)), RECOMMENDED, problem));
            Layer::default()
        }
        None => Layer::default(),
    };
    Stated { locked: layer(place, None, &own, mistakes), recommended }
}

fn layer(place: &str, within: Option<&str>, dictionary: &Dictionary, mistakes: &mut Vec<Mistake>) -> Layer {
    let mut single = dictionary.clone();
    let mut layer = Layer::default();
    if let Some(whole) = single.remove(CONFIGURATION) {
        let origin = of_key(place, &[CONFIGURATION], within);
        let read = whole
            .as_string()
            .map_or_else(|| Err(Problem::new("this wants JSON in a string")), |text| json::read(text, &origin));
        match read {
            Ok(node) => layer = node.into_layer(mistakes),
            Err(problem) => mistakes.push(Mistake::new(origin, "", problem)),
        }
    }
    let ours = single.iter().filter(|(name, _)| !name.starts_with(NOT_OURS));
    let content = table(place, within, &[], ours);
    layer.cover(Node::new(content, &Origin::Managed(place.into())).into_layer(mistakes));
    layer
}

fn of_key(place: &str, path: &[&str], within: Option<&str>) -> Origin {
    let parts: Vec<&str> = within.into_iter().chain(path.iter().copied()).collect();
    Origin::Managed(format!("{place}, key {}", parts.join(".")))
}

fn table<'a>(
    place: &str,
    within: Option<&str>,
    path: &[&str],
    inner: impl Iterator<Item = (&'a String, &'a Value)>,
) -> Content {
    let mut nodes: Vec<(String, Node)> = inner
        .map(|(name, value)| {
            let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
            (name.clone(), node(place, within, &path, value))
        })
        .collect();
    nodes.sort_by_key(|(name, _)| registry::order(name));
    Content::Table(nodes)
}

fn node(place: &str, within: Option<&str>, path: &[&str], value: &Value) -> Node {
    let content = match value {
        Value::String(text) => Content::Text(text.clone()),
        Value::Integer(number) => Content::Number(number.to_string()),
        Value::Boolean(switch) => Content::Switch(*switch),
        Value::Array(items) => {
            let is_tables = keys::find(path) == Found::Tables;
            let item = |(at, item): (usize, &Value)| {
                let number = (at + 1).to_string();
                let below: Vec<&str> = path.iter().copied().chain([number.as_str()]).collect();
                node(place, within, if is_tables { &below } else { path }, item)
            };
            Content::List(items.iter().enumerate().map(item).collect())
        }
        Value::Dictionary(inner) => table(place, within, path, inner.iter()),
        Value::Real(_) => Content::Other("a fraction"),
        Value::Date(_) => Content::Other("a date"),
        Value::Data(_) => Content::Other("data"),
        // No property list in XML has one, and no other kind is known.
        Value::Uid(_) | _ => Content::Other("a value of this kind"),
    };
    Node::new(content, &of_key(place, path, within))
}
