//! An account and its secrets: read when first needed, kept, read anew when somebody has refused them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use super::logged_in;
use super::named::Tickets;
use crate::address::{Endpoint, Target};
use crate::auth::account::User;
use crate::auth::digest::{ClientNonce, Session};
use crate::auth::lockout::{AccountName, Proof, Stake};
use crate::auth::{Lack, Lacking, MechanismError};
use crate::secret::Secret;

/// Reads a secret from where the configuration says it is. `Ok(None)` when it names no such place; the error
/// is for people and never holds the secret. May block (a command, a key store).
pub type ReadSecret = Arc<dyn Fn() -> Result<Option<Secret>, String> + Send + Sync>;

/// Differs once a file that the secrets of an account are read from is another one. May block.
pub type Version = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What the configuration says about an account.
pub struct Settings {
    /// `None`: the identity that is already logged in.
    pub user: Option<User>,
    pub password: ReadSecret,
    pub nt_hash: ReadSecret,
    pub keytab: Option<PathBuf>,
    pub version: Version,
    /// The Kerberos realm, where it is neither in the user name nor in `krb5.conf`.
    pub realm: Option<String>,
    /// KDCs of that realm, instead of those that `krb5.conf` and DNS name.
    pub kdc: Vec<Target>,
    /// The domain of a user who names none, as far as it is known from elsewhere.
    pub domain: Option<String>,
    /// The name of the credential, where its failed logons are counted apart from those of the directory.
    pub apart: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        let nothing: ReadSecret = Arc::new(|| Ok(None));
        Self {
            user: None,
            password: nothing.clone(),
            nt_hash: nothing,
            keytab: None,
            version: Arc::new(|| 0),
            realm: None,
            kdc: Vec::new(),
            domain: None,
            apart: None,
        }
    }
}

impl Settings {
    /// As whom the directory counts failed log-ons.
    pub fn account_name(&self) -> AccountName {
        let name = match (&self.user, &self.keytab) {
            (Some(user), _) => AccountName::of_user(user, self.realm.as_deref().or(self.domain.as_deref())),
            (None, Some(keytab)) => AccountName::of_keytab(&keytab.display().to_string()),
            (None, None) => logged_in::name().unwrap_or_else(|| AccountName::of_keytab("that is not there")),
        };
        match &self.apart {
            Some(credential) => name.apart(credential),
            None => name,
        }
    }

    /// Whether log-ons may show a secret, which then is counted; else there is nothing but a ticket.
    pub fn can_show_a_secret(&self) -> bool {
        self.user.is_some() || self.keytab.is_some() || logged_in::KEEPS_SECRET
    }
}

pub struct Account {
    pub(super) user: Option<User>,
    pub(super) realm: Option<String>,
    pub(super) kdc: Vec<Target>,
    pub(super) tickets: Tickets,
    keytab: Option<PathBuf>,
    name: AccountName,
    secrets: [Stored; 4],
    version: Version,
    /// Of the files, when what is kept was read.
    seen: Mutex<Option<u64>>,
    digests: Mutex<HashMap<Endpoint, Session>>,
    /// How often a person had asked for a fresh start when what is kept was read.
    generation: Mutex<u64>,
}

/// The kinds of secret, each with its place among those that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Password,
    NtHash,
    Keytab,
    LogOn,
}

impl Account {
    pub fn new(settings: Settings) -> Self {
        let name = settings.account_name();
        let Settings { user, password, nt_hash, keytab, version, realm, kdc, domain: _, apart: _ } = settings;
        let path = keytab.clone();
        let secrets = [
            Stored::new(move || Ok(password()?.map(Proof::Password))),
            Stored::new(move || Ok(nt_hash()?.map(Proof::NtHash))),
            Stored::new(move || path.as_deref().map(read_keytab).transpose()),
            Stored::new(|| logged_in::proof().map(Some)),
        ];
        Self {
            user,
            realm,
            kdc,
            tickets: Tickets::default(),
            keytab,
            name,
            secrets,
            version,
            seen: Mutex::default(),
            digests: Mutex::default(),
            generation: Mutex::default(),
        }
    }

    /// Nothing from before counts any more. Whoever comes second does not go on before all is forgotten.
    pub(super) fn renew(&self, generation: u64) {
        let mut known = self.generation.lock().unwrap_or_else(PoisonError::into_inner);
        if *known < generation {
            *known = generation;
            self.secrets.iter().for_each(Stored::forget);
            self.tickets.forget();
        }
    }

