//! The lock-out breaker: who may show which secret when, over all upstreams, clients and processes of this user.
//!
//! A request asks [`Lockout::admit`] before it makes anything of a secret. It gets leave at once where the secret is
//! known to be good and a place is free, waits where another request is finding out, and is refused where the secret
//! was found bad. What a trial needs to be remembered by is on disk before it begins.

mod account;
mod permit;
mod record;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

pub use record::{Store, Tried, tried};

use crate::auth::lockout::{Ask, Closed, Entry, Leave, Now, Permit as _, Proof, Stake};
use crate::auth::{MechanismError, Refusal, Scheme};
use account::{Account, Asked, Tag};
use permit::Place;
use record::{Record, Secrets, digest, random_id};

/// Logons in flight per account, where nothing else is configured.
pub const DEFAULT_MAX_LOGONS: usize = 8;

/// Requests that wait for a place, of all accounts.
const MAX_WAITING: usize = 1024;

/// The generation is looked at no more often.
const GENERATION_AGE: Duration = Duration::from_secs(1);

/// A secret that was refused is read anew no more often: a program may have to be run for it.
const READ_ANEW: Duration = Duration::from_secs(2);

/// The files of secrets are looked at no more often. Whoever changes a password in the directory and in the file needs
/// longer than this from the one to the other.
const FRESH: Duration = Duration::from_millis(100);

/// Who waits looks again after this, also when nobody gives a place back.
const GLANCE: Duration = Duration::from_millis(500);

/// How often it is looked whether a verdict has come.
const SHORT_GLANCE: Duration = Duration::from_millis(100);

/// How often it is looked whether a file was written.
const WRITTEN_GLANCE: Duration = Duration::from_millis(5);

/// Another process's trial is waited for so long.
const FOREIGN_TRIAL: u64 = 10;

/// Until the record cannot be written, and again after that.
const UNWRITTEN: &str = "the record of rejected log-ins cannot be written: after a restart a wrong password would be \
                         tried once more, and another relay of this user does not learn of it";

pub struct Lockout {
    shared: Arc<Shared>,
}

struct Shared {
    store: Option<Arc<dyn Store>>,
    /// Tags are keyed with it, so that memory holds nothing a secret could be found from by its owner's guesses.
    key: [u8; 32],
    started: Instant,
    /// Milliseconds that are said to have passed besides.
    passed: AtomicU64,
    most: AtomicUsize,
    waiting: AtomicUsize,
    /// And when it was looked at.
    generation: Mutex<(u64, Instant)>,
    accounts: Mutex<HashMap<String, Account>>,
    unwritten: AtomicBool,
    /// What is still to be written, and is no matter of safety.
    owed: AtomicUsize,
}

/// How an account stands for which nothing is sent, or not to every upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// As it is configured.
    pub account: String,
    pub closed: Closed,
    pub upstream: Option<String>,
}

/// What stops a request on its way to a leave.
#[derive(Debug)]
pub enum NoLeave {
    /// Nothing is sent.
    Refused(Refusal),
    /// The secret cannot be read; another scheme may do without.
    Unreadable(MechanismError),
}

impl std::fmt::Debug for Lockout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lockout").finish_non_exhaustive()
    }
}

impl Default for Lockout {
    /// Nothing outlives it.
    fn default() -> Self {
        Self::new(None)
    }
}

impl Lockout {
    pub fn new(store: Option<Arc<dyn Store>>) -> Self {
        let generation = store.as_ref().map_or(0, |store| store.generation());
        let mut key = [0; 32];
        // Without randomness tags can be foreseen by whoever reads this process's memory, the secrets in it too.
        let _ = getrandom::fill(&mut key);
        Self {
            shared: Arc::new(Shared {
                store,
                key,
                started: Instant::now(),
                passed: AtomicU64::new(0),
                most: AtomicUsize::new(DEFAULT_MAX_LOGONS),
                waiting: AtomicUsize::new(0),
                generation: Mutex::new((generation, Instant::now())),
                accounts: Mutex::default(),
                unwritten: AtomicBool::new(false),
                owed: AtomicUsize::new(0),
            }),
        }
    }

    /// How many may show an account's secret at a time, once it is known to be good.
    pub fn allow_at_a_time(&self, most: usize) {
        self.shared.most.store(most, Ordering::Relaxed);
    }

    /// How often a person has asked for a fresh start, looked up at most once a second.
    pub async fn generation(&self) -> u64 {
        self.shared.look_at_the_generation().await;
        self.shared.generation().0
    }

    /// Waits while the secret of an account was shown for the last time in a long while unless its verdict is heard:
    /// whoever waits for that does not stop because nobody wants the answer any more.
    pub async fn verdict(&self) {
        while self.shared.accounts().values().any(Account::hangs_on_a_verdict) {
            tokio::time::sleep(SHORT_GLANCE).await;
        }
    }

