//! Targets that an upstream forbids: each try is to cost no log-in of its own.
//!
//! Where the upstream leaves its connection open after the refusal, the connection is kept, log-in and all, for the next
//! try. The refusal itself is remembered for a moment too, and said again to those for whom there is no such connection.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::pool::PoolKey;
use crate::auth::ChannelBinding;
use crate::http1::{Fields, ResponseHead};

/// Programs try again for half a minute; people who had the target allowed meanwhile do not wait longer.
const REMEMBERED_FOR: Duration = Duration::from_secs(30);

/// Targets whose refusals are remembered at a time; with [`MAX_PAGE`] that bounds the memory.
const MAX_REMEMBERED: usize = 64;

/// A longer page is passed on as it comes, and neither it nor its connection is kept.
pub const MAX_PAGE: usize = 64 * 1024;

/// An upstream's own answer to a CONNECT, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Without what belongs to one connection.
    pub head: ResponseHead,
    pub data: Vec<u8>,
    /// What stood behind the last chunk; absent where the page did not come in chunks.
    pub trailers: Option<Fields>,
}

/// What a try cost, and what its connection is good for once the page was read.
#[derive(Debug)]
pub(super) struct Expense {
    pub key: PoolKey,
    pub binding: Option<ChannelBinding>,
    /// The connection itself is authenticated, so that the next request on it needs no log-in.
    pub authenticated: bool,
    /// Credentials went with the request that was refused.
    pub logged_in: bool,
    /// What was remembered when it began counted as [`Forbidden::era`].
    pub era: u64,
}

#[derive(Debug)]
struct Refusal {
    page: Arc<Page>,
    since: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Forbidden {
    refusals: Mutex<HashMap<PoolKey, Refusal>>,
    era: AtomicU64,
}

impl Forbidden {
    /// Differs after everything was forgotten: what was asked before is not remembered after it.
    pub fn era(&self) -> u64 {
        self.era.load(Ordering::SeqCst)
    }

    pub fn find(&self, key: &PoolKey, now: Instant) -> Option<Arc<Page>> {
        let refusals = self.lock();
        refusals.get(key).filter(|refusal| refusal.counts(now)).map(|refusal| refusal.page.clone())
    }

    pub fn remember(&self, key: PoolKey, page: Arc<Page>, now: Instant) {
        let mut refusals = self.lock();
        refusals.retain(|_, refusal| refusal.counts(now));
        while refusals.len() >= MAX_REMEMBERED && !refusals.contains_key(&key) {
            let oldest = refusals.iter().min_by_key(|(_, refusal)| refusal.since).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            refusals.remove(&oldest);
        }
        refusals.insert(key, Refusal { page, since: now });
    }

    /// It gave a tunnel after all.
    pub fn allowed(&self, key: &PoolKey) {
        self.lock().remove(key);
    }

    pub fn sweep(&self, now: Instant) {
        self.lock().retain(|_, refusal| refusal.counts(now));
    }

    pub fn clear(&self) {
        self.era.fetch_add(1, Ordering::SeqCst);
        self.lock().clear();
    }

    /// A panic elsewhere leaves the map whole: each change is one assignment.
    fn lock(&self) -> MutexGuard<'_, HashMap<PoolKey, Refusal>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refusal {
    fn counts(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < REMEMBERED_FOR
    }
}

/// A policy's no, as opposed to trouble that may be over with the next try.
pub(super) fn forbids(status: u16) -> bool {
    matches!(status, 403 | 451)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Target;
    use crate::route::Hop;

    fn key(number: usize) -> PoolKey {
        let origin = Target::parse(&format!("h{number}.test:443"), None).unwrap();
        PoolKey { hop: Hop::Direct, generation: 1, origin }
    }

    fn page() -> Arc<Page> {
        let head = ResponseHead::new(403, "Forbidden");
        Arc::new(Page { head, data: b"no".to_vec(), trailers: None })
    }

    #[test]
    fn a_refusal_counts_for_its_target_and_credential_and_for_half_a_minute() {
        let (forbidden, now) = (Forbidden::default(), Instant::now());
        forbidden.remember(key(1), page(), now);
        assert_eq!(forbidden.find(&key(1), now + Duration::from_secs(29)), Some(page()));
        assert_eq!(forbidden.find(&key(1), now + Duration::from_secs(30)), None);
        assert_eq!(forbidden.find(&key(2), now), None);
        assert_eq!(forbidden.find(&PoolKey { generation: 2, ..key(1) }, now), None);
        forbidden.allowed(&key(1));
        assert_eq!(forbidden.find(&key(1), now), None);
    }

    #[test]
    fn only_so_many_are_remembered_and_the_oldest_go_first() {
        let (forbidden, now) = (Forbidden::default(), Instant::now());
        for number in 0..MAX_REMEMBERED + 3 {
            forbidden.remember(key(number), page(), now + Duration::from_millis(number as u64));
        }
        let later = now + Duration::from_secs(1);
        let known = (0..MAX_REMEMBERED + 3).filter(|number| forbidden.find(&key(*number), later).is_some());
        assert_eq!(known.collect::<Vec<_>>(), (3..MAX_REMEMBERED + 3).collect::<Vec<_>>());
        forbidden.sweep(now + Duration::from_secs(60));
        assert_eq!(forbidden.lock().len(), 0);
    }

    #[test]
    fn a_policys_no_is_told_from_trouble() {
        assert!(forbids(403) && forbids(451));
        assert!(![302, 400, 401, 404, 429, 500, 502, 503, 504].into_iter().any(forbids));
    }
}
