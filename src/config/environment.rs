//! The environment hallpass was started with, and the `HALLPASS_*` variables as a layer.

use std::collections::BTreeMap;
use std::fmt;

use super::keys;
use super::layer::{Layer, Value};
use super::mistake::{Mistake, Origin, Problem};

pub const PREFIX: &str = "HALLPASS_";
pub const PASSWORD: &str = "HALLPASS_PASSWORD";
pub const CONFIG: &str = "HALLPASS_CONFIG";
pub const NO_CONFIG: &str = "HALLPASS_NO_CONFIG";

/// Short forms of tables; see `shortcut`.
pub const SHORTCUTS: [&str; 5] = ["upstream", "pac", "user", "scheme", "credential_for"];

/// A variable of these is split on commas.
const LISTS: [&str; 11] = [
    "listen",
    "access.users",
    "access.allow",
    "access.metrics",
    "local_hosts",
    "connect_ports",
    "no_proxy",
    "never_direct",
    "upstream",
    "scheme",
    "credential_for",
];

/// A copy of the variables, so that loading is a function of its inputs. Its values may be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    values: BTreeMap<String, String>,
    /// Variables whose value is not Unicode: better none than a mangled password.
    not_text: Vec<String>,
}

impl Environment {
    pub fn of_process() -> Self {
        let mut environment = Self::default();
        for (name, value) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            match value.into_string() {
                Ok(value) => drop(environment.values.insert(name, value)),
                Err(_) => environment.not_text.push(name),
            }
        }
        environment
    }

    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let values = pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { values, not_text: Vec::new() }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Without the variables that are ours, which may hold secrets.
    pub fn of_others(&self) -> Self {
        let values = self.values.iter().filter(|(name, _)| !name.starts_with(PREFIX));
        let values = values.map(|(name, value)| (name.clone(), value.clone())).collect();
        Self { values, not_text: Vec::new() }
    }

    /// As if a variable had not been set.
    pub fn without(&self, name: &str) -> Self {
        let mut environment = self.clone();
        environment.values.remove(name);
        environment
    }

    /// The names of the variables that are ours.
    pub fn our_names(&self) -> Vec<String> {
        self.ours().map(|(name, _)| name.to_owned()).collect()
    }

    fn ours(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        all.filter(|(name, _)| name.starts_with(PREFIX))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

pub fn read(environment: &Environment, mistakes: &mut Vec<Mistake>) -> Layer {
    let mut layer = Layer::default();
    for name in environment.not_text.iter().filter(|name| name.starts_with(PREFIX)) {
        let origin = Origin::Variable(name.clone());
        mistakes.push(Mistake::new(origin, "", Problem::new("the value is not UTF-8 text")));
    }
    for (name, value) in environment.ours().filter(|(name, _)| ![PASSWORD, CONFIG, NO_CONFIG].contains(name)) {
        let origin = Origin::Variable(name.into());
        match key_of(name) {
            Some(key) if value.is_empty() && !may_be_empty(key) => {
                let problem = Problem::new("the variable is empty").hint("unset it to leave the key alone");
                mistakes.push(Mistake::new(origin, key, problem));
            }
            Some(key) => {
                let path: Vec<&str> = key.split('.').collect();
                layer.set(&path, value_of(key, value, &origin), origin);
            }
            None => mistakes.push(Mistake::new(origin, "", unknown(name))),
        }
    }
    layer
}

fn value_of(key: &str, value: &str, origin: &Origin) -> Value {
    match LISTS.contains(&key) {
        true => Value::list(split(value), origin),
        false => Value::Text(value.into()),
    }
}

/// The parts of a list in one text.
pub fn split(list: &str) -> impl Iterator<Item = String> {
    list.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned)
}

fn may_be_empty(key: &str) -> bool {
    ["no_proxy", "local_hosts", "user_agent"].contains(&key)
}

fn key_of(name: &str) -> Option<&'static str> {
    keys::fixed().chain(SHORTCUTS).find(|key| variable(key) == name)
}

/// The variable of a key: `listen` is `HALLPASS_LISTEN`, `log.level` is `HALLPASS_LOG` like its flag.
pub fn variable(key: &str) -> String {
    let key = match key {
        "log.level" => "log",
        "audit.to" => "audit",
        other => other,
    };
    format!("{PREFIX}{}", key.replace('.', "_").to_ascii_uppercase())
}

fn unknown(name: &str) -> Problem {
    // Without the prefix, which would make all of them look alike.
    let bare = |name: &str| name.trim_start_matches(PREFIX).to_owned();
    let known = keys::fixed().chain(SHORTCUTS).map(variable).chain([PASSWORD.into()]);
    let known: Vec<String> = known.map(|name| bare(&name)).collect();
    let problem = Problem::new("no such variable");
    match keys::nearest(&bare(name), known.iter().map(String::as_str)) {
        Some(near) => problem.hint(format!("did you mean {PREFIX}{near}?")),
        None => problem.hint("variables that begin with HALLPASS_ are ours"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_is_a_key_or_a_mistake() {
        let environment = Environment::from_pairs([
            ("HALLPASS_LISTEN", "127.0.0.1:1, [::1]:1"),
            ("HALLPASS_LOG", "debug"),
            ("HALLPASS_NO_PROXY", ""),
            ("HALLPASS_PASSWORD", "hunter2"),
            ("HALLPASS_CONFIG", "/x"),
            ("HALLPASS_UPSTREM", "x"),
            ("HALLPASS_UPSTREAM", ""),
            ("HTTPS_PROXY", "x"),
        ]);
        let mut mistakes = Vec::new();
        let layer = read(&environment, &mut mistakes);
        assert_eq!(layer.entries.len(), 3);
        let origin = Origin::Variable("HALLPASS_LISTEN".into());
        let listen = Value::list(["127.0.0.1:1".into(), "[::1]:1".into()], &origin);
        assert_eq!(layer.get(&["listen"]).unwrap().value, listen);
        assert_eq!(
            mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>(),
            [
                "HALLPASS_UPSTREAM: the variable is empty (unset it to leave the key alone)",
                "HALLPASS_UPSTREM: no such variable (did you mean HALLPASS_UPSTREAM?)",
            ]
        );
    }

    #[test]
    fn the_values_of_variables_are_not_shown() {
        let shown = format!("{:?}", Environment::from_pairs([("HALLPASS_PASSWORD", "hunter2")]));
        assert_eq!(shown, r#"{"HALLPASS_PASSWORD"}"#);
    }
}
