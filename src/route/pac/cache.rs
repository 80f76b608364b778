//! Decisions that were made, and those being made: one URL is evaluated once at a time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Answer, PacError};

pub type Decision = Result<Arc<Answer>, PacError>;

const MOST: usize = 8192;

/// Two independent hashes instead of the URL: one entry costs the same for `https://a/` and for 8 KiB of query.
type Key = (u64, u64);

pub struct Cache {
    hashers: (RandomState, RandomState),
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    made: HashMap<Key, Made>,
    flights: HashMap<Key, Arc<Flight>>,
    uses: u64,
    /// Counts [`Cache::forget`]: what began before is not kept.
    forgotten: u64,
}

struct Made {
    decision: Decision,
    /// `None`: as long as there is room.
    until: Option<Duration>,
    used: u64,
}

#[derive(Default)]
struct Flight {
    landed: Mutex<Option<Decision>>,
    signal: Condvar,
}

/// What to do about a URL.
pub enum Next<'a> {
    Known(Decision),
    /// Evaluate it, and [`Ticket::land`].
    Evaluate(Ticket<'a>),
}

/// The duty to say how an evaluation ended. Dropping it without a word tells those who wait that it went wrong.
pub struct Ticket<'a> {
    cache: &'a Cache,
    key: Key,
    flight: Arc<Flight>,
    forgotten: u64,
}

/// How long a decision is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    No,
    Until(Duration),
    Always,
}

impl Cache {
    pub fn new() -> Self {
        Self { hashers: (RandomState::new(), RandomState::new()), state: Mutex::default() }
    }

    pub fn get(&self, url: &str, now: Duration) -> Option<Decision> {
        let key = self.key(url);
        self.lock().get(key, now)
    }

    /// A decision that is known, or the ticket to make it; while another makes it, waits for that one.
    pub fn begin(&self, url: &str, now: Duration, within: Duration) -> Next<'_> {
        let key = self.key(url);
        let mut state = self.lock();
        if let Some(decision) = state.get(key, now) {
            return Next::Known(decision);
        }
        let forgotten = state.forgotten;
        match state.flights.entry(key) {
            Entry::Occupied(entry) => {
                let flight = Arc::clone(entry.get());
                drop(state);
                Next::Known(flight.wait(within))
            }
            Entry::Vacant(entry) => {
                let flight = Arc::clone(entry.insert(Arc::default()));
                Next::Evaluate(Ticket { cache: self, key, flight, forgotten })
            }
        }
    }

    pub fn forget(&self) {
        let mut state = self.lock();
        state.made.clear();
        // Who comes from now on must not share what began before.
        state.flights.clear();
        state.forgotten += 1;
    }

    fn key(&self, url: &str) -> Key {
        (self.hashers.0.hash_one(url), self.hashers.1.hash_one(url))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn get(&mut self, key: Key, now: Duration) -> Option<Decision> {
        self.uses += 1;
        let made = self.made.get_mut(&key).filter(|made| made.until.is_none_or(|until| until > now))?;
        made.used = self.uses;
        Some(made.decision.clone())
    }

    fn keep(&mut self, key: Key, made: Made, now: Duration) {
        if self.made.len() >= MOST {
            self.made.retain(|_, made| made.until.is_none_or(|until| until > now));
        }
        if self.made.len() >= MOST {
            // The half that was not used for longest goes, so that this is done rarely.
            let mut uses: Vec<u64> = self.made.values().map(|made| made.used).collect();
            let (_, middle, _) = uses.select_nth_unstable(MOST / 2);
            let middle = *middle;
            self.made.retain(|_, made| made.used > middle);
        }
        self.made.insert(key, made);
    }
}

impl Flight {
    fn wait(&self, within: Duration) -> Decision {
        let landed = self.landed.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = self.signal.wait_timeout_while(landed, within, |landed| landed.is_none());
        let (landed, _) = wait.unwrap_or_else(PoisonError::into_inner);
        landed.clone().unwrap_or(Err(PacError::TimedOut))
    }

    fn land(&self, decision: Decision) {
        let mut landed = self.landed.lock().unwrap_or_else(PoisonError::into_inner);
        landed.get_or_insert(decision);
        self.signal.notify_all();
    }
}

impl Ticket<'_> {
    pub fn land(self, decision: Decision, keep: Keep, now: Duration) {
        let until = match keep {
            Keep::No => None,
            Keep::Until(until) => Some(Some(until)),
            Keep::Always => Some(None),
        };
        if let Some(until) = until {
            let mut state = self.cache.lock();
            if state.forgotten == self.forgotten {
                let used = state.uses;
                state.keep(self.key, Made { decision: decision.clone(), until, used }, now);
            }
        }
        self.flight.land(decision);
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        if state.flights.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            state.flights.remove(&self.key);
        }
        drop(state);
        self.flight.land(Err(PacError::Threw("the evaluation was given up".into())));
    }
}
