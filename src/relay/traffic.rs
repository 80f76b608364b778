//! What a tunnel has carried so far, for those who look at it while it runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Written by the relay, read by anybody. Each figure is right by itself; together they may be of two moments.
#[derive(Debug)]
pub struct Traffic {
    began: Instant,
    up: AtomicU64,
    down: AtomicU64,
    /// Milliseconds from the beginning to the last byte.
    moved: AtomicU64,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { began: Instant::now(), up: AtomicU64::new(0), down: AtomicU64::new(0), moved: AtomicU64::new(0) }
    }
}

impl Traffic {
    /// So many bytes in all by now.
    pub(super) fn note(&self, up: u64, down: u64) {
        self.up.store(up, Ordering::Relaxed);
        self.down.store(down, Ordering::Relaxed);
        self.moved.store(u64::try_from(self.age().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub fn up(&self) -> u64 {
        self.up.load(Ordering::Relaxed)
    }

    pub fn down(&self) -> u64 {
        self.down.load(Ordering::Relaxed)
    }

    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// Since the last byte went either way.
    pub fn silent_for(&self) -> Duration {
        self.age().saturating_sub(Duration::from_millis(self.moved.load(Ordering::Relaxed)))
    }
}