    /// A file that is being written cannot be read, or holds something else a moment later: so what is kept stays until
    /// all that was changed is read.
    fn freshen(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let version = (self.version)();
        if *seen == Some(version) {
            return;
        }
        for stored in &self.secrets {
            let before = stored.known();
            let Ok(now) = before.as_ref().map_or(Ok(None), |_| stored.get_anew()) else { return };
            if now != before {
                self.tickets.forget();
            }
        }
        *seen = Some(version);
    }

    pub(super) fn digest(&self, upstream: &Endpoint, client_nonce: &ClientNonce) -> Session {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        digests.entry(upstream.clone()).or_insert_with(|| Session::new(client_nonce.clone())).clone()
    }

    pub(super) fn has_keytab(&self) -> bool {
        self.keytab.is_some()
    }

    /// Whoever is logged in, whom the system logs on with a secret that it keeps.
    pub(super) fn is_logged_in(&self) -> bool {
        logged_in::KEEPS_SECRET && self.user.is_none() && self.keytab.is_none()
    }

    fn stored(&self, kind: Kind) -> &Stored {
        &self.secrets[kind as usize]
    }
}

fn read_keytab(path: &Path) -> Result<Proof, String> {
    match fs::read(path) {
        Ok(bytes) => Ok(Proof::Keytab(Arc::new(Zeroizing::new(bytes)))),
        Err(error) => Err(format!("cannot read the keytab {}: {error}", path.display())),
    }
}

/// What a scheme that wants one of these kinds puts at risk: the first that is configured.
pub(super) struct AccountStake {
    account: Arc<Account>,
    kinds: &'static [Kind],
}

impl AccountStake {
    pub(super) fn new(account: &Arc<Account>, kinds: &'static [Kind]) -> Self {
        Self { account: account.clone(), kinds }
    }

    fn first(&self, get: impl Fn(&Stored) -> Result<Option<Proof>, String>) -> Result<Proof, MechanismError> {
        for kind in self.kinds {
            match get(self.account.stored(*kind)) {
                Ok(None) => {}
                Ok(Some(proof)) => return Ok(proof),
                Err(error) => return Err(lacks_secret(error)),
            }
        }
        let what = if self.kinds.contains(&Kind::Keytab) { "neither a password nor a keytab" } else { "no password" };
        Err(lacks_secret(format!("the account has {what}")))
    }
}

fn lacks_secret(why: String) -> MechanismError {
    MechanismError::Unavailable(Lacking::new(Lack::Secret, why))
}

impl Stake for AccountStake {
    fn account(&self) -> &AccountName {
        &self.account.name
    }

    fn known(&self) -> Option<Proof> {
        self.kinds.iter().find_map(|kind| self.account.stored(*kind).known())
    }

    fn read(&self) -> Result<Proof, MechanismError> {
        self.first(Stored::get)
    }

    fn read_anew(&self) -> Result<Proof, MechanismError> {
        let before = self.known();
        let proof = self.first(Stored::get_anew)?;
        if before.is_some_and(|before| before != proof) {
            self.account.tickets.forget();
        }
        Ok(proof)
    }

    fn freshen(&self) {
        self.account.freshen();
    }

    fn renew(&self, generation: u64) {
        self.account.renew(generation);
    }
}

type ReadProof = Box<dyn Fn() -> Result<Option<Proof>, String> + Send + Sync>;

/// A secret with its place.
struct Stored {
    read: ReadProof,
    /// Held while reading: ten connections at start must not ask the user ten times.
    reading: Mutex<()>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    proof: Option<Proof>,
    /// How often it was to be forgotten: what was being read then is not kept.
    forgotten: u64,
}

impl Stored {
    fn new(read: impl Fn() -> Result<Option<Proof>, String> + Send + Sync + 'static) -> Self {
        Self { read: Box::new(read), reading: Mutex::new(()), kept: Mutex::default() }
    }

    fn known(&self) -> Option<Proof> {
        self.kept().proof.clone()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self) {
        let mut kept = self.kept();
        kept.proof = None;
        kept.forgotten += 1;
    }

    fn get(&self) -> Result<Option<Proof>, String> {
        let _one_at_a_time = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        match self.known() {
            Some(proof) => Ok(Some(proof)),
            None => self.fetch(),
        }
    }

    /// One that cannot be read stays what it was.
    fn get_anew(&self) -> Result<Option<Proof>, String> {
        let _one_at_a_time = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        self.fetch()
    }

