//! The system's settings name our relay for as long as somebody wants it, and then what they named before.
//!
//! Whatever is killed when: what was there stands in the [`Journal`] on disk before anything is changed, and whoever
//! starts next finds there what is still to be put back. Each step is done under the journal's lock, and may be done
//! again.

pub mod connection;
mod former;
pub mod gnome_settings;
mod journal;
pub mod kioslaverc;
pub mod networksetup;

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod imp;

use std::any::Any;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;

use thiserror::Error;

pub use journal::{Desktop, Journal, Key, Owner, Part, Restoration, Value};

use super::Variable;

/// The file of the [`Journal`].
pub const JOURNAL: &str = "system-proxy.json";

#[derive(Debug, Error)]
pub enum ChangeError {
    /// Says what is possible instead.
    #[error("{0}")]
    Unsupported(String),
    #[error("the settings that are changed must be on disk first, and that cannot be written")]
    Journal(#[source] io::Error),
    #[error(
        "what was there before an earlier change cannot be read, as another version of hallpass wrote it: start that version, or \
         remove {JOURNAL} in the state directory and set the system's proxy yourself"
    )]
    Unreadable,
    #[error("{desktop}: {cause}")]
    Settings { desktop: &'static str, cause: String },
    #[error(
        "{desktop}: {key} did not take the value that was set: is it fixed by an administrator, or is this no session of a desktop?"
    )]
    NotTaken { desktop: &'static str, key: Key },
}

impl ChangeError {
    fn of(desktop: Desktop, cause: impl std::fmt::Display) -> Self {
        Self::Settings { desktop: desktop.source(), cause: cause.to_string() }
    }
}

/// Where the journal is kept. What is written is on disk when `write` returns.
pub trait Store {
    /// Nobody else comes in before what is given back is dropped.
    fn lock(&self) -> io::Result<Box<dyn Any>>;
    fn read(&self) -> Option<Vec<u8>>;
    fn write(&self, bytes: &[u8]) -> io::Result<()>;
    fn remove(&self) -> io::Result<()>;
}

/// What starts us at the next log-in, to put back what a loss of power left.
pub trait Autostart {
    fn add(&self) -> io::Result<()>;
    fn remove(&self) -> io::Result<()>;
}

/// The proxy settings of a desktop or a system.
pub trait Settings {
    fn desktop(&self) -> Desktop;
    /// Those that have settings of their own and are in use.
    fn connections(&self) -> Vec<String>;
    /// All that is ever changed there.
    fn read(&self, connections: &[String]) -> Result<Vec<Value>, ChangeError>;
    /// What has programs go to the relay, with exceptions for what was excepted `before` and for this machine.
    fn wanted(&self, before: &[Value], relay: SocketAddr) -> Vec<Value>;
    /// Writes in this order.
    fn write(&self, values: &[Value]) -> Result<(), ChangeError>;
}

/// The settings that programs of this session go by.
pub fn in_use(variable: Variable) -> Result<Box<dyn Settings>, ChangeError> {
    imp::in_use(variable)
}

/// Those that a journal is about.
pub fn of(desktop: Desktop, variable: Variable) -> Result<Box<dyn Settings>, ChangeError> {
    imp::of(desktop, variable)
}

/// Has the command run at the next log-in. `None` where there is no place for it.
pub fn autostart(command: &[OsString], variable: Variable) -> Option<Box<dyn Autostart>> {
    imp::autostart(command, variable)
}

/// What became of the settings.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody had changed anything.
    Nothing,
    /// Somebody else still wants them as they are.
    StillWanted,
    /// They are as before, but for what somebody else has changed since.
    Restored { source: &'static str, left: Vec<Key> },
}

pub struct Change<'a> {
    pub store: &'a dyn Store,
    pub autostart: Option<&'a dyn Autostart>,
    pub settings: &'a dyn Fn(Desktop) -> Result<Box<dyn Settings>, ChangeError>,
    pub is_alive: &'a dyn Fn(&Owner) -> bool,
}

/// What the caller may want to say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Entered {
    /// Another relay than the wanted one, which somebody had set before and who still runs.
    pub joined: Option<SocketAddr>,
    /// Only a loss of power would show it.
    pub no_autostart: Option<String>,
}

