//! How many clients there may be at a time, over all listeners.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug, Clone)]
pub struct Places(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    taken: AtomicUsize,
    most: AtomicUsize,
}

/// Given back when dropped.
#[derive(Debug)]
pub struct Place(Arc<Counts>);

impl Places {
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Counts { taken: AtomicUsize::new(0), most: AtomicUsize::new(most) }))
    }

    /// Who has a place keeps it; with fewer places than are taken, nobody new gets one for a while.
    pub fn set_most(&self, most: usize) {
        self.0.most.store(most, Ordering::Relaxed);
    }

    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// Nobody new gets one now. Whoever asks may hold one itself, so of a single place this is never said.
    pub fn are_taken(&self) -> bool {
        self.taken() >= self.0.most.load(Ordering::Relaxed).max(2)
    }

    pub fn take(&self) -> Option<Place> {
        let most = self.0.most.load(Ordering::Relaxed);
        let one_more = |taken| (taken < most).then_some(taken + 1);
        let taken = self.0.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.is_ok().then(|| Place(self.0.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_places_than_are_taken_send_nobody_away_who_has_one() {
        let places = Places::new(2);
        let first = places.take().unwrap();
        assert!(!places.are_taken());
        let second = places.take().unwrap();
        assert!(places.take().is_none() && places.are_taken());
        places.set_most(1);
        drop(first);
        assert!(places.take().is_none() && !places.are_taken());
        drop(second);
        let _third = places.take().unwrap();
        places.set_most(2);
        assert!(places.take().is_some());
    }
}
