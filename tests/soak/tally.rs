//! What the work came to, by kind.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::talk::{Outcome, Trouble};

#[derive(Default)]
pub struct Tally(Mutex<Counts>);

#[derive(Default, Clone)]
pub struct Counts {
    pub done: BTreeMap<String, u64>,
    /// Failed, and a fault explains it.
    pub explained: BTreeMap<String, u64>,
    /// What the verdict is about.
    pub unexplained: Vec<String>,
    pub wrong: Vec<String>,
}

impl Tally {
    pub fn add(&self, kind: &str, worker: u64, at_second: u64, outcome: Outcome, explained: bool) {
        let mut counts = self.0.lock().unwrap();
        match outcome {
            Ok(()) => *counts.done.entry(kind.into()).or_default() += 1,
            Err(Trouble::WrongBytes(what)) => counts.wrong.push(format!("{at_second} s, w{worker}, {kind}: {what}")),
            Err(Trouble::Failed(what) | Trouble::Refused(what, _)) if explained => {
                *counts.explained.entry(format!("{kind}: {what}")).or_default() += 1;
            }
            Err(Trouble::Failed(what)) => counts.unexplained.push(format!("{at_second} s, w{worker}, {kind}: {what}")),
            Err(Trouble::Refused(what, page)) => {
                counts.unexplained.push(format!("{at_second} s, w{worker}, {kind}: {what}: {}", page.trim()));
            }
        }
    }

    pub fn counts(&self) -> Counts {
        self.0.lock().unwrap().clone()
    }
}

impl Counts {
    pub fn total(&self) -> u64 {
        let failed = self.unexplained.len() + self.wrong.len();
        self.done.values().chain(self.explained.values()).sum::<u64>() + failed as u64
    }
}
