//! Connections dialled ahead: an upstream in use is likely to be wanted again at once, and a dial is a round trip or two that
//! the next request need not wait for.
//!
//! An upstream is in use when a connection to it is wanted for the second time within [`WHILE`]. From then on one is kept at
//! hand, and one more each time that those at hand were all taken; each that nobody came for makes it one less. So a burst
//! leaves a few behind that say nothing, and whoever rests keeps none.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use super::dial::Dialer;
use super::live::UpstreamKey;
use super::marks::Marks;
use super::{Dialled, Upstream, Upstreams};

/// How long an upstream counts as in use, and a connection is kept that says nothing. Proxies close one that does not begin
/// to speak after ten seconds (HAProxy as it is often set up), half a minute or more (most others).
const WHILE: Duration = Duration::from_secs(8);

/// At hand for one upstream. Enough for hundreds of requests a second, because each is replaced as soon as it is taken.
const MAX_AT_HAND: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Spares(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    uses: HashMap<UpstreamKey, Use>,
    /// Counts how often all were dropped: what was begun before is kept by nobody.
    era: u64,
    /// Descriptors ran out then.
    short: Option<Instant>,
    is_reaped: bool,
}

/// How one upstream is used.
#[derive(Debug, Default)]
struct Use {
    /// The oldest first, which is the first to be taken.
    ready: VecDeque<Spare>,
    /// Being dialled.
    coming: usize,
    /// So many are to be at hand.
    level: usize,
    /// One has come since the level was raised: if none is there now, it is too low.
    has_come: bool,
    wanted: Option<Instant>,
}

#[derive(Debug)]
struct Spare {
    dialled: Dialled,
    since: Instant,
}

/// What there is for somebody who wants a connection.
#[derive(Debug)]
struct Taken {
    spare: Option<Dialled>,
    /// So many are to be dialled for those who come next.
    missing: usize,
    era: u64,
}

impl Use {
    fn take(&mut self, now: Instant) -> Option<Dialled> {
        let is_in_use = self.wanted.is_some_and(|last| now.saturating_duration_since(last) < WHILE);
        self.wanted = Some(now);
        let found = std::iter::from_fn(|| self.ready.pop_front()).find_map(|mut spare| {
            let is_good = !is_old(&spare, now) && spare.dialled.wire.stream.is_quiet();
            self.level -= usize::from(!is_good && self.level > 0);
            is_good.then_some(spare.dialled)
        });
        match found {
            _ if !is_in_use => self.level = 0,
            Some(_) => self.level = self.level.max(1),
            None if self.level == 0 || self.has_come => {
                self.level = (self.level + 1).min(MAX_AT_HAND);
                self.has_come = false;
            }
            None => {}
        }
        found
    }

    fn at_hand(&self) -> usize {
        self.ready.len() + self.coming
    }

    /// Drops what nobody came for.
    fn reap(&mut self, now: Instant) {
        while self.ready.front().is_some_and(|spare| is_old(spare, now)) {
            self.ready.pop_front();
            self.level = self.level.saturating_sub(1);
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.at_hand() == 0 && self.wanted.is_none_or(|last| now.saturating_duration_since(last) >= WHILE)
    }
}

fn is_old(spare: &Spare, now: Instant) -> bool {
    now.saturating_duration_since(spare.since) >= WHILE
}

impl State {
    fn sweep(&mut self, now: Instant) {
        self.uses.values_mut().for_each(|known| known.reap(now));
        self.uses.retain(|_, known| !known.is_over(now));
    }
}

impl Spares {
    /// `room`: how many connections may wait, these among them.
    fn take(&self, key: &UpstreamKey, now: Instant, room: usize) -> Taken {
        let mut state = self.lock();
        let is_short = state.short.is_some_and(|when| now.saturating_duration_since(when) < WHILE);
        let room = if is_short { 0 } else { room };
        let mut entry = match state.uses.remove_entry(key) {
            Some(known) => known,
            None => (key.clone(), Use::default()),
        };
        let spare = entry.1.take(now);
        let others: usize = state.uses.values().map(Use::at_hand).sum();
        let missing = entry.1.level.min(room.saturating_sub(others)).saturating_sub(entry.1.at_hand());
        entry.1.coming += missing;
        state.uses.insert(entry.0, entry.1);
        Taken { spare, missing, era: state.era }
    }

    fn era(&self) -> u64 {
        self.lock().era
    }

