//! How long somebody waits for a service that ends: it says how long its next step may take, and each new word of it counts.

use std::time::{Duration, Instant};

/// Where it says nothing, or less.
const LEAST: Duration = Duration::from_secs(30);
/// A machine that has much to do is late.
const MARGIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Patience {
    said: (u32, Duration),
    end: Instant,
}

impl Patience {
    pub fn begin(now: Instant) -> Self {
        Self { said: (0, Duration::ZERO), end: now + LEAST }
    }

    /// Whether to wait on, after it has said at which step it is and how long that may take.
    pub fn lasts(&mut self, now: Instant, step: u32, hint: Duration) -> bool {
        if self.said != (step, hint) {
            self.said = (step, hint);
            self.end = now + hint.max(LEAST) + MARGIN;
        }
        now < self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_the_time_that_it_asks_for_and_one_that_says_nothing_new_has_no_more() {
        let begin = Instant::now();
        let mut patience = Patience::begin(begin);
        // Seconds after the beginning, its step and hint, and whether it is waited for.
        for (after, step, hint, lasts) in [
            (0, 0, 0, true),
            (29, 0, 0, true),
            (29, 1, 10, true),
            (60, 1, 10, true),
            (60, 2, 3_600, true),
            (3_600, 2, 3_600, true),
            (3_669, 2, 3_600, true),
            (3_671, 2, 3_600, false),
            (3_671, 3, 1, true),
            (3_715, 3, 1, false),
        ] {
            let (now, hint) = (begin + Duration::from_secs(after), Duration::from_secs(hint));
            assert_eq!(patience.lasts(now, step, hint), lasts, "after {after} s at step {step}");
        }
        assert!(!Patience::begin(begin).lasts(begin + LEAST, 0, Duration::ZERO), "who says nothing at all");
    }
}
