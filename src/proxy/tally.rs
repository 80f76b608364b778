//! What the relay has done since it began, for those who watch it: requests by their ends, bytes, tunnels, failures.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::failures::Failures;
use super::tickets::Tickets;
use super::tunnels::Tunnel;
use crate::audit::{End, Record};
use crate::upstream::Histogram;

/// What a client wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// A tunnel, in whatever words.
    Connect,
    Forward,
    /// One of our own pages.
    Page,
    /// It came to an end before that was known.
    Unread,
}

/// Lives as long as the process: no reload takes anything back.
#[derive(Debug)]
pub struct Tally {
    pub(super) began: Timestamp,
    counts: Mutex<Counts>,
    pub(super) failures: Failures,
    pub(super) tickets: Tickets,
}

#[derive(Debug, Default)]
struct Counts {
    ended: BTreeMap<(Kind, End), u64>,
    /// Of what has ended.
    up: u64,
    down: u64,
    tunnels: HashMap<u64, Arc<Tunnel>>,
    scripts: Histogram,
    reloads: Reloads,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reloads {
    pub taken: u64,
    pub rejected: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bytes {
    pub up: u64,
    pub down: u64,
}

impl Default for Tally {
    fn default() -> Self {
        let (counts, failures, tickets) = (Mutex::default(), Failures::default(), Tickets::default());
        Self { began: Timestamp::now(), counts, failures, tickets }
    }
}

impl Tally {
    pub(super) fn opened(&self, tunnel: Arc<Tunnel>) {
        self.lock().tunnels.insert(tunnel.number, tunnel);
    }

    /// The record is told what its tunnel carried, where its own end could not tell any more. A tunnel counts either
    /// among the open ones or among those that have ended, so that the sum of bytes never goes back.
    pub(super) fn ended(&self, kind: Kind, end: End, record: &mut Record, tunnel: Option<&Tunnel>) {
        let mut counts = self.lock();
        if let Some(tunnel) = tunnel {
            counts.tunnels.remove(&tunnel.number);
            record.bytes_up = record.bytes_up.max(tunnel.traffic.up());
            record.bytes_down = record.bytes_down.max(tunnel.traffic.down());
        }
        *counts.ended.entry((kind, end)).or_default() += 1;
        counts.up += record.bytes_up;
        counts.down += record.bytes_down;
    }

    /// A PAC script took so long to decide.
    pub(super) fn decided(&self, took: Duration) {
        self.lock().scripts.observe(took);
    }

    /// Another configuration counts, or one was found that cannot.
    pub fn reloaded(&self, taken: bool) {
        let reloads = &mut self.lock().reloads;
        let count = if taken { &mut reloads.taken } else { &mut reloads.rejected };
        *count += 1;
    }

    pub(super) fn requests(&self) -> BTreeMap<(Kind, End), u64> {
        self.lock().ended.clone()
    }

    pub(super) fn bytes(&self) -> Bytes {
        let counts = self.lock();
        let sum = |of: fn(&Tunnel) -> u64| counts.tunnels.values().map(|tunnel| of(tunnel)).sum::<u64>();
        Bytes { up: counts.up + sum(|one| one.traffic.up()), down: counts.down + sum(|one| one.traffic.down()) }
    }

    pub(super) fn open_tunnels(&self) -> usize {
        self.lock().tunnels.len()
    }

    pub(super) fn tunnels(&self) -> Vec<Arc<Tunnel>> {
        self.lock().tunnels.values().cloned().collect()
    }

    pub(super) fn scripts(&self) -> Histogram {
        self.lock().scripts
    }

    pub(super) fn reloads(&self) -> Reloads {
        self.lock().reloads
    }

    /// A panic elsewhere leaves the counts whole.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
