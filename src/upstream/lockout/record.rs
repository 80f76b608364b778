//! The record on disk: accounts, and digests of their secrets that are slow to try guesses against.

use std::collections::BTreeMap;
use std::io;

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};

use crate::auth::lockout::{Entry, Proof};

/// OWASP's second choice for argon2id: 19 MiB, two passes.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// Going back and forth between wrong secrets does not try each anew.
pub(super) const MAX_SECRETS: usize = 8;

/// Where the record is kept, safe from other processes of the same user.
pub trait Store: Send + Sync {
    fn read(&self) -> Option<Vec<u8>>;

    /// Reads, changes and writes it, while nobody else does. What `change` gives is on disk afterwards; `None` leaves
    /// it as it is.
    fn update(&self, change: &mut dyn FnMut(Option<Vec<u8>>) -> Option<Vec<u8>>) -> io::Result<()>;

    /// How often a person has asked for a fresh start.
    fn generation(&self) -> u64;
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub accounts: BTreeMap<String, Secrets>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Secrets {
    /// Random; salts the digests.
    pub id: String,
    /// The one used last stands last.
    pub entries: Vec<Entry>,
}

impl Record {
    pub fn parse(bytes: Option<&[u8]>) -> Self {
        let Some(bytes) = bytes else { return Self::default() };
        serde_json::from_slice(bytes).unwrap_or_else(|error| {
            tracing::error!(%error, "the record of rejected log-ins cannot be read: it begins anew");
            Self::default()
        })
    }

    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self).ok()?;
        bytes.push(b'\n');
        Some(bytes)
    }
}

/// What is written down of the secret of an account that was used last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tried {
    /// By somebody, once.
    pub accepted: bool,
    /// When a trial began or was rejected for the last time since it was accepted, in seconds since 1970.
    pub failed: Option<u64>,
    /// It was rejected. Else nobody said what became of it.
    pub rejected: bool,
}

/// `None` where no secret of the account was ever shown to anybody.
pub fn tried(store: &dyn Store, account: &str) -> Option<Tried> {
    let record = Record::parse(store.read().as_deref());
    let last = record.accounts.get(account)?.entries.last()?;
    let failing = Some(&last.trials).filter(|trials| trials.failures > 0);
    let failing = failing.or_else(|| last.refused_by.first().map(|(_, trials)| trials));
    Some(Tried {
        accepted: last.accepted,
        failed: failing.map(|trials| trials.last),
        rejected: failing.is_some_and(|trials| trials.rejected),
    })
}

impl Secrets {
    pub fn put(&mut self, entry: Entry) {
        self.entries.retain(|known| known.digest != entry.digest);
        self.entries.push(entry);
        let excess = self.entries.len().saturating_sub(MAX_SECRETS);
        self.entries.drain(..excess);
    }
}

pub(super) fn random_id() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(hex(&bytes))
}

/// Takes a good part of a tenth of a second, and means to.
pub(super) fn digest(proof: &Proof, id: &str) -> io::Result<String> {
    let params = Params::new(MEMORY, PASSES, 1, Some(32)).map_err(|error| io::Error::other(error.to_string()))?;
    let [kind, secret] = proof.parts();
    let salt = [id.as_bytes(), kind].concat();
    let mut digest = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(secret, &salt, &mut digest)
        .map_err(|error| io::Error::other(error.to_string()))?;
    Ok(hex(&digest))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn a_digest_tells_secrets_their_kinds_and_accounts_apart_and_shows_nothing() {
        let password = |text: &str| Proof::Password(Secret::new(text));
        let id = random_id().unwrap();
        let first = digest(&password("hunter2"), &id).unwrap();
        assert_eq!(digest(&password("hunter2"), &id).unwrap(), first);
        let others = [
            digest(&password("hunter3"), &id),
            digest(&Proof::NtHash(Secret::new("hunter2")), &id),
            digest(&password("hunter2"), &random_id().unwrap()),
        ];
        assert!(others.iter().all(|other| *other.as_ref().unwrap() != first));
        assert_eq!(first.len(), 64);
    }

    #[test]
    fn only_the_secrets_used_last_are_kept() {
        let mut secrets = Secrets::default();
        for number in 0..10 {
            secrets.put(Entry::new(number.to_string(), 0));
        }
        secrets.put(Entry::new("3".into(), 0));
        let kept: Vec<&str> = secrets.entries.iter().map(|entry| entry.digest.as_str()).collect();
        assert_eq!(kept, ["2", "4", "5", "6", "7", "8", "9", "3"]);
    }

    struct Written(Vec<u8>);

    impl Store for Written {
        fn read(&self) -> Option<Vec<u8>> {
            Some(self.0.clone())
        }

        fn update(&self, _: &mut dyn FnMut(Option<Vec<u8>>) -> Option<Vec<u8>>) -> io::Result<()> {
            Ok(())
        }

        fn generation(&self) -> u64 {
            0
        }
    }

    #[test]
    fn what_became_of_the_secret_that_was_used_last_is_told() {
        let mut record = Record::default();
        let secrets = record.accounts.entry("alice@corp".into()).or_default();
        secrets.put(Entry { accepted: true, ..Entry::new("first".into(), 0) });
        let of = |record: &Record, account: &str| tried(&Written(record.to_bytes().unwrap()), account);
        assert_eq!(of(&record, "alice@corp"), Some(Tried { accepted: true, failed: None, rejected: false }));
        assert_eq!(of(&record, "bob@corp"), None);
        let text = String::from_utf8(record.to_bytes().unwrap()).unwrap();
        let failed = text.replace("\"failures\": 0", "\"failures\": 1").replace("\"last\": 0", "\"last\": 77");
        let record = Record::parse(Some(failed.replace("\"rejected\": false", "\"rejected\": true").as_bytes()));
        assert_eq!(of(&record, "alice@corp"), Some(Tried { accepted: true, failed: Some(77), rejected: true }));
    }

    #[test]
    fn a_record_that_makes_no_sense_begins_anew() {
        let mut record = Record::default();
        record.accounts.entry("alice@corp".into()).or_default().put(Entry::new("d".into(), 3));
        assert_eq!(Record::parse(record.to_bytes().as_deref()), record);
        assert_eq!(Record::parse(Some(b"{\"accounts\": [")), Record::default());
    }
}
