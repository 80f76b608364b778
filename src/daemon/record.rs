//! The lock-out breaker's record, kept among the files that outlive the process.

use std::io;

use crate::auth::lockout::AccountName;
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

/// What is known on disk of the credential's log-ins; nothing is written.
pub fn tried_before(config: &Config, credential: &Credential) -> Option<Tried> {
    let record = LockoutRecord(State::read_only(config.state_directory.clone()));
    tried(&record, account(config, credential)?.key())
}

/// As a relay counts it. `None` for the logged-in identity, whose log-ins are not counted.
fn account(config: &Config, credential: &Credential) -> Option<AccountName> {
    let name = match (&credential.user, &credential.keytab) {
        (Some(user), _) => {
            let domain = credential.realm.clone().or_else(|| domain_of(&config.credentials, credential));
            AccountName::of_user(user, domain.as_deref())
        }
        (None, Some(keytab)) => AccountName::of_keytab(&keytab.display().to_string()),
        (None, None) => return None,
    };
    Some(if credential.separate_account { name.apart(&credential.name) } else { name })
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
