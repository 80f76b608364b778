//! How many may show an account's secret at a time.

use std::time::Duration;

/// What was good so long ago may have been changed since.
const FRESH: Duration = Duration::from_secs(60);

/// One until a success, one more with each, one again after a silence: a password that was changed costs no more bad
/// logons than are in flight when the first is refused.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// Successes that still count; beyond the first place.
    grown: usize,
    last_success: Option<Duration>,
}

impl Window {
    /// `now` is since any beginning, and never goes back.
    pub fn size(&self, now: Duration, most: usize) -> usize {
        let fresh = self.last_success.is_some_and(|last| now.saturating_sub(last) < FRESH);
        if fresh { (1 + self.grown).min(most).max(1) } else { 1 }
    }

    pub fn success(&mut self, now: Duration, most: usize) {
        self.grown = self.size(now, most).min(most.saturating_sub(1));
        self.last_success = Some(now);
    }

    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_grows_with_each_success_up_to_the_limit() {
        let mut window = Window::default();
        let mut sizes = vec![window.size(seconds(0), 4)];
        for at in 1..6 {
            window.success(seconds(at), 4);
            sizes.push(window.size(seconds(at), 4));
        }
        assert_eq!(sizes, [1, 2, 3, 4, 4, 4]);
    }

    #[test]
    fn a_minute_without_a_success_or_a_change_closes_it_to_one() {
        let mut window = Window::default();
        (0..3).for_each(|at| window.success(seconds(at), 8));
        assert_eq!((window.size(seconds(61), 8), window.size(seconds(62), 8)), (4, 1));
        window.success(seconds(100), 8);
        assert_eq!(window.size(seconds(100), 8), 2, "what was before the silence does not count any more");
        window.reset();
        assert_eq!(window.size(seconds(100), 8), 1);
    }

    #[test]
    fn a_limit_of_one_stays_one() {
        let mut window = Window::default();
        (0..3).for_each(|at| window.success(seconds(at), 1));
        assert_eq!(window.size(seconds(3), 1), 1);
    }
}