    fn fetch(&self) -> Result<Option<Proof>, String> {
        let forgotten = self.kept().forgotten;
        let read = (self.read)()?;
        let mut kept = self.kept();
        if kept.forgotten == forgotten {
            kept.proof.clone_from(&read);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn stake(password: impl Fn(usize) -> Result<Option<Secret>, String> + Send + Sync + 'static) -> AccountStake {
        let reads = AtomicUsize::new(0);
        let account = Account::new(Settings {
            user: "CORP\\alice".parse().ok(),
            password: Arc::new(move || password(reads.fetch_add(1, Ordering::Relaxed))),
            ..Settings::default()
        });
        AccountStake::new(&Arc::new(account), &[Kind::NtHash, Kind::Password])
    }

    fn password(text: impl Into<String>) -> Proof {
        Proof::Password(Secret::new(text))
    }

    #[test]
    fn a_secret_is_read_when_it_is_needed_and_kept_until_it_is_wanted_anew() {
        let stake = stake(|reads| Ok(Some(Secret::new(reads.to_string()))));
        assert_eq!(stake.known(), None, "not before it is needed");
        for _ in 0..3 {
            assert_eq!((stake.read(), stake.known()), (Ok(password("0")), Some(password("0"))));
        }
        assert_eq!(stake.read_anew(), Ok(password("1")));
        assert_eq!(stake.read(), Ok(password("1")));
    }

    #[test]
    fn a_failure_to_read_is_not_remembered_and_loses_nothing() {
        let locked = || Err("the key ring is locked".to_string());
        let failed = || Err(lacks_secret("the key ring is locked".into()));
        let stake = stake(move |reads| if reads == 1 { Ok(Some(Secret::new("p"))) } else { locked() });
        assert_eq!(stake.read(), failed());
        assert_eq!(stake.read(), Ok(password("p")));
        assert_eq!(stake.read_anew(), failed());
        assert_eq!(stake.read(), Ok(password("p")));
    }

    #[test]
    fn after_a_fresh_start_what_was_kept_is_not_used_even_where_nothing_can_be_read() {
        let stake = stake(|reads| match reads {
            0 => Ok(Some(Secret::new("old"))),
            1 => Err("no password is stored".into()),
            _ => Ok(Some(Secret::new("new"))),
        });
        assert_eq!(stake.read(), Ok(password("old")));
        stake.renew(1);
        assert_eq!(stake.known(), None);
        assert_eq!(stake.read(), Err(lacks_secret("no password is stored".into())));
        assert_eq!(stake.read(), Ok(password("new")));
        stake.renew(1);
        assert_eq!(stake.known(), Some(password("new")), "asked for once");
    }

    #[test]
    fn what_is_being_read_when_a_person_asks_for_a_fresh_start_is_not_kept() {
        let account: Arc<Mutex<Option<Arc<Account>>>> = Arc::default();
        let asked = account.clone();
        let password: ReadSecret = Arc::new(move || {
            asked.lock().unwrap().iter().for_each(|account| account.renew(1));
            Ok(Some(Secret::new("old")))
        });
        let made = Arc::new(Account::new(Settings { password, ..Settings::default() }));
        *account.lock().unwrap() = Some(made.clone());
        let stake = AccountStake::new(&made, &[Kind::Password]);
        assert!(stake.read().is_ok());
        assert_eq!(stake.known(), None);
    }

    #[test]
    fn another_file_is_read_before_what_was_read_is_used_again_and_half_of_one_loses_nothing() {
        let file: Arc<Mutex<(u64, Result<&str, &str>)>> = Arc::new(Mutex::new((1, Ok("old"))));
        let (read, looked_at) = (file.clone(), file.clone());
        let reads = Arc::new(AtomicUsize::new(0));
        let counted = reads.clone();
        let account = Account::new(Settings {
            password: Arc::new(move || {
                counted.fetch_add(1, Ordering::Relaxed);
                let content = read.lock().unwrap().1;
                content.map(|text| Some(Secret::new(text))).map_err(str::to_string)
            }),
            version: Arc::new(move || looked_at.lock().unwrap().0),
            ..Settings::default()
        });
        let stake = AccountStake::new(&Arc::new(account), &[Kind::Password]);
        stake.freshen();
        assert_eq!((stake.known(), stake.read()), (None, Ok(password("old"))), "nothing is read ahead");
        stake.freshen();
        assert_eq!(reads.load(Ordering::Relaxed), 1, "nobody touched it");
        *file.lock().unwrap() = (2, Err("it is empty"));
        stake.freshen();
        assert_eq!(stake.known(), Some(password("old")));
        *file.lock().unwrap() = (2, Ok("new"));
        stake.freshen();
        assert_eq!(stake.known(), Some(password("new")), "although its time is that of the half of it");
    }

    #[test]
    fn what_is_not_configured_is_said() {
        let error = stake(|_| Ok(None)).read().unwrap_err();
        assert_eq!(error.to_string(), "the account has no password");
    }
}
