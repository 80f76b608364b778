//! The configuration in the forms in which IT hands it out: text, a `.reg` file, a profile for macOS, and the templates by
//! which Group Policy asks for each key.
//!
//! What is written comes from the values as they were written, not from what became of them: `${env:NAME}` and
//! `${file:/path}` stay what they are. A secret in plain text is left out and named. Paths become whole ones.

pub mod admx;
mod json;
mod mobileconfig;
mod reg;
#[cfg(test)]
mod tests;
mod text;

use std::path::{Path, PathBuf, absolute};

pub use mobileconfig::{Scope, mobileconfig};
pub use reg::{Hive, registry_file};
pub use text::toml;

use super::environment::PASSWORD;
use super::layer::{Entry, Layer, Value};
use super::load::Loaded;
use super::mistake::Origin;
use super::policy::{Content, Node};
use super::{Environment, PacPlace, expand, file, pac, show};
use crate::credential::Source;

/// Which half of a policy it becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    Locked,
    Recommended,
}

/// What can be handed to other machines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Portable {
    layer: Layer,
    /// The keys of secrets that stand there in plain text.
    pub left_out: Vec<String>,
}

impl Portable {
    /// What stands somewhere; with the defaults all that counts.
    pub fn of(loaded: &Loaded, with_defaults: bool) -> Self {
        let mut portable = Self::default();
        for entry in &loaded.layer().entries {
            portable.take(entry);
        }
        if with_defaults {
            let mut wrong = Vec::new();
            let all = file::read(Path::new("defaults"), &show::toml(loaded), &mut wrong);
            portable.layer.add_below(all);
        }
        portable
    }

    pub fn of_layer(layer: Layer) -> Self {
        Self { layer, left_out: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.layer.entries.is_empty()
    }

    /// The account of a credential, where one is named and nothing fills it in.
    pub fn user_of(&self, credential: &str) -> Option<&str> {
        let user = self.layer.get(&["credentials", credential, "user"])?.value.as_text();
        user.filter(|user| !user.contains("${"))
    }

    fn node(&self) -> Node {
        Node::of_layer(&self.layer)
    }

    /// What fits a form that keeps no order, key by key, and the rest as one JSON text.
    fn parts(&self, fits: impl Fn(&Node) -> bool) -> (Vec<(String, Node)>, Option<String>) {
        let Content::Table(inner) = self.node().content else { return (Vec::new(), None) };
        let (single, whole): (Vec<_>, Vec<_>) = inner.into_iter().partition(|(_, node)| fits(node));
        let rest = (!whole.is_empty()).then(|| json::of(&Node::new(Content::Table(whole), &Origin::Default)));
        (single, rest)
    }

    fn take(&mut self, entry: &Entry) {
        let path = entry.path();
        if is_secret(&path) && is_plain(&entry.value) {
            return self.left_out.push(path.join("."));
        }
        // It is this shell's, and nobody wrote it.
        if entry.origin == Origin::Variable(PASSWORD.into()) {
            return;
        }
        let value = match (&entry.value, place_of(&path)) {
            (Value::Text(text), Some(place)) => Value::Text(place(text, &entry.origin)),
            (other, _) => other.clone(),
        };
        self.layer.entries.push(Entry { path: entry.path.clone(), value, origin: entry.origin.clone() });
    }
}

fn is_secret(path: &[&str]) -> bool {
    path.last().is_some_and(|last| ["password", "nt_hash", "token"].contains(last))
}

fn is_plain(value: &Value) -> bool {
    match value {
        Value::Text(text) => !text.is_empty() && !is_reference(text),
        Value::Number(_) | Value::Switch(_) | Value::List(_) | Value::Other(_) => true,
        Value::Named | Value::Tables | Value::Broken => false,
    }
}

fn is_reference(text: &str) -> bool {
    expand::secret(text, &Environment::default()).is_ok_and(|source| !matches!(source, Source::Literal(_)))
}

/// How a key that names a file is made to mean the same anywhere on the machine.
fn place_of(path: &[&str]) -> Option<fn(&str, &Origin) -> String> {
    match path {
        [.., "ca_file" | "client_cert" | "client_key" | "keytab"] => Some(whole_path),
        ["pac", "url"] | ["profiles", _, "pac"] => Some(whole_script),
        _ => None,
    }
}

fn whole_path(text: &str, origin: &Origin) -> String {
    let base = match origin {
        Origin::File { path, .. } => path.parent().map(Path::to_path_buf).unwrap_or_default(),
        Origin::Variable(_) | Origin::Flag(_) | Origin::Managed(_) | Origin::Default => PathBuf::new(),
    };
    // What is filled in later begins with what is filled in.
    match text.is_empty() || text.starts_with("${") {
        true => text.into(),
        false => absolute(base.join(text)).map_or_else(|_| text.into(), |whole| whole.display().to_string()),
    }
}

fn whole_script(text: &str, origin: &Origin) -> String {
    match pac::place(text, origin) {
        Ok(PacPlace::File(_)) if !text.to_ascii_lowercase().starts_with("file:") => whole_path(text, origin),
        Ok(PacPlace::File(_) | PacPlace::Url(_) | PacPlace::Data(_)) | Err(_) => text.into(),
    }
}

/// A value as JSON.
pub(super) fn json_of(value: &Value) -> String {
    let layer =
        Layer { entries: vec![Entry { path: vec!["value".into()], value: value.clone(), origin: Origin::Default }] };
    match Node::of_layer(&layer).content {
        Content::Table(inner) => inner.first().map(|(_, node)| json::of(node)).unwrap_or_default(),
        Content::Text(_) | Content::Number(_) | Content::Switch(_) | Content::List(_) | Content::Other(_) => {
            String::new()
        }
    }
}
