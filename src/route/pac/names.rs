//! Answers of the resolver and this machine's addresses, kept for all evaluations of one script.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Host;

/// How long an answer counts, also one that says there is none.
pub const KEEP: Duration = Duration::from_secs(60);

/// How long a name that took all its time is not asked for again.
pub const KEEP_TIMED_OUT: Duration = Duration::from_secs(10);

const MOST: usize = 4096;

/// An answer and until when, on [`Host::elapsed`]'s clock, it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub addresses: Vec<IpAddr>,
    pub until: Duration,
}

#[derive(Debug, Default)]
pub struct Names {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Counts [`Names::forget`], so that an answer to a question from before it is not kept.
    forgotten: u64,
    names: HashMap<String, Known>,
    mine: Option<Known>,
}

impl Names {
    /// Asks the host for at most `within` if the answer is not known; none at all if there is no time.
    pub fn resolve(&self, host: &dyn Host, name: &str, within: Duration) -> Known {
        let begun = host.elapsed();
        let forgotten = {
            let state = self.lock();
            if let Some(known) = state.names.get(name).filter(|known| known.until > begun) {
                return known.clone();
            }
            state.forgotten
        };
        if within.is_zero() {
            return Known { addresses: Vec::new(), until: begun + KEEP_TIMED_OUT };
        }
        let addresses = host.resolve(name, within);
        let ended = host.elapsed();
        let timed_out = addresses.is_empty() && ended.saturating_sub(begun) >= within;
        let known = Known { addresses, until: ended + if timed_out { KEEP_TIMED_OUT } else { KEEP } };
        let mut state = self.lock();
        if state.forgotten == forgotten {
            state.make_room(ended);
            state.names.insert(name.into(), known.clone());
        }
        known
    }

    pub fn mine(&self, host: &dyn Host) -> Known {
        let now = host.elapsed();
        let forgotten = {
            let state = self.lock();
            if let Some(known) = state.mine.as_ref().filter(|known| known.until > now) {
                return known.clone();
            }
            state.forgotten
        };
        let known = Known { addresses: host.my_addresses(), until: now + KEEP };
        let mut state = self.lock();
        if state.forgotten == forgotten {
            state.mine = Some(known.clone());
        }
        known
    }

    pub fn forget(&self) {
        let mut state = self.lock();
        *state = State { forgotten: state.forgotten + 1, ..State::default() };
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn make_room(&mut self, now: Duration) {
        if self.names.len() < MOST {
            return;
        }
        self.names.retain(|_, known| known.until > now);
        if self.names.len() >= MOST {
            // All of them young: a script that makes names up. Half of them go, whichever.
            let mut count = 0_usize;
            self.names.retain(|_, _| {
                count += 1;
                count.is_multiple_of(2)
            });
        }
    }
}
