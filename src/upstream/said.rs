//! What was said lately: the same trouble is not told with every request.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So long nothing is said twice.
const LATELY: Duration = Duration::from_secs(60);

/// More different troubles within that time are one great trouble, of which these are examples.
const EXAMPLES: usize = 8;

#[derive(Debug, Default)]
pub struct Said(Mutex<Option<Lately>>);

#[derive(Debug)]
struct Lately {
    since: Instant,
    texts: Vec<String>,
}

impl Said {
    /// Whether a person wants to read it; if so, it counts as said.
    pub fn is_news(&self, text: &str) -> bool {
        self.is_news_at(text, Instant::now())
    }

    fn is_news_at(&self, text: &str, now: Instant) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let said = match &mut *said {
            Some(said) if now.saturating_duration_since(said.since) < LATELY => said,
            over => over.insert(Lately { since: now, texts: Vec::new() }),
        };
        let is_news = said.texts.len() < EXAMPLES && !said.texts.iter().any(|known| known == text);
        if is_news {
            said.texts.push(text.into());
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_failures_are_a_few_lines_a_minute() {
        let (said, began) = (Said::default(), Instant::now());
        let lines =
            |after: Duration| (0..1000).filter(|n| said.is_news_at(&format!("{}", n % 100), began + after)).count();
        assert_eq!(lines(Duration::ZERO), EXAMPLES);
        assert_eq!(lines(LATELY - Duration::from_millis(1)), 0);
        assert_eq!(lines(LATELY), EXAMPLES);
    }

    #[test]
    fn the_same_is_said_once_and_another_thing_at_once() {
        let (said, now) = (Said::default(), Instant::now());
        assert_eq!(["a", "a", "b", "a"].map(|text| said.is_news_at(text, now)), [true, false, true, false]);
    }
}