    /// Waits until all that was heard so far is on disk: a process that ends earlier leaves a trial behind of which nobody
    /// knows how it came out.
    pub async fn written(&self) {
        while self.shared.owed.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(WRITTEN_GLANCE).await;
        }
    }

    /// As if so much time had passed: nobody who tests a pause wants to wait for its end.
    pub fn skip(&self, time: Duration) {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.shared.passed.fetch_add(time, Ordering::Relaxed);
    }

    /// Every account in trouble, in the order of their names.
    pub fn troubles(&self) -> Vec<Trouble> {
        let now = self.shared.now();
        let mut accounts = self.shared.accounts();
        let troubles = accounts.values_mut().filter_map(|account| {
            let (closed, upstream) = account.trouble(now)?;
            Some(Trouble { account: account.shown.clone(), closed, upstream })
        });
        let mut troubles: Vec<Trouble> = troubles.collect();
        troubles.sort_by(|one, other| one.account.cmp(&other.account));
        troubles
    }

    /// Leave to show the secret to this upstream; may take as long as others take to find out that it is good.
    pub async fn admit(&self, stake: &Arc<dyn Stake>, upstream: &str, scheme: Scheme) -> Result<Leave, NoLeave> {
        let shared = &self.shared;
        shared.look_at_the_generation().await;
        let mut queued: Option<Queued> = None;
        loop {
            // Forgotten before it is read, and read before it is asked for: a person who asks for a fresh start after
            // changing a secret never has the former one tried once more.
            let generation = shared.generation().0;
            stake.renew(generation);
            shared.freshen(stake).await;
            let proof = match stake.known() {
                Some(proof) => proof,
                None => read(stake, |stake| stake.read()).await.map_err(NoLeave::Unreadable)?,
            };
            let tag = shared.tag(&proof);
            let account = stake.account();
            let asked = {
                let mut accounts = shared.accounts();
                let known = accounts.entry(account.key().into());
                let known = known.or_insert_with(|| Account::new(account.shown(), generation));
                known.renew(generation);
                if known.generation > generation {
                    continue;
                }
                let asked = known.ask(&tag, upstream, shared.now(), shared.most(), queued.is_some());
                // Made before the lock is given up: what is said from now on is heard.
                let notified = matches!(asked, Asked::Wait).then(|| known.places.clone().notified_owned());
                let proven = known.entry(&tag).is_some_and(|entry| entry.accepted);
                (asked, notified, proven)
            };
            let place = |number, trial| Place {
                shared: shared.clone(),
                account: account.key().into(),
                tag,
                upstream: upstream.into(),
                scheme,
                number,
                trial,
                proven: asked.2,
                shown: AtomicUsize::new(0),
                spent: AtomicBool::new(false),
            };
            match asked.0 {
                Asked::Go(number) => return Ok(Leave::new(proof, Box::new(place(number, None)))),
                Asked::Trial(number, scope, before) => {
                    // From here on the place is given back whatever happens.
                    let place = place(number, Some((scope, before)));
                    if let Some(place) = begin(place).await {
                        return Ok(Leave::new(proof, Box::new(place)));
                    }
                }
                Asked::Unknown => shared.load(stake, proof, tag).await,
                Asked::Wait => {
                    if queued.is_none() {
                        queued = Some(Queued::join(shared, account.key()).ok_or(NoLeave::Refused(Refusal::Crowded))?);
                    }
                    if let Some(notified) = asked.1 {
                        let _looks_again_in_any_case = timeout(GLANCE, notified).await;
                    }
                }
                Asked::Closed(closed) => {
                    if shared.is_another_process_trying(account.key(), &tag, &closed) {
                        tokio::time::sleep(GLANCE).await;
                        shared.load(stake, proof, tag).await;
                    } else if !shared.reads_anew(stake, &tag).await {
                        return Err(NoLeave::Refused(Refusal::Closed(closed)));
                    }
                }
            }
        }
    }
}

/// Off the runtime's threads.
async fn read(
    stake: &Arc<dyn Stake>,
    how: impl FnOnce(&dyn Stake) -> Result<Proof, MechanismError> + Send + 'static,
) -> Result<Proof, MechanismError> {
    let stake = stake.clone();
    let read = spawn_blocking(move || how(&*stake)).await;
    read.unwrap_or_else(|_| Err(MechanismError::Unavailable("the secret could not be read".into())))
}

