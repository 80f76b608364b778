//! The last requests that were refused or failed, with what to do about it: for `/status` and whoever reads it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use crate::audit::End;

/// Different ones; the one that was seen last the longest ago makes way.
const MOST: usize = 20;

/// No cause or target is longer in here, however long a script's or an upstream's words are.
const LONGEST: usize = 600;

#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<VecDeque<Failure>>);

/// Enough to find the audit record of the last one, and to do without it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Failure {
    pub time: String,
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop: Option<String>,
    /// What the client was answered.
    pub status: u16,
    pub end: End,
    pub cause: String,
    /// Whose end it is at; the upstream's own answers leave it open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_fault: Option<String>,
    pub hint: String,
    /// Its section in `docs/errors.md`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anchor: Option<&'static str>,
    /// How often it happened with the same target and cause.
    pub count: u64,
}

impl Failure {
    pub fn new(status: u16, end: End, cause: &str, hint: &str) -> Self {
        Self {
            time: format!("{:.0}", Timestamp::now()),
            id: String::new(),
            target: None,
            hop: None,
            status,
            end,
            cause: shortened(cause),
            at_fault: None,
            hint: hint.into(),
            anchor: None,
            count: 1,
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        (&self.target, &self.hop, self.end) == (&other.target, &other.hop, other.end) && self.cause == other.cause
    }
}

impl Failures {
    pub fn note(&self, mut failure: Failure) {
        failure.target = failure.target.map(|target| shortened(&target));
        let mut all = self.lock();
        let before = all.iter().position(|known| known.is_like(&failure)).and_then(|at| all.remove(at));
        failure.count += before.map_or(0, |before| before.count);
        all.truncate(MOST - 1);
        all.push_front(failure);
    }

    /// The last one stands first.
    pub fn list(&self) -> Vec<Failure> {
        self.lock().iter().cloned().collect()
    }

    /// A panic elsewhere leaves the list whole.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Failure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// On one line, and not endless.
fn shortened(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(id: usize, target: usize) -> Failure {
        let target = Some(format!("t{target}:1"));
        Failure { id: format!("r-{id}"), target, ..Failure::new(502, End::Unreachable, "gone", "look") }
    }

    #[test]
    fn the_same_failure_is_one_line_with_its_last_id_and_the_oldest_make_way() {
        let failures = Failures::default();
        for id in 0..5 {
            failures.note(failure(id, 1));
        }
        let list = failures.list();
        assert_eq!((list.len(), list[0].count, list[0].id.as_str()), (1, 5, "r-4"));
        for target in 2..100 {
            failures.note(failure(target, target));
        }
        let list = failures.list();
        assert_eq!((list.len(), list[0].id.as_str(), list[0].count), (MOST, "r-99", 1));
    }

    #[test]
    fn nobody_makes_a_line_endless_or_two_of_it() {
        let failures = Failures::default();
        let cause = "x\n".repeat(10_000);
        failures.note(Failure { target: Some(cause.clone()), ..Failure::new(502, End::Denied, &cause, "") });
        let list = failures.list();
        for text in [&list[0].cause, list[0].target.as_ref().unwrap()] {
            assert!(text.chars().count() <= LONGEST + 1 && !text.contains('\n'));
        }
    }
}
