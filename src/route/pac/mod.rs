//! A PAC script, compiled once and asked from any thread: URL → hops.
//!
//! ```text
//! evaluate ── cache ── known? ──────────────────────────────────────────────► answer
//!               │ being made: wait for it                                        ▲
//!               └ pool ── engine (QuickJS) ── builtins ── turn ── names ── Host  │
//!                            └─ returned text ── directive ── hops ──────────────┘
//! ```
//!
//! An engine keeps its globals from one evaluation to the next, as in browsers, and there are as many engines as
//! evaluations at a time. So a script that counts in a global counts per engine, and less often than there are
//! requests, because decisions are remembered. [`Pac::forget`] drops engines too.

mod binding;
pub mod builtins;
mod cache;
pub mod directive;
mod engine;
mod names;
mod pool;
pub mod text;
mod turn;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Zoned;
use thiserror::Error;

use super::Hop;
use cache::{Cache, Decision, Keep, Next};
use directive::DirectiveError;
use engine::Engine;
use names::{KEEP, Names};
use pool::{Lease, Pool};
use turn::{Asked, Turn};

/// How long a failure is remembered, so that a script that loops does so once and not for every request.
const KEEP_FAILURE: Duration = Duration::from_secs(5);

/// More than a page of what a script returned is of no use to anyone.
const RETURNED_SHOWN: usize = 1000;

/// What a script needs to know of the world. Called from any thread that evaluates.
pub trait Host: Send + Sync {
    /// The addresses of a name, none if there are none or it takes longer.
    fn resolve(&self, name: &str, within: Duration) -> Vec<IpAddr>;
    /// This machine's addresses, the one it reaches the network by first. Does not block.
    fn my_addresses(&self) -> Vec<IpAddr>;
    fn now(&self) -> Zoned;
    /// A clock that only goes forward.
    fn elapsed(&self) -> Duration;
    /// What a script said by `alert`.
    fn alert(&self, text: &str);
}

/// What one evaluation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// On the wall, with what it waits for DNS.
    pub time: Duration,
    /// In bytes, the script itself included.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_secs(2), memory: 64 << 20 }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PacError {
    #[error("it is no JavaScript: {0}")]
    Syntax(String),
    #[error("it looks like a web page, such as a log-in or error page served in its place")]
    WebPage,
    #[error("it defines no function FindProxyForURL")]
    NoFunction,
    #[error("it threw {0}")]
    Threw(String),
    #[error("it did not end in time")]
    TimedOut,
    #[error("it needs more memory than it may use")]
    OutOfMemory,
    #[error("it calls itself without end")]
    TooDeep,
    #[error("it returned nothing")]
    Nothing,
    #[error("it returned {0}, not a string")]
    NotAString(&'static str),
    #[error("it returned no usable hop: {0:?}")]
    NoHop(String),
    #[error("too many evaluations are under way")]
    Busy,
}

/// What a script decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub hops: Vec<Hop>,
    /// What the script returned.
    pub returned: String,
    /// The parts of it that mean nothing and were passed over.
    pub skipped: Vec<String>,
}

/// A compiled script.
pub struct Pac {
    script: String,
    limits: Limits,
    host: Arc<dyn Host>,
    names: Arc<Names>,
    pool: Pool,
    cache: Cache,
    seed: u64,
    engines: AtomicU64,
}

