//! What was there before a system's settings were changed and what we made of it: on disk before anything is changed.
//!
//! All here is thinking: what to write is worked out of the journal and of what is there now.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::former::Former;
use crate::system_proxy::{Found, gnome, kde, scutil, wininet};

/// What this program writes and reads.
const VERSION: u32 = 1;

/// Whose settings they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Desktop {
    Gnome,
    Kde,
    Windows,
    Macos,
}

impl Desktop {
    /// As whoever reads these settings calls them.
    pub fn source(self) -> &'static str {
        match self {
            Desktop::Gnome => gnome::SOURCE,
            Desktop::Kde => kde::SOURCE,
            Desktop::Windows => wininet::WININET,
            Desktop::Macos => scutil::SOURCE,
        }
    }
}

/// What a setting is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Says which of the others count: written last, put back first.
    Switch,
    Proxy,
    Exceptions,
}

/// The name of one setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The network connection it is for; empty where it is for all, or for the local network.
    pub connection: String,
    pub name: String,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.connection.as_str() {
            "" => write!(f, "{}", self.name),
            connection => write!(f, "{} of {connection}", self.name),
        }
    }
}

/// A setting as the system writes it; `None` is "not set".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    pub key: Key,
    pub part: Part,
    pub text: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Setting {
    #[serde(flatten)]
    key: Key,
    part: Part,
    before: Option<String>,
    /// All that we ever wrote there: it is ours as long as it is one of these.
    ours: Vec<Option<String>>,
}

/// A process that wants the settings changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub pid: u32,
    /// Tells it from a later process of the same number.
    pub started: String,
    /// Where its programs are to go.
    pub relay: SocketAddr,
    /// The process that puts back what was there if this one cannot.
    pub guard: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    version: u32,
    pub desktop: Desktop,
    /// What the settings name, or are about to.
    pub relay: SocketAddr,
    settings: Vec<Setting>,
    /// What the settings said of proxies to whoever looks for one.
    former: Option<Former>,
    pub owners: Vec<Owner>,
}

/// What to write so that all is as before, and what somebody else has changed since.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Restoration {
    pub values: Vec<Value>,
    pub left: Vec<Key>,
}

impl Journal {
    pub fn new(desktop: Desktop, relay: SocketAddr, former: Option<&Found>) -> Self {
        let former = former.map(Former::of);
        Self { version: VERSION, desktop, relay, settings: Vec::new(), former, owners: Vec::new() }
    }

    /// `None` if the bytes are none, or those of another version.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|journal: &Self| journal.version == VERSION)
    }

    pub fn bytes(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec_pretty(self)
    }

    /// The connections that were changed.
    pub fn connections(&self) -> Vec<String> {
        let mut all: Vec<String> = self.settings.iter().map(|setting| setting.key.connection.clone()).collect();
        all.dedup();
        all
    }

    /// Notes what is there now as what was there before, except where it is ours, and what is wanted as ours. What is to
    /// be written then is given back, switches last.
    pub fn take(&mut self, present: &[Value], wanted: &[Value]) -> Vec<Value> {
        for now in present {
            let Some(wanted) = text_of(wanted, &now.key) else { continue };
            match self.settings.iter_mut().find(|setting| setting.key == now.key) {
                Some(setting) => {
                    if !setting.is_ours(now) {
                        setting.before.clone_from(&now.text);
                    }
                    setting.own(wanted);
                }
                None => {
                    let mut setting =
                        Setting { key: now.key.clone(), part: now.part, before: now.text.clone(), ours: Vec::new() };
                    setting.own(wanted);
                    self.settings.push(setting);
                }
            }
        }
        let differs = |value: &&Value| text_of(present, &value.key).is_some_and(|now| *now != value.text);
        let mut values: Vec<Value> = wanted.iter().filter(differs).cloned().collect();
        values.sort_by_key(|value| value.part == Part::Switch);
        values
    }

    /// The same for another relay: what somebody else has changed stays theirs.
    pub fn hand_over(&mut self, present: &[Value], wanted: &[Value]) -> Vec<Value> {
        let still_ours: Vec<Value> = present.iter().filter(|now| self.is_ours(now)).cloned().collect();
        self.take(&still_ours, wanted)
    }

    /// What was there before us where we changed it, else what is there now.
    pub fn before(&self, present: &[Value]) -> Vec<Value> {
        let before = |now: &Value| match self.settings.iter().find(|setting| setting.key == now.key) {
            Some(setting) if setting.is_ours(now) => Value { text: setting.before.clone(), ..now.clone() },
            Some(_) | None => now.clone(),
        };
        present.iter().map(before).collect()
    }

    fn is_ours(&self, now: &Value) -> bool {
        self.settings.iter().any(|setting| setting.key == now.key && setting.is_ours(now))
    }

    /// Only what is still ours goes back. A switch stays where somebody else has chosen another proxy beneath it.
    pub fn restoration(&self, present: &[Value]) -> Restoration {
        let mut restoration = Restoration::default();
        for setting in &self.settings {
            // A connection that is gone has nothing to put back.
            let Some(now) = text_of(present, &setting.key) else { continue };
            let value = || Value { key: setting.key.clone(), part: setting.part, text: setting.before.clone() };
            if *now == setting.before {
                continue;
            } else if setting.ours.contains(now) && !self.switches_for_another(setting, present) {
                restoration.values.push(value());
            } else {
                restoration.left.push(setting.key.clone());
            }
        }
        restoration.values.sort_by_key(|value| value.part != Part::Switch);
        restoration
    }

    fn switches_for_another(&self, switch: &Setting, present: &[Value]) -> bool {
        let beneath =
            |setting: &&Setting| setting.part == Part::Proxy && setting.key.connection == switch.key.connection;
        let anothers = |setting: &Setting| {
            text_of(present, &setting.key).is_some_and(|now| *now != setting.before && !setting.ours.contains(now))
        };
        switch.part == Part::Switch && self.settings.iter().filter(beneath).any(anothers)
    }

    /// What is found in these settings, with what was there before in the place of one of our relays. `None`: nothing
    /// was said there.
    pub fn former(&self, found: Found) -> Option<Found> {
        let ours = |addr: SocketAddr| self.relay == addr || self.owners.iter().any(|owner| owner.relay == addr);
        match found.source == self.desktop.source() && super::former::names(&found, &ours) {
            true => self.former.as_ref().and_then(|former| former.found(found.source)),
            false => Some(found),
        }
    }
}

impl Setting {
    fn is_ours(&self, now: &Value) -> bool {
        self.ours.contains(&now.text)
    }

    fn own(&mut self, text: &Option<String>) {
        if !self.ours.contains(text) {
            self.ours.push(text.clone());
        }
    }
}

/// What one setting is among these; the inner `None` is "not set".
fn text_of<'a>(values: &'a [Value], key: &Key) -> Option<&'a Option<String>> {
    values.iter().find(|value| value.key == *key).map(|value| &value.text)
}
