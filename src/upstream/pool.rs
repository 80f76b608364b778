//! Idle connections: kept for the next request of their kind, for as long as they are likely to be good.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::stream::Stream;
use crate::address::Target;
use crate::auth::ChannelBinding;
use crate::http1::Wire;
use crate::route::Hop;

/// Longer than any pause within a page load, shorter than most upstreams' own limit.
const MAX_IDLE: Duration = Duration::from_secs(55);

/// Idle connections to one origin by one hop.
const MAX_IDLE_PER_KEY: usize = 16;

/// In all, where descriptors are not short.
pub const MAX_IDLE_TOTAL: usize = 512;

/// Whose connection it was: never leased to another hop, credential or origin.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolKey {
    pub hop: Hop,
    pub generation: u64,
    pub origin: Target,
}

#[derive(Debug)]
pub struct Idle {
    pub wire: Wire<Stream>,
    pub binding: Option<ChannelBinding>,
    /// By the connection itself, so that requests need no credentials of their own.
    pub authenticated: bool,
    pub since: Instant,
}

#[derive(Debug)]
pub struct Pool {
    idle: Mutex<Kept>,
    most: usize,
}

#[derive(Debug, Default)]
struct Kept {
    lists: HashMap<PoolKey, Vec<Idle>>,
    /// Over all lists.
    total: usize,
}

impl Default for Pool {
    fn default() -> Self {
        Self::of(MAX_IDLE_TOTAL)
    }
}

impl Pool {
    /// With so many connections at most.
    pub fn of(most: usize) -> Self {
        Self { idle: Mutex::default(), most }
    }

    /// The most recently used connection that is still good.
    pub fn take(&self, key: &PoolKey, now: Instant) -> Option<Idle> {
        let mut kept = self.lock();
        let list = kept.lists.get_mut(key)?;
        let before = list.len();
        let found = std::iter::from_fn(|| list.pop())
            .find_map(|mut idle| (is_fresh(&idle, now) && idle.wire.stream.is_quiet()).then_some(idle));
        let left = list.len();
        if left == 0 {
            kept.lists.remove(key);
        }
        kept.total -= before - left;
        found
    }

    /// `others` share the limit. `counts` is asked while nobody can clear the pool.
    pub fn put(&self, key: PoolKey, entry: Idle, others: usize, counts: impl FnOnce() -> bool) {
        let mut kept = self.lock();
        if !counts() || kept.total + others >= self.most {
            return;
        }
        let list = kept.lists.entry(key).or_default();
        if list.len() < MAX_IDLE_PER_KEY {
            list.push(entry);
            kept.total += 1;
        }
    }

    /// How many more there may be.
    pub fn room(&self) -> usize {
        self.most.saturating_sub(self.lock().total)
    }

    pub fn clear(&self) {
        *self.lock() = Kept::default();
    }

    /// Drops what nobody came back for.
    pub fn sweep(&self, now: Instant) {
        let mut kept = self.lock();
        let Kept { lists, total } = &mut *kept;
        lists.retain(|_, list| {
            list.retain_mut(|entry| is_fresh(entry, now) && entry.wire.stream.is_quiet());
            !list.is_empty()
        });
        *total = lists.values().map(Vec::len).sum();
    }

    /// A panic elsewhere leaves the lists whole: nothing between a change of one and that of the total can panic.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_fresh(idle: &Idle, now: Instant) -> bool {
    now.saturating_duration_since(idle.since) < MAX_IDLE
}