/// Writes down that a trial begins. `None`: another process has found something out, or tries at the moment.
async fn begin(place: Place) -> Option<Place> {
    spawn_blocking(move || {
        let (scope, _) = place.trial.as_ref()?;
        let (scope, upstream) = (*scope, place.upstream.clone());
        let mut begun = false;
        place.shared.write(&place.account, &place.tag, &mut |entry, now| {
            if matches!(entry.ask(&upstream, now), Ask::Trial(wanted) if wanted == scope) {
                entry.begin(scope, &upstream, now);
                begun = true;
            }
        });
        if begun {
            place.shared.with(&place.account, |account| account.tried(&place.tag, true));
            return Some(place);
        }
        place.abandon();
        None
    })
    .await
    .ok()
    .flatten()
}

impl Place {
    /// The trial never was: what is on disk is somebody else's, who may be waiting for its verdict.
    fn abandon(self) {
        self.shared.with(&self.account, |account| account.tried(&self.tag, false));
        self.lose();
    }
}

/// Counts who waits, for as long as it does.
struct Queued {
    shared: Arc<Shared>,
    account: String,
}

impl Queued {
    fn join(shared: &Arc<Shared>, account: &str) -> Option<Self> {
        let more = |waiting: usize| (waiting < MAX_WAITING).then_some(waiting + 1);
        shared.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        shared.with(account, |account| account.waiting += 1);
        Some(Self { shared: shared.clone(), account: account.into() })
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.shared.waiting.fetch_sub(1, Ordering::AcqRel);
        self.shared.with(&self.account, |account| account.waiting -= 1);
    }
}

