//! An account and its secrets: read when first needed, kept, forgotten when somebody refuses them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::named::Tickets;
use crate::address::{Endpoint, Target};
use crate::auth::account::User;
use crate::auth::digest::{ClientNonce, Session};
use crate::secret::Secret;

/// Reads a secret from where the configuration says it is. `Ok(None)` when it names no such place; the error
/// is for people and never holds the secret. May block (a command, a key store).
pub type ReadSecret = Arc<dyn Fn() -> Result<Option<Secret>, String> + Send + Sync>;

/// What the configuration says about an account.
pub struct Settings {
    /// `None`: the identity that is already logged in.
    pub user: Option<User>,
    pub password: ReadSecret,
    pub nt_hash: ReadSecret,
    pub keytab: Option<PathBuf>,
    /// The Kerberos realm, where it is neither in the user name nor in `krb5.conf`.
    pub realm: Option<String>,
    /// KDCs of that realm, instead of those that `krb5.conf` and DNS name.
    pub kdc: Vec<Target>,
}

impl Default for Settings {
    fn default() -> Self {
        let nothing: ReadSecret = Arc::new(|| Ok(None));
        Self { user: None, password: nothing.clone(), nt_hash: nothing, keytab: None, realm: None, kdc: Vec::new() }
    }
}

pub struct Account {
    pub(super) user: Option<User>,
    pub(super) password: Stored,
    pub(super) nt_hash: Stored,
    pub(super) keytab: Option<PathBuf>,
    pub(super) realm: Option<String>,
    pub(super) kdc: Vec<Target>,
    pub(super) tickets: Tickets,
    digests: Mutex<HashMap<Endpoint, Session>>,
}

impl Account {
    pub fn new(settings: Settings) -> Self {
        let Settings { user, password, nt_hash, keytab, realm, kdc } = settings;
        Self {
            user,
            password: Stored::new(password),
            nt_hash: Stored::new(nt_hash),
            keytab,
            realm,
            kdc,
            tickets: Tickets::default(),
            digests: Mutex::default(),
        }
    }

    pub(super) fn digest(&self, upstream: &Endpoint, client_nonce: &ClientNonce) -> Session {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        digests.entry(upstream.clone()).or_insert_with(|| Session::new(client_nonce.clone())).clone()
    }

    /// What was derived from the secrets goes with them.
    pub(super) fn forget(&self) {
        self.password.forget();
        self.nt_hash.forget();
        self.tickets.forget();
    }
}

/// A secret with its place.
pub(super) struct Stored {
    read: ReadSecret,
    kept: Mutex<Option<Secret>>,
}

impl Stored {
    fn new(read: ReadSecret) -> Self {
        Self { read, kept: Mutex::new(None) }
    }

    /// The lock is held while reading: ten connections at start must not ask the user ten times.
    pub(super) fn get(&self) -> Result<Option<Secret>, String> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_none() {
            *kept = (self.read)()?;
        }
        Ok(kept.clone())
    }

    fn forget(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_secret_is_read_once_until_it_is_refused() {
        let reads = Arc::new(AtomicUsize::new(0));
        let counted = reads.clone();
        let account = Account::new(Settings {
            password: Arc::new(move || Ok(Some(Secret::new(counted.fetch_add(1, Ordering::Relaxed).to_string())))),
            ..Settings::default()
        });
        assert_eq!(reads.load(Ordering::Relaxed), 0, "not before it is needed");
        for _ in 0..3 {
            assert_eq!(account.password.get(), Ok(Some(Secret::new("0"))));
        }
        account.forget();
        assert_eq!(account.password.get(), Ok(Some(Secret::new("1"))));
    }

    #[test]
    fn a_failure_to_read_is_not_remembered() {
        let reads = AtomicUsize::new(0);
        let account = Account::new(Settings {
            password: Arc::new(move || match reads.fetch_add(1, Ordering::Relaxed) {
                0 => Err("the key ring is locked".into()),
                _ => Ok(Some(Secret::new("p"))),
            }),
            ..Settings::default()
        });
        assert_eq!(account.password.get(), Err("the key ring is locked".into()));
        assert_eq!(account.password.get(), Ok(Some(Secret::new("p"))));
    }
}
