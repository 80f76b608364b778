//! Whether the machine slept between two ticks, judged by two clocks of which only one counts sleep.
//!
//! The time of day is no such clock: it jumps when it is set, and NTP would look like a wake. What is compared
//! here runs from boot and nobody sets it.

use std::time::Duration;

/// Shorter is no sleep: connections outlive it, and the two clocks are never read at the same instant.
const SHORTEST: Duration = Duration::from_secs(2);

/// A tick that is this late was not held up by load: the process was stopped, or its virtual machine.
const STOPPED: Duration = Duration::from_secs(30);

/// Both clocks, read one right after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clocks {
    /// Stands still while the machine sleeps.
    pub awake: Duration,
    /// Goes on.
    pub all: Duration,
}

/// For how long nothing of ours ran, if it was long enough to matter; `tick` is how far apart looks are meant to be.
pub(super) fn between(before: Clocks, now: Clocks, tick: Duration) -> Option<Duration> {
    let awake = now.awake.saturating_sub(before.awake);
    let asleep = now.all.saturating_sub(before.all).saturating_sub(awake);
    let late = awake.saturating_sub(tick);
    let stopped = if late >= STOPPED { late } else { Duration::ZERO };
    let missing = asleep + stopped;
    (missing >= SHORTEST).then_some(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clock_that_ran_ahead_or_a_very_late_tick_is_a_sleep() {
        let clocks = |awake, all| Clocks { awake: Duration::from_millis(awake), all: Duration::from_millis(all) };
        for (case, before, now, slept) in [
            ("an ordinary tick", clocks(1000, 1000), clocks(3000, 3000), None),
            ("read a little apart", clocks(1000, 1000), clocks(3000, 3004), None),
            ("a loaded machine", clocks(1000, 1000), clocks(21_000, 21_000), None),
            ("after an earlier sleep", clocks(1000, 901_000), clocks(3000, 903_000), None),
            ("a doze", clocks(1000, 1000), clocks(3000, 4500), None),
            ("a night", clocks(1000, 1000), clocks(2000, 28_802_000), Some(28_800_000)),
            ("a short sleep", clocks(1000, 1000), clocks(3000, 13_000), Some(10_000)),
            ("a stopped process", clocks(1000, 1000), clocks(603_000, 603_000), Some(600_000)),
            ("a clock that goes backwards", clocks(3000, 3000), clocks(1000, 1000), None),
            ("clocks that drift apart backwards", clocks(1000, 9000), clocks(3000, 9000), None),
        ] {
            let found = between(before, now, Duration::from_secs(2));
            assert_eq!(found, slept.map(Duration::from_millis), "{case}");
        }
    }
}
