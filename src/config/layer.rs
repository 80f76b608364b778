//! Values as they were written, before anybody knows whether they are right; and one layer over another.

use super::mistake::Origin;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Number(String),
    Switch(bool),
    List(Vec<Item>),
    /// The head of a table with a name of the user's choice, or of one in a list of tables.
    Named,
    /// The head of a list of tables, which replaces the one in the layer below.
    Tables,
    /// A kind of value that no key takes.
    Other(&'static str),
    /// A mistake has been reported already.
    Broken,
}

impl Value {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Number(_) => "a number",
            Self::Switch(_) => "true or false",
            Self::List(_) => "a list",
            Self::Named => "a table",
            Self::Tables => "a list of tables",
            Self::Other(kind) => kind,
            Self::Broken => "nothing",
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_)
            | Self::Switch(_)
            | Self::List(_)
            | Self::Named
            | Self::Tables
            | Self::Other(_)
            | Self::Broken => None,
        }
    }

    /// A list of texts that all come from one place.
    pub fn list(texts: impl IntoIterator<Item = String>, origin: &Origin) -> Self {
        Self::List(texts.into_iter().map(|text| Item { value: Self::Text(text), origin: origin.clone() }).collect())
    }
}

/// A value of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub value: Value,
    pub origin: Origin,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `["upstreams", "office", "url"]`: a name may hold dots. `["tunnels", "1", "listen"]`: counted as people count.
    pub path: Vec<String>,
    pub value: Value,
    pub origin: Origin,
}

impl Entry {
    pub fn path(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }
}

/// The keys of one file, of the environment or of the command line, or of all of them merged; in the order written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layer {
    pub entries: Vec<Entry>,
}

impl Layer {
    pub fn set(&mut self, path: &[&str], value: Value, origin: Origin) {
        if value == Value::Tables {
            self.clear(path);
        }
        let path: Vec<String> = path.iter().map(|part| part.to_string()).collect();
        match self.entries.iter_mut().find(|entry| entry.path == path) {
            // The head of a table that is there already adds nothing: tables merge.
            Some(_) if value == Value::Named => {}
            Some(entry) => (entry.value, entry.origin) = (value, origin),
            None => self.entries.push(Entry { path, value, origin }),
        }
    }

    pub fn get(&self, path: &[&str]) -> Option<&Entry> {
        self.entries.iter().find(|entry| is(&entry.path, path))
    }

    pub fn take(&mut self, path: &[&str]) -> Option<Entry> {
        let at = self.entries.iter().position(|entry| is(&entry.path, path))?;
        Some(self.entries.remove(at))
    }

    /// Removes a key or a table with all that is in it.
    pub fn clear(&mut self, prefix: &[&str]) {
        self.entries.retain(|entry| !starts(&entry.path, prefix));
    }

    /// The names in a table, in the order in which they were first written.
    pub fn names(&self, table: &str) -> Vec<String> {
        self.names_in(&[table])
    }

    /// The names in a table, or the numbers in a list of tables, that stands anywhere.
    pub fn names_in(&self, table: &[&str]) -> Vec<String> {
        let mut names = Vec::new();
        let inside = self.entries.iter().filter(|entry| starts(&entry.path, table));
        for name in inside.filter_map(|entry| entry.path.get(table.len())) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    /// Puts a higher layer on top: it replaces whole keys.
    pub fn cover(&mut self, higher: Self) {
        for Entry { path, value, origin } in higher.entries {
            self.set(&path.iter().map(String::as_str).collect::<Vec<_>>(), value, origin);
        }
    }

    /// Puts a lower layer beneath: what is there already stays, and stays first.
    pub fn add_below(&mut self, mut lower: Self) {
        lower.entries.retain(|entry| !self.has_tables_above(&entry.path()) && self.get(&entry.path()).is_none());
        self.entries.append(&mut lower.entries);
    }

    /// A list of tables counts as a whole.
    fn has_tables_above(&self, path: &[&str]) -> bool {
        (1..path.len()).any(|length| self.get(&path[..length]).is_some_and(|entry| entry.value == Value::Tables))
    }

    /// The first entry that is the key, or stands in the table, of this name.
    pub fn first_in(&self, prefix: &[&str]) -> Option<&Entry> {
        self.entries.iter().find(|entry| starts(&entry.path, prefix))
    }
}

fn is(path: &[String], wanted: &[&str]) -> bool {
    path.len() == wanted.len() && starts(path, wanted)
}

fn starts(path: &[String], prefix: &[&str]) -> bool {
    path.len() >= prefix.len() && path.iter().zip(prefix).all(|(part, wanted)| part == wanted)
}
