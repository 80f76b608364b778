//! Which worker was struck by a fault, and when: an error that no fault explains is the relay's.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A fault may be met a little later than it struck: by a request that was on its way to that connection.
const AFTERMATH: Duration = Duration::from_millis(500);

#[derive(Default)]
pub struct Strikes(Mutex<Struck>);

#[derive(Default)]
struct Struck {
    last: BTreeMap<u64, Instant>,
    /// Something that struck everybody.
    all: Option<Instant>,
    kinds: BTreeMap<&'static str, u64>,
}

impl Strikes {
    pub fn hit(&self, worker: u64, kind: &'static str) {
        let mut struck = self.0.lock().unwrap();
        struck.last.insert(worker, Instant::now());
        *struck.kinds.entry(kind).or_default() += 1;
    }

    pub fn hit_all(&self, kind: &'static str) {
        let mut struck = self.0.lock().unwrap();
        struck.all = Some(Instant::now());
        *struck.kinds.entry(kind).or_default() += 1;
    }

    /// Whether what this worker began then may have met a fault.
    pub fn explains(&self, worker: u64, begun: Instant) -> bool {
        let struck = self.0.lock().unwrap();
        let counts = |at: Option<&Instant>| at.is_some_and(|at| *at + AFTERMATH >= begun);
        counts(struck.last.get(&worker)) || counts(struck.all.as_ref())
    }

    pub fn kinds(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap().kinds.clone()
    }
}
