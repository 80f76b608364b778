//! Engines that are free, lent to one evaluation each.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::PacError;
use super::engine::Engine;

/// Evaluations at a time. More wait: a machine has fewer cores, and what waits on DNS is bounded anyway.
pub const MOST_ENGINES: usize = 32;

/// An engine not used for so long is dropped when another comes back.
const IDLE: Duration = Duration::from_secs(30);

#[derive(Default)]
pub struct Pool {
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    free: Vec<Free>,
    lent: usize,
    /// Counts [`Pool::clear`]: engines from before are not taken back.
    cleared: u64,
}

struct Free {
    engine: Engine,
    /// The script saw addresses or the time while it was loaded.
    until: Option<Duration>,
    since: Duration,
}

/// The right to run one engine, and the engine, if a free one was there.
pub struct Lease<'a> {
    pool: &'a Pool,
    cleared: u64,
    pub engine: Option<Engine>,
    pub until: Option<Duration>,
}

impl Pool {
    /// Waits for at most `within` while all engines are lent.
    pub fn lend(&self, now: Duration, within: Duration) -> Result<Lease<'_>, PacError> {
        let state = self.lock();
        let wait = self.returned.wait_timeout_while(state, within, |state| state.lent >= MOST_ENGINES);
        let (mut state, _) = wait.unwrap_or_else(PoisonError::into_inner);
        if state.lent >= MOST_ENGINES {
            return Err(PacError::Busy);
        }
        state.lent += 1;
        state.free.retain(|free| free.until.is_none_or(|until| until > now));
        let (engine, until) = state.free.pop().map_or((None, None), |free| (Some(free.engine), free.until));
        Ok(Lease { pool: self, cleared: state.cleared, engine, until })
    }

    /// Engines that are free now go, those that are lent when they come back.
    pub fn clear(&self) {
        let freed = {
            let mut state = self.lock();
            state.cleared += 1;
            std::mem::take(&mut state.free)
        };
        drop(freed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease<'_> {
    /// Gives a sound engine back.
    pub fn give_back(mut self, now: Duration) {
        let Some(engine) = self.engine.take().filter(|engine| !engine.is_broken()) else { return };
        let mut state = self.pool.lock();
        if state.cleared != self.cleared {
            return;
        }
        // The last one in is the next one out, so those at the front are the ones nobody needs.
        let idle = state.free.iter().take_while(|free| now.saturating_sub(free.since) > IDLE).count();
        let dropped: Vec<Free> = state.free.drain(..idle).collect();
        state.free.push(Free { engine, until: self.until, since: now });
        drop(state);
        drop(dropped);
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.pool.lock().lent -= 1;
        self.pool.returned.notify_one();
    }
}
