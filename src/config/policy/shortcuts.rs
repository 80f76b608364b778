//! What one flag or variable says of whole tables, held against what the policy locks of them.

use super::Policy;
use super::locks::{refusal, texts};
use crate::config::environment::{Environment, PASSWORD};
use crate::config::layer::{Entry, Layer, Value};
use crate::config::mistake::{Mistake, Origin};
use crate::config::value;

/// A name that nobody has given to anything.
const ANOTHER: &str = "\u{0}";

impl Policy {
    /// Takes out the short forms that say otherwise than the policy. `layer` has the policy in it already.
    pub fn refuse_shortcuts(&self, layer: &mut Layer, environment: &Environment) -> Vec<Mistake> {
        let mut refused = Vec::new();
        let credentials = layer.names("credentials");
        let short: [(&str, Option<&Origin>); 5] = [
            ("upstream", self.against_upstream(layer)),
            ("pac", self.against_pac(layer)),
            ("user", self.against_user(layer, &credentials)),
            ("scheme", self.against_scheme(layer)),
            ("credential_for", self.against_recipients(layer, &credentials)),
        ];
        for (key, by) in short {
            if let Some(by) = by
                && let Some(entry) = layer.take(&[key])
            {
                refused.push(refusal(entry.origin, key, by));
            }
        }
        if let Some(by) = self.against_secret_part(&credentials, "password")
            && environment.get(PASSWORD).is_some()
        {
            refused.push(refusal(Origin::Variable(PASSWORD.into()), "password", by));
        }
        refused
    }

    /// It replaces all upstreams, scripts and profiles. To name those that the policy has is no contradiction.
    fn against_upstream(&self, layer: &mut Layer) -> Option<&Origin> {
        let by = self.lock(&["upstreams", ANOTHER, "url"])?;
        let wanted = match &layer.get(&["upstream"])?.value {
            Value::List(items) => items.iter().map(|item| endpoint(&item.value)).collect::<Vec<_>>(),
            Value::Text(_)
            | Value::Number(_)
            | Value::Switch(_)
            | Value::Named
            | Value::Tables
            | Value::Other(_)
            | Value::Broken => return Some(by),
        };
        let names = self.locked.names("upstreams");
        let url = |name: &String| self.locked.get(&["upstreams", name, "url"]).and_then(|entry| endpoint(&entry.value));
        let locked: Vec<_> = names.iter().map(url).collect();
        if wanted.iter().any(Option::is_none) || wanted != locked {
            return Some(by);
        }
        layer.clear(&["upstream"]);
        None
    }

    fn against_pac(&self, layer: &mut Layer) -> Option<&Origin> {
        let by = self.lock(&["pac", "url"])?;
        let wanted = layer.get(&["pac"]).map(|entry| entry.value.clone())?;
        let locked = self.locked.get(&["pac", "url"]).map(|entry| &entry.value);
        if locked != Some(&wanted) {
            return Some(by);
        }
        layer.clear(&["pac"]);
        None
    }

    /// It is for all upstreams.
    fn against_scheme(&self, layer: &mut Layer) -> Option<&Origin> {
        let by = self.lock(&["upstreams", ANOTHER, "schemes"])?;
        let wanted = layer.get(&["scheme"])?;
        let names = self.locked.names("upstreams");
        let schemes = |name: &String| self.locked.get(&["upstreams", name, "schemes"]);
        if names.is_empty() || !names.iter().all(|name| schemes(name).is_some_and(|known| says(known, wanted))) {
            return Some(by);
        }
        layer.clear(&["scheme"]);
        None
    }

    fn against_recipients(&self, layer: &mut Layer, credentials: &[String]) -> Option<&Origin> {
        let by = self.against_secret_part(credentials, "for")?;
        let wanted = layer.get(&["credential_for"])?;
        let known = |only: &String| self.locked.get(&["credentials", only, "for"]);
        let is_same = match credentials {
            [only] => known(only).is_some_and(|known| says(known, wanted)),
            _ => false,
        };
        if !is_same {
            return Some(by);
        }
        layer.clear(&["credential_for"]);
        None
    }

    /// It names the user of the only credential, or makes one in the place of all others.
    fn against_user(&self, layer: &Layer, credentials: &[String]) -> Option<&Origin> {
        let entry = layer.get(&["user"])?;
        if let [only] = credentials {
            let path = ["credentials", only, "user"];
            let differs = layer.get(&path).is_some_and(|known| !says(known, entry));
            return match self.lock(&path) {
                Some(by) if differs => Some(by),
                Some(_) => None,
                None if differs => self.lock(&["credentials", ANOTHER, "user"]),
                None => None,
            };
        }
        let named = |name: &String| self.locked.get(&["upstreams", name, "credential"]).map(|entry| &entry.origin);
        let by_upstream = || self.locked.names("upstreams").iter().find_map(named);
        self.lock(&["credentials", ANOTHER, "user"]).or_else(by_upstream)
    }

    fn against_secret_part(&self, credentials: &[String], key: &str) -> Option<&Origin> {
        match credentials {
            [only] => self.lock(&["credentials", only, key]),
            _ => self.lock(&["credentials", ANOTHER, key]),
        }
    }
}

fn says(known: &Entry, wanted: &Entry) -> bool {
    texts(&known.value) == texts(&wanted.value)
}

fn endpoint(value: &Value) -> Option<crate::address::Endpoint> {
    value::upstream(value.as_text()?).ok()
}