impl Change<'_> {
    /// Has the settings name the owner's relay, or leaves them at that of somebody who came before. If this fails,
    /// nothing is changed.
    pub fn enter(&self, settings: &dyn Settings, owner: Owner, variable: Variable) -> Result<Entered, ChangeError> {
        let _locked = self.store.lock().map_err(ChangeError::Journal)?;
        if let Some(journal) = self.journal()? {
            // Whom the dead have left behind is served first, or all is put back.
            self.forget(journal, None)?;
        }
        let desktop = settings.desktop();
        let mut journal = match self.journal()? {
            Some(journal) => journal,
            None => Journal::new(desktop, owner.relay, super::said(desktop.source(), variable).as_ref()),
        };
        if journal.desktop != desktop {
            let cause = format!("a hallpass run --system that still runs has changed {}", journal.desktop.source());
            return Err(ChangeError::of(desktop, cause));
        }
        let present = settings.read(&settings.connections())?;
        if present.is_empty() {
            return Err(ChangeError::of(desktop, "there is no connection whose settings could be changed"));
        }
        let wanted = settings.wanted(&journal.before(&present), journal.relay);
        let values = journal.take(&present, &wanted);
        let joined = (journal.relay != owner.relay).then_some(journal.relay);
        let leaving = owner.clone();
        journal.owners.push(owner);
        self.write(&journal)?;
        let added = self.autostart.map_or(Ok(()), Autostart::add);
        if let Err(error) = write_and_check(settings, &values, WANTED) {
            // What cannot be put back either is left to whoever starts next.
            let _said_already = self.forget(journal, Some(&leaving));
            return Err(error);
        }
        Ok(Entered { joined, no_autostart: added.err().map(|error| error.to_string()) })
    }

    /// Puts back what was there unless somebody else still wants it. Without an owner, for those who are dead.
    pub fn leave(&self, owner: Option<&Owner>) -> Result<Outcome, ChangeError> {
        let _locked = self.store.lock().map_err(ChangeError::Journal)?;
        match self.journal()? {
            Some(journal) => self.forget(journal, owner),
            None => {
                self.remove_autostart();
                Ok(Outcome::Nothing)
            }
        }
    }

    /// Whether there is something to put back; asked for by everything that starts, so without the lock.
    pub fn is_left_behind(&self) -> bool {
        let Some(bytes) = self.store.read() else { return false };
        let dead = |owner: &Owner| !(self.is_alive)(owner);
        Journal::read(&bytes).is_none_or(|journal| journal.owners.is_empty() || journal.owners.iter().any(dead))
    }

    fn journal(&self) -> Result<Option<Journal>, ChangeError> {
        match self.store.read() {
            Some(bytes) => Journal::read(&bytes).ok_or(ChangeError::Unreadable).map(Some),
            None => Ok(None),
        }
    }

    fn write(&self, journal: &Journal) -> Result<(), ChangeError> {
        let bytes = journal.bytes().map_err(|error| ChangeError::Journal(error.into()))?;
        self.store.write(&bytes).map_err(ChangeError::Journal)
    }

    fn forget(&self, mut journal: Journal, owner: Option<&Owner>) -> Result<Outcome, ChangeError> {
        let before = journal.owners.len();
        let leaves = |one: &Owner| owner.is_some_and(|owner| (one.pid, &one.started) == (owner.pid, &owner.started));
        journal.owners.retain(|one| !leaves(one) && (self.is_alive)(one));
        let settings = (self.settings)(journal.desktop)?;
        let present = settings.read(&journal.connections())?;
        let Some(next) = journal.owners.first().map(|owner| owner.relay) else {
            return self.restore(&journal, settings.as_ref(), &present);
        };
        if journal.owners.iter().any(|owner| owner.relay == journal.relay) {
            if journal.owners.len() != before {
                self.write(&journal)?;
            }
            return Ok(Outcome::StillWanted);
        }
        let wanted = settings.wanted(&journal.before(&present), next);
        journal.relay = next;
        let values = journal.hand_over(&present, &wanted);
        self.write(&journal)?;
        write_and_check(settings.as_ref(), &values, WANTED)?;
        Ok(Outcome::StillWanted)
    }

    fn restore(&self, journal: &Journal, settings: &dyn Settings, present: &[Value]) -> Result<Outcome, ChangeError> {
        let restoration = journal.restoration(present);
        write_and_check(settings, &restoration.values, ALL)?;
        self.remove_autostart();
        self.store.remove().map_err(ChangeError::Journal)?;
        Ok(Outcome::Restored { source: journal.desktop.source(), left: restoration.left })
    }

    /// One that stays finds nothing to do at the next log-in, and is removed then.
    fn remove_autostart(&self) {
        if let Some(Err(error)) = self.autostart.map(Autostart::remove) {
            tracing::debug!(%error, "the autostart entry stays");
        }
    }
}

/// What must take the value that is set. Exceptions that do not are those from before, which are none of the relay's.
const WANTED: &[Part] = &[Part::Switch, Part::Proxy];
const ALL: &[Part] = &[Part::Switch, Part::Proxy, Part::Exceptions];

/// Programs that write settings may fail without a word.
fn write_and_check(settings: &dyn Settings, values: &[Value], must: &[Part]) -> Result<(), ChangeError> {
    if values.is_empty() {
        return Ok(());
    }
    settings.write(values)?;
    let mut connections: Vec<String> = values.iter().map(|value| value.key.connection.clone()).collect();
    connections.sort();
    connections.dedup();
    let present = settings.read(&connections)?;
    match values.iter().find(|value| must.contains(&value.part) && !present.contains(value)) {
        Some(value) => Err(ChangeError::NotTaken { desktop: settings.desktop().source(), key: value.key.clone() }),
        None => Ok(()),
    }
}
