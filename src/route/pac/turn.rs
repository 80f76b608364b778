//! One evaluation's limits, and what it asked of the world: the time and chance make an answer good for once only.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Zoned;

use super::Host;
use super::builtins::World;
use super::directive::shortened;
use super::names::Names;

/// For all questions of one evaluation to the resolver together.
const DNS_BUDGET: Duration = Duration::from_secs(1);

/// After so long a script gives way to everything else whenever it can: it is most likely one that loops, and scripts
/// that loop must not take the processors from those that do not.
const GIVES_WAY_AFTER: Duration = Duration::from_millis(100);

/// Lines that one evaluation may say, and how long each may be: a loop around `alert` must not fill a disk.
const MOST_ALERTS: u32 = 20;
const ALERT_SHOWN: usize = 500;

/// What an evaluation asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// The time or chance: the next evaluation may end differently.
    pub moment: bool,
    /// Only the time.
    pub time: bool,
    /// Until when the addresses it saw count.
    pub addresses_until: Option<Duration>,
}

/// Shared by an engine's functions, its interrupt handler and whoever runs it.
pub struct Turn {
    host: Arc<dyn Host>,
    names: Arc<Names>,
    state: Mutex<State>,
}

struct State {
    begun: Duration,
    deadline: Duration,
    dns_left: Duration,
    asked: Asked,
    interrupted: bool,
    alerts: u32,
    random: u64,
}

impl Turn {
    /// Engines with one `seed` draw the same numbers while they load the script, so that a proxy picked then is the
    /// same in all of them.
    pub fn new(host: Arc<dyn Host>, names: Arc<Names>, seed: u64) -> Self {
        let state = State {
            begun: Duration::ZERO,
            deadline: Duration::ZERO,
            dns_left: DNS_BUDGET,
            asked: Asked::default(),
            interrupted: false,
            alerts: 0,
            random: seed,
        };
        Self { host, names, state: Mutex::new(state) }
    }

    pub fn begin(&self, deadline: Duration) {
        let begun = self.host.elapsed();
        let mut state = self.lock();
        state.begun = begun;
        state.deadline = deadline;
        state.dns_left = DNS_BUDGET;
        state.asked = Asked::default();
        state.interrupted = false;
        state.alerts = 0;
    }

    /// From here on the numbers drawn differ from engine to engine.
    pub fn stir(&self, with: u64) {
        let mut state = self.lock();
        state.random ^= with;
    }

    pub fn asked(&self) -> Asked {
        self.lock().asked
    }

    pub fn was_interrupted(&self) -> bool {
        self.lock().interrupted
    }

    /// Whether the engine must stop: asked by it all the time.
    pub fn is_over(&self) -> bool {
        let now = self.host.elapsed();
        let mut state = self.lock();
        state.interrupted |= now >= state.deadline;
        if !state.interrupted && now - state.begun > GIVES_WAY_AFTER {
            self.host.give_way();
        }
        state.interrupted
    }

    /// Milliseconds since 1970, for `Date`.
    pub fn milliseconds(&self) -> f64 {
        self.note_time();
        self.host.now().timestamp().as_millisecond() as f64
    }

    /// SplitMix64, for `Math.random`: 53 bits from 0 to 1.
    pub fn random(&self) -> f64 {
        let mut state = self.lock();
        state.asked.moment = true;
        state.random = state.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn note_time(&self) {
        let mut state = self.lock();
        state.asked.time = true;
        state.asked.moment = true;
    }

    fn note_addresses(&self, until: Duration) {
        let mut state = self.lock();
        let known = state.asked.addresses_until.get_or_insert(until);
        *known = (*known).min(until);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World for &Turn {
    fn resolve(&mut self, name: &str) -> Vec<IpAddr> {
        let begun = self.host.elapsed();
        let within = {
            let state = self.lock();
            state.dns_left.min(state.deadline.saturating_sub(begun))
        };
        let known = self.names.resolve(&*self.host, name, within);
        let spent = self.host.elapsed().saturating_sub(begun);
        {
            let mut state = self.lock();
            state.dns_left = state.dns_left.saturating_sub(spent);
        }
        self.note_addresses(known.until);
        known.addresses
    }

    fn my_addresses(&mut self) -> Vec<IpAddr> {
        let known = self.names.mine(&*self.host);
        self.note_addresses(known.until);
        known.addresses
    }

    fn now(&mut self) -> Zoned {
        self.note_time();
        self.host.now()
    }

    fn alert(&mut self, text: &str) {
        let said = {
            let mut state = self.lock();
            state.alerts += 1;
            state.alerts
        };
        if said <= MOST_ALERTS {
            self.host.alert(&shortened(text, ALERT_SHOWN));
        }
    }
}