impl Shared {
    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let passed = Duration::from_millis(self.passed.load(Ordering::Relaxed));
        Now { moment: self.started.elapsed() + passed, wall: wall.as_secs() }
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    fn tag(&self, proof: &Proof) -> Tag {
        let mut tag = Tag::default();
        // A key of any length will do.
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) {
            for part in proof.parts() {
                mac.update(&part.len().to_be_bytes());
                mac.update(part);
            }
            tag.copy_from_slice(&mac.finalize().into_bytes());
        }
        tag
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<String, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, account: &str, look: impl FnOnce(&mut Account) -> T) -> Option<T> {
        self.accounts().get_mut(account).map(look)
    }

    fn generation(&self) -> MutexGuard<'_, (u64, Instant)> {
        self.generation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look_at_the_generation(self: &Arc<Self>) {
        let is_due = {
            let mut generation = self.generation();
            let is_due = generation.1.elapsed() >= GENERATION_AGE;
            if is_due {
                generation.1 = Instant::now();
            }
            is_due
        };
        if let (true, Some(store)) = (is_due, self.store.clone())
            && let Ok(seen) = spawn_blocking(move || store.generation()).await
        {
            let mut generation = self.generation();
            generation.0 = generation.0.max(seen);
        }
    }

    /// A secret whose file was changed is not shown any more, whether it was good or not.
    async fn freshen(&self, stake: &Arc<dyn Stake>) {
        let key = stake.account().key();
        if !self.may_be_stale(key) {
            return;
        }
        let freshening = self.with(key, |account| account.freshening.clone()).unwrap_or_default();
        let _one_at_a_time = freshening.lock().await;
        if !self.may_be_stale(key) {
            return;
        }
        let now = self.now().moment;
        let looking = stake.clone();
        let _what_was_kept_is_kept = spawn_blocking(move || looking.freshen()).await;
        self.with(key, |account| account.freshened = Some(now));
    }

    fn may_be_stale(&self, key: &str) -> bool {
        let now = self.now().moment;
        let last = self.with(key, |account| account.freshened).flatten();
        last.is_none_or(|last| now.saturating_sub(last) >= FRESH)
    }

    /// Whether a secret that was refused is another one by now.
    async fn reads_anew(&self, stake: &Arc<dyn Stake>, tag: &Tag) -> bool {
        let now = self.now().moment;
        let is_due = self.with(stake.account().key(), |account| {
            let is_due = account.read_anew.is_none_or(|last| now.saturating_sub(last) >= READ_ANEW);
            if is_due {
                account.read_anew = Some(now);
            }
            is_due
        });
        // Somebody else may have read another one meanwhile.
        let proof = match is_due {
            Some(true) => read(stake, |stake| stake.read_anew()).await.ok(),
            Some(false) | None => stake.known(),
        };
        proof.is_some_and(|proof| self.tag(&proof) != *tag)
    }

    /// A trial that is not ours, and so recent that its end may be seen.
    fn is_another_process_trying(&self, account: &str, tag: &Tag, closed: &Closed) -> bool {
        let wall = self.now().wall;
        // A time that is yet to come is that of a clock that was set back since.
        let is_recent = !closed.rejected && wall.abs_diff(closed.since) < FOREIGN_TRIAL;
        is_recent && self.store.is_some() && self.with(account, |account| account.is_foreign(tag)) == Some(true)
    }

    /// Finds the secret among those on disk, or makes a new entry for it in memory.
    async fn load(self: &Arc<Self>, stake: &Arc<dyn Stake>, proof: Proof, tag: Tag) {
        let key = stake.account().key().to_string();
        let Some(loading) = self.with(&key, |account| account.loading.clone()) else { return };
        let _one_at_a_time = loading.lock().await;
        let shared = self.clone();
        let loaded = spawn_blocking(move || shared.load_blocking(&key, &proof, &tag)).await;
        if loaded.is_err() {
            tracing::error!("the record of rejected log-ins could not be looked at");
        }
    }

    fn load_blocking(&self, key: &str, proof: &Proof, tag: &Tag) {
        let now = self.now();
        let read = || Record::parse(self.store.as_ref().and_then(|store| store.read()).as_deref());
        let find =
            |secrets: &Secrets, digest: &str| secrets.entries.iter().find(|written| written.digest == digest).cloned();
        let known = self.with(key, |account| account.entry(tag).map(|entry| entry.digest.clone())).flatten();
        if let Some(digest) = known {
            if let Some(written) = read().accounts.get(key).and_then(|secrets| find(secrets, &digest)) {
                self.with(key, |account| {
                    account.tried(tag, false);
                    account.entry(tag).map(|entry| entry.catch_up(&written, now))
                });
            }
            return;
        }
        let generation = self.generation().0;
        let (id, entry) = match self.id_of(key).and_then(|id| Ok((digest(proof, &id)?, id))) {
            Ok((digest, id)) => {
                let written = read().accounts.get(key).and_then(|secrets| find(secrets, &digest));
                (Some(id), written.unwrap_or_else(|| Entry::new(digest, generation)))
            }
            Err(error) => {
                tracing::error!(%error, "{UNWRITTEN}");
                (None, Entry::new(String::new(), generation))
            }
        };
        self.with(key, |account| {
            account.id = account.id.take().or(id);
            account.learn(tag, entry);
            if let Some(entry) = account.entry(tag) {
                entry.settle(now);
                entry.renew(generation);
            }
        });
    }

    /// What salts the digests of this account, on disk before the first of them is made.
    fn id_of(&self, key: &str) -> io::Result<String> {
        if let Some(id) = self.with(key, |account| account.id.clone()).flatten() {
            return Ok(id);
        }
        let mut id = random_id()?;
        let Some(store) = &self.store else { return Ok(id) };
        let written = store.update(&mut |bytes| {
            let mut record = Record::parse(bytes.as_deref());
            let secrets = record.accounts.entry(key.into()).or_default();
            if !secrets.id.is_empty() {
                id.clone_from(&secrets.id);
                return None;
            }
            secrets.id.clone_from(&id);
            record.to_bytes()
        });
        self.note(written);
        Ok(id)
    }

    /// Changes an entry here and on disk, where another process may have changed it first.
    fn write(&self, key: &str, tag: &Tag, change: &mut dyn FnMut(&mut Entry, Now)) {
        let now = self.now();
        let mut apply = |record: &mut Record| {
            self.with(key, |account| {
                let id = account.id.clone().unwrap_or_default();
                let Some(entry) = account.entry(tag) else { return };
                let secrets = record.accounts.entry(key.into()).or_default();
                if secrets.id.is_empty() {
                    secrets.id = id;
                }
                if let Some(written) = secrets.entries.iter().find(|one| one.digest == entry.digest) {
                    entry.catch_up(written, now);
                }
                change(entry, now);
                if !entry.digest.is_empty() {
                    secrets.put(entry.clone());
                }
            });
        };
        let Some(store) = &self.store else { return apply(&mut Record::default()) };
        let mut applied = false;
        let written = store.update(&mut |bytes| {
            let mut record = Record::parse(bytes.as_deref());
            apply(&mut record);
            applied = true;
            record.to_bytes()
        });
        if !applied {
            apply(&mut Record::default());
        }
        self.note(written);
    }

    /// Said once, until it goes well again.
    fn note(&self, written: io::Result<()>) {
        match written {
            Ok(()) => self.unwritten.store(false, Ordering::Relaxed),
            Err(error) => {
                if !self.unwritten.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "{UNWRITTEN}");
                }
            }
        }
    }

    /// What is no matter of safety need not wait for the disk. Then the place is free.
    fn write_later(
        self: &Arc<Self>,
        key: &str,
        tag: Tag,
        change: impl Fn(&mut Entry) + Send + 'static,
        place: Option<u64>,
    ) {
        let (shared, key) = (self.clone(), key.to_string());
        self.owed.fetch_add(1, Ordering::AcqRel);
        let write = move || {
            shared.write(&key, &tag, &mut |entry, _| change(entry));
            if let Some(number) = place {
                shared.with(&key, |account| account.give_back(number));
            }
            shared.owed.fetch_sub(1, Ordering::AcqRel);
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(write)),
            Err(_) => write(),
        }
    }
}

#[cfg(test)]
mod tests;
