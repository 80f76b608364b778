//! What this process knows of one account: its secrets, who shows one at the moment, who waits for that.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, Notify};

use super::record::MAX_SECRETS;
use crate::auth::lockout::{Ask, Closed, Entry, Now, Scope, Trials, Window};

/// A request whose verdict does not come (its target is slow or dead, or nobody asked for the secret) holds up the
/// others for so long.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same, while nobody has ever said that the secret is good.
const PATIENCE_WITH_A_TRIAL: Duration = Duration::from_secs(10);

/// Tells secrets apart in memory: keyed with what only this process knows.
pub(super) type Tag = [u8; 32];

pub(super) struct Account {
    /// As it is configured.
    pub shown: String,
    /// What salts the digests on disk.
    pub id: Option<String>,
    secrets: Vec<Known>,
    current: Option<Tag>,
    window: Window,
    slots: Vec<Slot>,
    next_slot: u64,
    /// How many wait for a place.
    pub waiting: usize,
    pub places: Arc<Notify>,
    /// One at a time looks on disk.
    pub loading: Arc<AsyncMutex<()>>,
    pub read_anew: Option<Duration>,
    /// One at a time looks at files, and nobody passes meanwhile.
    pub freshening: Arc<AsyncMutex<()>>,
    pub freshened: Option<Duration>,
    pub generation: u64,
    /// The upstream that was the last to reject.
    pub rejected_by: Option<String>,
}

struct Known {
    tag: Tag,
    entry: Entry,
    /// Its last trial was ours.
    tried_here: bool,
}

/// Who may show the secret at the moment.
struct Slot {
    number: u64,
    tag: Tag,
    trial: Option<(Scope, String)>,
    given: Duration,
    shown: Option<Duration>,
}

impl Slot {
    fn is_late(&self, now: Duration) -> bool {
        let since = |then: Duration| now.saturating_sub(then);
        match (&self.trial, self.shown) {
            (Some(_), Some(shown)) => since(shown) >= PATIENCE_WITH_A_TRIAL,
            // It is written down as begun: who does not make it takes it back, and is bound to do so.
            (Some(_), None) => false,
            (None, shown) => since(shown.unwrap_or(self.given)) >= PATIENCE,
        }
    }
}

pub(super) enum Asked {
    /// The number of the place.
    Go(u64),
    /// The same, and it is to be written down before.
    Trial(u64, Scope, Trials),
    /// Nobody knows this secret yet.
    Unknown,
    Wait,
    Closed(Closed),
}

impl Account {
    pub fn new(shown: &str, generation: u64) -> Self {
        Self {
            shown: shown.into(),
            id: None,
            secrets: Vec::new(),
            current: None,
            window: Window::default(),
            slots: Vec::new(),
            next_slot: 0,
            waiting: 0,
            places: Arc::new(Notify::new()),
            loading: Arc::default(),
            read_anew: None,
            freshening: Arc::default(),
            freshened: None,
            generation,
            rejected_by: None,
        }
    }

    /// `woken`: it has waited, and it is its turn.
    pub fn ask(&mut self, tag: &Tag, upstream: &str, now: Now, most: usize, woken: bool) -> Asked {
        self.lose_patience(now);
        if self.current != Some(*tag) {
            self.current = Some(*tag);
            self.window.reset();
        }
        let Some(entry) = self.entry(tag) else { return Asked::Unknown };
        let asked = entry.ask(upstream, now);
        let is_tried = self.slots.iter().any(|slot| slot.trial.is_some() && slot.tag == *tag);
        let free = match asked {
            _ if is_tried => 0,
            Ask::Closed(closed) => return Asked::Closed(closed),
            Ask::Trial(_) => 1_usize.saturating_sub(self.slots.len()),
            Ask::Free => self.window.size(now.moment, most).saturating_sub(self.slots.len()),
        };
        if free == 0 || (self.waiting > 0 && !woken) {
            return Asked::Wait;
        }
        if free > 1 && self.waiting > 0 {
            self.places.notify_one();
        }
        self.next_slot += 1;
        let number = self.next_slot;
        let Ask::Trial(scope) = asked else {
            self.slots.push(Slot { number, tag: *tag, trial: None, given: now.moment, shown: None });
            return Asked::Go(number);
        };
        let before = self.entry(tag).map(|entry| entry.before(scope, upstream)).unwrap_or_default();
        let trial = Some((scope, upstream.into()));
        self.slots.push(Slot { number, tag: *tag, trial, given: now.moment, shown: None });
        Asked::Trial(number, scope, before)
    }

