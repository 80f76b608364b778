//! Which keys a policy locks: those it names, and those by which somebody could get around them.
//!
//! * A key is locked as a whole: a list is not added to.
//! * A list of tables (`[[rules]]`, `[[listeners]]`, `[[tunnels]]`) is locked as a whole; an empty one locks "none".
//! * Of `upstreams`, `credentials` and `profiles`, to name one table is to name them all: no further name can be added, and
//!   what is not written in a named one stays at its default. What is somebody's own is left to them where the policy does
//!   not write it: `credential`, `client_cert` and `client_key` of an upstream; the `user` of a credential, and its secret
//!   unless the policy names any.
//! * The way out is one thing. A policy that writes any of `upstreams`, `pac.url`, `rules` and `profiles` locks them all,
//!   and `no_proxy`, `profile`, `direct_fallback` and `pac.wpad` with them; what it recommends of these stays free.
//! * `no_proxy` is locked in profiles, too.
//! * In every other table (`log`, `audit`, `access`, `pac`) each key stands for itself.

use super::Policy;
use crate::config::credentials::SECRETS;
use crate::config::layer::{Entry, Layer, Value};
use crate::config::mistake::{Mistake, Origin, Problem};

/// To name one of these is to name all of them.
const CLOSED: [&str; 3] = ["upstreams", "credentials", "profiles"];

/// Whoever writes one of these says where requests go.
const DECIDING: [&[&str]; 4] = [&["upstreams"], &["pac", "url"], &["rules"], &["profiles"]];

/// By all of these somebody could send them elsewhere.
const ROUTES: [&[&str]; 8] = [
    &["upstreams"],
    &["pac", "url"],
    &["pac", "wpad"],
    &["rules"],
    &["profiles"],
    &["profile"],
    &["no_proxy"],
    &["direct_fallback"],
];

/// What was taken out of a layer, and who has locked it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stripped {
    pub key: String,
    pub origin: Origin,
    pub by: Origin,
}

impl Stripped {
    /// Nobody who starts a relay can be blamed for a file.
    pub fn passed_over(&self) -> Mistake {
        let problem = Problem::new("passed over").hint(format!("locked by policy: {}", self.by));
        Mistake::new(self.origin.clone(), &self.key, problem)
    }

    /// Who says it on the command line hears that it does not count.
    pub fn refused(&self) -> Mistake {
        refusal(self.origin.clone(), &self.key, &self.by)
    }
}

pub(super) fn refusal(origin: Origin, key: &str, by: &Origin) -> Mistake {
    let problem = Problem::new(format!("locked by policy: {by}"));
    Mistake::new(origin, key, problem.hint("leave it out; whoever manages this machine can change it"))
}

impl Policy {
    /// Who locks a key, where anybody does.
    pub fn lock(&self, path: &[&str]) -> Option<&Origin> {
        self.named(path).or_else(|| self.closed(path)).or_else(|| self.in_profile(path)).or_else(|| self.route(path))
    }

    /// The key itself, or the list of tables that it stands in.
    fn named(&self, path: &[&str]) -> Option<&Origin> {
        let locks = |entry: &&Entry| match entry.value {
            Value::Named => false,
            Value::Tables => true,
            Value::Text(_) | Value::Number(_) | Value::Switch(_) | Value::List(_) | Value::Other(_) | Value::Broken => {
                entry.path.len() == path.len()
            }
        };
        let above = (1..=path.len()).filter_map(|length| self.locked.get(&path[..length]));
        above.filter(locks).map(|entry| &entry.origin).next()
    }

    /// A further table, or a key that is not written in a named one.
    fn closed(&self, path: &[&str]) -> Option<&Origin> {
        let (table, rest) = path.split_first()?;
        let name = rest.first().filter(|_| CLOSED.contains(table))?;
        let first = self.first_in(&[table])?;
        let Some(own) = self.first_in(&[table, name]) else { return Some(first) };
        match (*table, &rest[1..]) {
            (_, []) => None,
            ("upstreams", ["credential" | "client_cert" | "client_key"]) | ("credentials", ["user"]) => None,
            // To name one that proves who somebody is is to name them all.
            ("credentials", [key]) if SECRETS.contains(key) => {
                SECRETS.iter().find_map(|secret| self.first_in(&[table, name, secret]))
            }
            _ => Some(own),
        }
    }

    fn in_profile(&self, path: &[&str]) -> Option<&Origin> {
        match path {
            ["profiles", _, "no_proxy"] => self.first_in(&["no_proxy"]),
            _ => None,
        }
    }

    fn route(&self, path: &[&str]) -> Option<&Origin> {
        // What is somebody's own in a named table has been judged.
        if path.len() > 1 && path[0] == "upstreams" && self.first_in(&["upstreams"]).is_some() {
            return None;
        }
        let route = ROUTES.iter().find(|route| path.starts_with(route))?;
        let is_left_free = self.recommended.first_in(route).is_some();
        self.decides().filter(|_| !is_left_free)
    }

    /// Where it says which way requests go.
    fn decides(&self) -> Option<&Origin> {
        DECIDING.iter().find_map(|key| self.first_in(key))
    }

    fn first_in(&self, prefix: &[&str]) -> Option<&Origin> {
        self.locked.first_in(prefix).map(|entry| &entry.origin)
    }

    /// Takes out what is locked. What says the same as the policy is no contradiction, and a table is named once.
    pub fn strip(&self, layer: &mut Layer) -> Vec<Stripped> {
        let mut stripped: Vec<Stripped> = Vec::new();
        let mut gone: Vec<Vec<String>> = Vec::new();
        let before = layer.clone();
        layer.entries.retain(|entry| {
            let path = entry.path();
            let Some(by) = self.lock(&path) else { return true };
            let is_told = gone.iter().any(|above| entry.path.starts_with(above));
            if !is_told {
                gone.push(entry.path.clone());
                if !same(&before, &self.locked, &path) {
                    let key = entry.path.join(".");
                    stripped.push(Stripped { key, origin: entry.origin.clone(), by: by.clone() });
                }
            }
            false
        });
        stripped
    }

    /// What stands in a locked place and is not the policy's own: nothing, unless a way around was forgotten.
    pub fn sweep(&self, layer: &mut Layer) -> Vec<Mistake> {
        let is_own = |entry: &Entry| self.locked.get(&entry.path()) == Some(entry);
        let mut foreign = Layer { entries: layer.entries.iter().filter(|entry| !is_own(entry)).cloned().collect() };
        let stripped = self.strip(&mut foreign);
        layer.entries.retain(|entry| is_own(entry) || self.lock(&entry.path()).is_none());
        stripped.iter().map(Stripped::refused).collect()
    }
}

/// Whether two layers say the same of a key or a list of tables.
fn same(one: &Layer, other: &Layer, prefix: &[&str]) -> bool {
    let of = |layer: &Layer| -> Vec<(Vec<String>, Vec<String>)> {
        let inside = layer.entries.iter().filter(|entry| entry.path().starts_with(prefix));
        let mut found: Vec<_> = inside.map(|entry| (entry.path.clone(), texts(&entry.value))).collect();
        found.sort();
        found
    };
    of(one) == of(other)
}

/// One value is a list of one, and quotes do not matter.
pub(super) fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Text(text) | Value::Number(text) => vec![text.clone()],
        Value::Switch(switch) => vec![switch.to_string()],
        Value::List(items) => items.iter().flat_map(|item| texts(&item.value)).collect(),
        Value::Named | Value::Tables => Vec::new(),
        Value::Other(kind) => vec![(*kind).into()],
        Value::Broken => vec!["broken".into()],
    }
}
