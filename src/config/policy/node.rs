//! Values in tables, before anybody knows whether they are keys: what JSON, the registry and property lists come down to.

use crate::config::file;
use crate::config::keys::{self, Found};
use crate::config::layer::{Entry, Item, Layer, Value};
use crate::config::mistake::{Mistake, Origin, Problem};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub content: Content,
    pub origin: Origin,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Text(String),
    Number(String),
    Switch(bool),
    List(Vec<Node>),
    /// In the order in which they count.
    Table(Vec<(String, Node)>),
    /// What no key takes.
    Other(&'static str),
}

impl Node {
    pub fn new(content: Content, origin: &Origin) -> Self {
        Self { content, origin: origin.clone() }
    }

    /// The same, as if it stood in one place.
    pub fn at(mut self, origin: &Origin) -> Self {
        self.origin = origin.clone();
        match &mut self.content {
            Content::List(items) => items.iter_mut().for_each(|item| *item = item.clone().at(origin)),
            Content::Table(inner) => inner.iter_mut().for_each(|(_, node)| *node = node.clone().at(origin)),
            Content::Text(_) | Content::Number(_) | Content::Switch(_) | Content::Other(_) => {}
        }
        self
    }

    /// The keys of a table, each with its place.
    pub fn into_layer(self, mistakes: &mut Vec<Mistake>) -> Layer {
        let mut reading = Reading { layer: Layer::default(), mistakes };
        match self.content {
            Content::Table(inner) => reading.table(&[], inner),
            Content::Text(_) | Content::Number(_) | Content::Switch(_) | Content::List(_) | Content::Other(_) => {
                reading.wrong(&[], self.origin, Problem::new("this is no table of keys"));
            }
        }
        reading.layer
    }

    /// The other way round. Where the keys stood is kept, and their order.
    pub fn of_layer(layer: &Layer) -> Self {
        let mut root = Self::new(Content::Table(Vec::new()), &Origin::Default);
        for Entry { path, value, origin } in &layer.entries {
            root.plant(path, &[], value, origin);
        }
        root
    }

    fn plant(&mut self, path: &[String], above: &[&str], value: &Value, origin: &Origin) {
        let Some((first, rest)) = path.split_first() else { return };
        let here: Vec<&str> = above.iter().copied().chain([first.as_str()]).collect();
        let below = match &mut self.content {
            Content::Table(inner) => {
                let at = inner.iter().position(|(name, _)| name == first).unwrap_or_else(|| {
                    let empty = match keys::find(&here) {
                        Found::Tables => Content::List(Vec::new()),
                        Found::Key | Found::Table | Found::Named | Found::Unknown => Content::Table(Vec::new()),
                    };
                    inner.push((first.clone(), Self::new(empty, origin)));
                    inner.len() - 1
                });
                inner.get_mut(at).map(|(_, node)| node)
            }
            // Numbered as people count.
            Content::List(items) => {
                let at = first.parse::<usize>().unwrap_or(1).saturating_sub(1);
                while items.len() <= at {
                    items.push(Self::new(Content::Table(Vec::new()), origin));
                }
                items.get_mut(at)
            }
            Content::Text(_) | Content::Number(_) | Content::Switch(_) | Content::Other(_) => None,
        };
        let Some(below) = below else { return };
        if !rest.is_empty() {
            return below.plant(rest, &here, value, origin);
        }
        if let Some(content) = content(value) {
            *below = Self::new(content, origin);
        }
    }
}

/// `None` for the heads of tables.
fn content(value: &Value) -> Option<Content> {
    Some(match value {
        Value::Text(text) => Content::Text(text.clone()),
        Value::Number(number) => Content::Number(number.clone()),
        Value::Switch(switch) => Content::Switch(*switch),
        Value::List(items) => {
            let items = items.iter().filter_map(|item| Some(Node::new(content(&item.value)?, &item.origin)));
            Content::List(items.collect())
        }
        Value::Other(kind) => Content::Other(kind),
        Value::Named | Value::Tables | Value::Broken => return None,
    })
}

struct Reading<'a> {
    layer: Layer,
    mistakes: &'a mut Vec<Mistake>,
}

impl Reading<'_> {
    fn table(&mut self, parents: &[&str], inner: Vec<(String, Node)>) {
        for (name, node) in inner {
            let path: Vec<&str> = parents.iter().copied().chain([name.as_str()]).collect();
            self.node(&path, node);
        }
    }

    fn node(&mut self, path: &[&str], Node { content, origin }: Node) {
        match (keys::find(path), content) {
            (Found::Key, Content::Table(_)) => {
                self.wrong(path, origin, Problem::new("this is a key, not a table"));
            }
            (Found::Key, content) => self.layer.set(path, value(content), origin),
            (Found::Named, Content::Table(inner)) => {
                if let Some(problem) = path.last().and_then(|name| file::not_a_name(name)) {
                    self.wrong(path, origin.clone(), problem);
                }
                self.layer.set(path, Value::Named, origin);
                self.table(path, inner);
            }
            (Found::Table, Content::Table(inner)) => self.table(path, inner),
            (Found::Tables, Content::List(tables)) => self.tables(path, tables, origin),
            (Found::Table | Found::Named, _) => {
                self.wrong(path, origin, Problem::new("this is a table, not a key"));
            }
            (Found::Tables, _) => self.wrong(path, origin, Problem::new("this is a list of tables")),
            (Found::Unknown, _) => self.wrong(path, origin, file::unknown(path)),
        }
    }

    fn tables(&mut self, path: &[&str], tables: Vec<Node>, origin: Origin) {
        self.layer.set(path, Value::Tables, origin);
        for (at, table) in tables.into_iter().enumerate() {
            let number = (at + 1).to_string();
            let path: Vec<&str> = path.iter().copied().chain([number.as_str()]).collect();
            match table.content {
                Content::Table(inner) => {
                    self.layer.set(&path, Value::Named, table.origin);
                    self.table(&path, inner);
                }
                Content::Text(_) | Content::Number(_) | Content::Switch(_) | Content::List(_) | Content::Other(_) => {
                    self.wrong(&path, table.origin, Problem::new("this is a list of tables"));
                }
            }
        }
    }

    fn wrong(&mut self, path: &[&str], origin: Origin, problem: Problem) {
        self.mistakes.push(Mistake::new(origin, path.join("."), problem));
    }
}

fn value(content: Content) -> Value {
    match content {
        Content::Text(text) => Value::Text(text),
        Content::Number(number) => Value::Number(number),
        Content::Switch(switch) => Value::Switch(switch),
        Content::List(items) => {
            let item = |Node { content, origin }| Item { value: value(content), origin };
            Value::List(items.into_iter().map(item).collect())
        }
        Content::Table(_) => Value::Other("a table"),
        Content::Other(kind) => Value::Other(kind),
    }
}
