//! The lock-out breaker's record, kept among the files that outlive the process.

use std::io;

use super::build::settings;
use crate::config::{Config, Credential};
use crate::state::State;
use crate::upstream::lockout::{Store, Tried, tried};

const NAME: &str = "lockout.json";

pub(super) struct LockoutRecord(pub State);

impl Store for LockoutRecord {
    fn read(&self) -> Option<Vec<u8>> {
        self.0.read(NAME)
    }

    fn update(&self, change: &mut dyn FnMut(Option<Vec<u8>>) -> Option<Vec<u8>>) -> io::Result<()> {
        self.0.update(NAME, change)
    }

    fn generation(&self) -> u64 {
        self.0.generation()
    }
}

/// What is known on disk of a credential's log-ins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// It has no secret that could be shown, and nothing is counted.
    Uncounted,
    Never,
    Tried(Tried),
}

/// Nothing is written.
pub fn tried_before(config: &Config, credential: &Credential) -> Before {
    let settings = settings(credential, domain_of(&config.credentials, credential));
    if !settings.can_show_a_secret() {
        return Before::Uncounted;
    }
    let record = LockoutRecord(State::read_only(config.state_directory.clone()));
    tried(&record, settings.account_name().key()).map_or(Before::Never, Before::Tried)
}

/// A user who names no domain is taken for one of the same name who does.
pub(super) fn domain_of(all: &[std::sync::Arc<Credential>], credential: &Credential) -> Option<String> {
    let name = credential.user.as_ref()?.name.to_lowercase();
    all.iter().filter(|other| !other.separate_account).find_map(|other| {
        let user = other.user.as_ref()?;
        let domain = user.domain.as_ref().or(user.realm.as_ref()).or(other.realm.as_ref())?;
        (user.name.to_lowercase() == name).then(|| domain.clone())
    })
}