    /// `None`: it did not come about.
    fn put(self: &Arc<Self>, key: &UpstreamKey, dialled: Option<Dialled>, era: u64) {
        let mut state = self.lock();
        let State { uses, era: present, is_reaped, .. } = &mut *state;
        let Some(known) = uses.get_mut(key).filter(|_| *present == era) else { return };
        known.coming -= 1;
        match dialled {
            Some(dialled) => {
                known.has_come = true;
                known.ready.push_back(Spare { dialled, since: Instant::now() });
            }
            None => known.level = known.level.saturating_sub(1),
        }
        if !std::mem::replace(is_reaped, true) {
            tokio::spawn(reap(Arc::downgrade(self)));
        }
    }

    /// How many wait or will.
    pub fn count(&self) -> usize {
        self.lock().uses.values().map(Use::at_hand).sum()
    }

    pub fn clear(&self) {
        let mut state = self.lock();
        state.uses.clear();
        state.era += 1;
    }

    /// Descriptors have run out: those that there are serve requests for a while.
    pub fn rest(&self) {
        self.clear();
        self.lock().short = Some(Instant::now());
    }

    /// Drops what nobody came for.
    pub fn sweep(&self, now: Instant) {
        self.lock().sweep(now);
    }

    /// The same for whoever does it at the right moment, which is told; `None`: he may go.
    fn reap(&self, now: Instant) -> Option<Instant> {
        let mut state = self.lock();
        state.sweep(now);
        let oldest = state.uses.values().filter_map(|known| known.ready.front()).map(|spare| spare.since).min();
        state.is_reaped = oldest.is_some();
        oldest.map(|since| since + WHILE)
    }

    /// A panic elsewhere leaves it whole: nothing is taken out that is not put back or used.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends when nothing is left to be dropped, so that nothing ticks in a relay at rest.
async fn reap(spares: Weak<Spares>) {
    loop {
        let Some(next) = spares.upgrade().and_then(|spares| spares.reap(Instant::now())) else { return };
        sleep_until(next.into()).await;
    }
}

/// One dial ahead. It outlives the request that it was begun after, but not for long.
pub(super) struct DialAhead {
    upstream: Arc<Upstream>,
    key: UpstreamKey,
    dialer: Dialer,
    limit: Duration,
    marks: Arc<Marks>,
    spares: Weak<Spares>,
    era: u64,
}

impl DialAhead {
    async fn run(self) {
        let dialled = self.dial().await;
        if let Some(spares) = self.spares.upgrade() {
            spares.put(&self.key, dialled, self.era);
        }
    }

    /// Nobody waits for it, so a failure is nobody's trouble, and casts no doubt on the network: who comes next does that.
    /// But it is found out here that the upstream is dead, before anybody has to wait for it.
    pub async fn dial(&self) -> Option<Dialled> {
        let endpoint = &self.upstream.endpoint;
        let stream = match self.dialer.dial(&endpoint.target).await {
            // What failed in a network that was left says nothing.
            _ if !self.still_counts() => return None,
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(hop = %endpoint, %error, "not dialled ahead");
                match self.spares.upgrade().filter(|_| error.is_shortage()) {
                    Some(spares) => spares.rest(),
                    None => self.marks.failed(endpoint, &error, &self.dialer),
                }
                return None;
            }
        };
        self.marks.up(endpoint);
        let secured = self.upstream.secure(stream, self.limit).await;
        secured.inspect_err(|error| tracing::debug!(hop = %endpoint, %error, "not dialled ahead")).ok()
    }

    fn still_counts(&self) -> bool {
        self.spares.upgrade().is_some_and(|spares| spares.era() == self.era)
    }
}

impl Upstreams {
    /// A connection that was dialled ahead, where there is one. Whoever asks shows that the upstream is in use: the next ones
    /// are dialled from now on.
    pub(super) fn spare(&self, upstream: &Arc<Upstream>) -> Option<Dialled> {
        let key = self.key(upstream);
        let Taken { spare, missing, era } = self.live.spares().take(&key, Instant::now(), self.live.room_for_spares());
        for _ in 0..missing {
            // As a pointer: what is spawned is moved a dozen times.
            tokio::spawn(Box::pin(DialAhead { era, ..self.dial_ahead(upstream) }.run()));
        }
        spare
    }

    pub(super) fn dial_ahead(&self, upstream: &Arc<Upstream>) -> DialAhead {
        let spares = self.live.spares();
        DialAhead {
            upstream: upstream.clone(),
            key: self.key(upstream),
            dialer: self.dialer.clone(),
            limit: self.handshake_timeout,
            marks: self.live.marks().clone(),
            spares: Arc::downgrade(spares),
            era: spares.era(),
        }
    }
}