impl fmt::Debug for Pac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pac").field("bytes", &self.script.len()).field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Pac {
    /// Loads the script once to see that it can be. Blocks for as long as its top level runs.
    pub fn compile(text: &str, limits: Limits, host: Arc<dyn Host>) -> Result<Self, PacError> {
        let pac = Self {
            script: text.trim_start_matches('\u{feff}').into(),
            limits,
            host,
            names: Arc::default(),
            pool: Pool::default(),
            cache: Cache::new(),
            seed: RandomState::new().hash_one(text),
            engines: AtomicU64::new(0),
        };
        let begun = pac.host.elapsed();
        let mut lease = pac.pool.lend(begun, limits.time)?;
        pac.load(&mut lease, begun + limits.time)?;
        lease.give_back(pac.host.elapsed());
        Ok(pac)
    }

    /// The decision for a URL if it is known. Does not block.
    pub fn remembered(&self, url: &str) -> Option<Arc<Answer>> {
        self.cache.get(url, self.host.elapsed())?.ok()
    }

    /// The decision for a URL, whose host is `host`. Blocks for as long as the script runs, [`Limits::time`] at most.
    pub fn evaluate(&self, url: &str, host: &str) -> Result<Arc<Answer>, PacError> {
        let begun = self.host.elapsed();
        // Who waits for another's evaluation waits a little longer than that may take.
        let ticket = match self.cache.begin(url, begun, self.limits.time + Duration::from_secs(1)) {
            Next::Known(decision) => return decision,
            Next::Evaluate(ticket) => ticket,
        };
        let (decision, asked) = self.run(url, host, begun);
        let ended = self.host.elapsed();
        ticket.land(decision.clone(), keep(&decision, asked, ended), ended);
        decision
    }

    /// The network changed: drops decisions, addresses and whatever the script remembers in its globals.
    pub fn forget(&self) {
        self.names.forget();
        self.pool.clear();
        self.cache.forget();
    }

    /// Bytes that a free engine holds, for those who want to know; none while all are lent.
    pub fn engine_memory(&self) -> Option<usize> {
        let lease = self.pool.lend(self.host.elapsed(), Duration::ZERO).ok()?;
        let memory = lease.engine.as_ref().map(Engine::memory);
        lease.give_back(self.host.elapsed());
        memory
    }

    fn run(&self, url: &str, host: &str, begun: Duration) -> (Decision, Asked) {
        let deadline = begun + self.limits.time;
        let lent = self.pool.lend(begun, self.limits.time).and_then(|mut lease| {
            self.load(&mut lease, deadline)?;
            Ok(lease)
        });
        let mut lease = match lent {
            Ok(lease) => lease,
            Err(error) => return (Err(error), Asked::default()),
        };
        let Some(engine) = lease.engine.as_mut() else { return (Err(PacError::Busy), Asked::default()) };
        let returned = engine.call(url, host, deadline);
        let mut asked = returned.asked;
        // What the script saw while it was loaded is part of every decision it makes.
        asked.addresses_until = [asked.addresses_until, lease.until].into_iter().flatten().min();
        lease.give_back(self.host.elapsed());
        (returned.text.and_then(answer), asked)
    }

    /// Gives a lease its engine if it has none.
    fn load(&self, lease: &mut Lease<'_>, deadline: Duration) -> Result<(), PacError> {
        if lease.engine.is_some() {
            return Ok(());
        }
        let turn = Turn::new(Arc::clone(&self.host), Arc::clone(&self.names), self.seed);
        let engine = Engine::load(&self.script, self.limits, turn, deadline)?;
        engine.stir(self.engines.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let of_the_hour = engine.loaded.time.then(|| self.host.elapsed() + KEEP);
        lease.until = [engine.loaded.addresses_until, of_the_hour].into_iter().flatten().min();
        lease.engine = Some(engine);
        Ok(())
    }
}

fn answer(returned: String) -> Decision {
    let directive = directive::parse(&returned).map_err(|error| match error {
        DirectiveError::Empty => PacError::Nothing,
        DirectiveError::Unusable(text) => PacError::NoHop(text),
    })?;
    let returned = directive::shortened(&returned, RETURNED_SHOWN);
    Ok(Arc::new(Answer { hops: directive.hops, returned, skipped: directive.skipped }))
}

fn keep(decision: &Decision, asked: Asked, now: Duration) -> Keep {
    match (decision, asked.addresses_until) {
        (Err(_), _) => Keep::Until(now + KEEP_FAILURE),
        _ if asked.moment => Keep::No,
        (_, Some(until)) => Keep::Until(until),
        (_, None) => Keep::Always,
    }
}