    pub fn entry(&mut self, tag: &Tag) -> Option<&mut Entry> {
        self.secrets.iter_mut().find(|known| known.tag == *tag).map(|known| &mut known.entry)
    }

    pub fn learn(&mut self, tag: &Tag, entry: Entry) {
        self.secrets.retain(|known| known.tag != *tag);
        self.secrets.push(Known { tag: *tag, entry, tried_here: false });
        let excess = self.secrets.len().saturating_sub(MAX_SECRETS);
        self.secrets.drain(..excess);
    }

    /// It has begun, here or in another process.
    pub fn tried(&mut self, tag: &Tag, here: bool) {
        if let Some(known) = self.secrets.iter_mut().find(|known| known.tag == *tag) {
            known.tried_here = here;
        }
    }

    pub fn is_foreign(&self, tag: &Tag) -> bool {
        self.secrets.iter().any(|known| known.tag == *tag && !known.tried_here)
    }

    /// A person asked for a fresh start.
    pub fn renew(&mut self, generation: u64) {
        if self.generation < generation {
            self.generation = generation;
            self.window.reset();
            self.secrets.iter_mut().for_each(|known| known.entry.renew(generation));
            self.places.notify_waiters();
        }
    }

    /// Whoever took so long that its place was given to others counts again.
    pub fn shown_at(&mut self, number: u64, tag: &Tag, moment: Duration) {
        match self.slots.iter_mut().find(|slot| slot.number == number) {
            Some(slot) => slot.shown = Some(moment),
            None => self.slots.push(Slot { number, tag: *tag, trial: None, given: moment, shown: Some(moment) }),
        }
    }

    /// The place is free for others.
    pub fn give_back(&mut self, number: u64) {
        let before = self.slots.len();
        self.slots.retain(|slot| slot.number != number);
        if self.slots.len() < before {
            self.places.notify_one();
        }
    }

    /// Whether a trial is under way whose verdict had better not be missed.
    pub fn hangs_on_a_verdict(&self) -> bool {
        self.slots.iter().filter(|slot| slot.shown.is_some()).any(|slot| {
            let known = self.secrets.iter().find(|known| known.tag == slot.tag);
            slot.trial
                .as_ref()
                .zip(known)
                .is_some_and(|((scope, upstream), known)| known.entry.is_past_pardon(*scope, upstream))
        })
    }

    pub fn success(&mut self, now: Now, most: usize) {
        self.window.success(now.moment, most);
    }

    /// Everybody who waits hears of it.
    pub fn close(&mut self) {
        self.window.reset();
        self.places.notify_waiters();
    }

    fn lose_patience(&mut self, now: Now) {
        let late: Vec<Slot> = self.slots.extract_if(.., |slot| slot.is_late(now.moment)).collect();
        late.into_iter().for_each(|slot| self.pardon(slot));
    }

    /// The place is free, and whoever had it does not wait for the verdict.
    pub fn give_up(&mut self, number: u64) {
        if let Some(at) = self.slots.iter().position(|slot| slot.number == number) {
            let slot = self.slots.remove(at);
            self.pardon(slot);
            self.places.notify_one();
        }
    }

    fn pardon(&mut self, slot: Slot) {
        let Some((scope, upstream)) = slot.trial else { return };
        if let Some(entry) = self.entry(&slot.tag) {
            entry.pardon(scope, &upstream);
        }
    }

    /// Whether nothing is sent for it at the moment, or who is passed over.
    pub fn trouble(&mut self, now: Now) -> Option<(Closed, Option<String>)> {
        let current = self.current?;
        let last = self.rejected_by.clone();
        let entry = self.entry(&current)?;
        if entry.trials.failures > 0 {
            return Some((entry.closed("", now), last));
        }
        let (upstream, _) = entry.refused_by.first()?;
        let upstream = upstream.clone();
        Some((entry.closed(&upstream, now), Some(upstream)))
    }
}
