//! Tells that the network changed or that the machine woke.
//!
//! The system's hints only say when to look: it sends them for things that change nothing (a lease renewed, a radio
//! scan, a container's link), so what decides is that a new snapshot differs from the known one. A slow tick looks
//! too, because some changes come without a hint (the search suffixes are a file) and a system may give no hints.

use std::fmt;
use std::io;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::imp;
use super::slept::{self, Clocks};
use super::snapshot::{Network, snapshot};

/// How often the clocks are looked at, so how soon after a wake the connections of before it are given up.
const TICK: Duration = Duration::from_secs(2);

/// Every so many ticks the network is looked at though there was no hint.
const TICKS_A_LOOK: u32 = 5;

/// What happened. Several things close together may be told as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Network,
    /// Nothing of ours ran for so long; the network may have changed and changed back meanwhile.
    Woke {
        slept: Duration,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network => f.write_str("the network changed"),
            Self::Woke { slept } => write!(f, "the machine woke after {} s", slept.as_secs()),
        }
    }
}

/// Sees changes from the moment it was made, also those between two calls of [`Watch::changed`].
pub struct Watch {
    hints: Option<imp::Hints>,
    known: Network,
    clocks: Clocks,
    tick: Interval,
    ticks: u32,
    /// There was cause to look, and it has not been done to its end.
    must_look: bool,
}

impl Watch {
    /// To be called within a runtime. Without hints from the system, changes are told some seconds later.
    pub fn start() -> Self {
        // In this order: what changes between the two is hinted at, not missed.
        let hints = imp::Hints::listen().inspect_err(without_hints).ok();
        let mut tick = interval(TICK);
        // Ticks missed in a sleep are not made up for.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { hints, known: snapshot(), clocks: imp::clocks(), tick, ticks: 0, must_look: false }
    }

    /// As it was at the last change.
    pub fn network(&self) -> &Network {
        &self.known
    }

    /// The system itself tells of changes; otherwise they are found by looking every few seconds.
    pub fn is_told(&self) -> bool {
        self.hints.is_some()
    }

    /// Waits for the next change. It may be dropped at any point: nothing is lost by it.
    pub async fn changed(&mut self) -> Change {
        loop {
            if self.must_look
                && let Some(change) = self.look().await
            {
                return change;
            }
            tokio::select! {
                hint = next(&mut self.hints) => self.hinted(hint),
                _ = self.tick.tick() => {
                    if let Some(slept) = self.ticked() {
                        return Change::Woke { slept };
                    }
                }
            }
        }
    }

    fn hinted(&mut self, hint: io::Result<()>) {
        if let Err(cause) = hint {
            without_hints(&cause);
            self.hints = None;
        }
        self.must_look = true;
    }

    /// For how long the machine slept, if it did.
    fn ticked(&mut self) -> Option<Duration> {
        let clocks = imp::clocks();
        let slept = slept::between(std::mem::replace(&mut self.clocks, clocks), clocks, TICK);
        self.ticks = self.ticks.wrapping_add(1);
        self.must_look |= slept.is_some() || self.hints.is_none() || self.ticks.is_multiple_of(TICKS_A_LOOK);
        slept
    }

    async fn look(&mut self) -> Option<Change> {
        let found = spawn_blocking(snapshot).await;
        self.must_look = false;
        let found = found.ok().filter(|found| *found != self.known)?;
        tracing::debug!(before = ?self.known, now = ?found, "the network changed");
        self.known = found;
        Some(Change::Network)
    }
}

fn without_hints(cause: &io::Error) {
    tracing::warn!(%cause, "the system does not tell when the network changes; it is looked at every few seconds");
}

async fn next(hints: &mut Option<imp::Hints>) -> io::Result<()> {
    match hints {
        Some(hints) => hints.next().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    /// The first tick comes at once, so nothing here takes as long as this.
    const SOON: Duration = Duration::from_secs(1);

    /// One that knows a network which is not there any more.
    fn outdated() -> Watch {
        let mut watch = Watch::start();
        watch.known.dns_suffixes.push("was-here.invalid".into());
        watch
    }

    #[tokio::test]
    async fn without_hints_a_change_is_found_by_looking_at_each_tick() {
        let mut watch = outdated();
        watch.hinted(Err(io::Error::other("the socket is gone")));
        assert!(!watch.is_told());
        watch.must_look = false;
        assert_eq!(timeout(SOON, watch.changed()).await, Ok(Change::Network));
        assert_eq!(watch.network(), &snapshot(), "what was found is known now");
    }

    #[tokio::test]
    async fn with_hints_a_change_without_one_is_found_by_every_fifth_tick() {
        let mut watch = outdated();
        let looks = (0..TICKS_A_LOOK).map(|_| {
            watch.must_look = false;
            assert_eq!(watch.ticked(), None);
            watch.must_look
        });
        assert_eq!(looks.collect::<Vec<_>>(), [false, false, false, false, true]);
        assert_eq!(timeout(SOON, watch.changed()).await, Ok(Change::Network));
    }

    #[tokio::test]
    async fn a_wake_is_told_first_and_then_what_changed_in_the_sleep() {
        let mut watch = outdated();
        // As if the machine had been awake only until then; a clock cannot go back beyond its beginning.
        let night = Duration::from_secs(8 * 3600).min(watch.clocks.all);
        watch.clocks.all -= night;
        let told = timeout(SOON, watch.changed()).await;
        // The two clocks are not read at the same instant.
        let about = night.saturating_sub(SOON);
        assert!(matches!(told, Ok(Change::Woke { slept }) if slept >= about), "{told:?} after {night:?}");
        assert_eq!(timeout(SOON, watch.changed()).await, Ok(Change::Network));
    }
}
