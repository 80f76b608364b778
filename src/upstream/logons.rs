//! How each upstream was got through: by which scheme, how often it took a log-on, when it did so last.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::histogram::Histogram;
use crate::address::Endpoint;
use crate::auth::{Scheme, Start};

/// A script may name any number of upstreams.
const MAX_KEPT: usize = 256;

/// What became of log-ons at one upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    pub accepted: u64,
    pub rejected: u64,
    /// What it took the last time; `None`: it has asked for no log-in so far.
    pub start: Option<Start>,
    /// When it last gave a tunnel or an answer of its own.
    pub last_success: Option<Timestamp>,
    touched: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Accepted,
    Rejected,
}

/// Over all upstreams, since the relay began.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    pub logons: BTreeMap<(Scheme, Outcome), u64>,
    /// From the connection to the final answer to a CONNECT; `None`: without a log-in.
    pub handshakes: BTreeMap<Option<Scheme>, Histogram>,
}

#[derive(Debug, Default)]
pub struct Logons(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    at: HashMap<Endpoint, Record>,
    totals: Totals,
}

impl Logons {
    pub fn of(&self, upstream: &Endpoint) -> Option<Record> {
        self.lock().at.get(upstream).copied()
    }

    pub fn totals(&self) -> Totals {
        self.lock().totals.clone()
    }

    pub(super) fn accepted(&self, upstream: &Endpoint, start: Start) {
        let mut counted = self.lock();
        *counted.totals.logons.entry((start.scheme(), Outcome::Accepted)).or_default() += 1;
        let record = counted.record(upstream);
        record.accepted += 1;
        record.start = Some(start);
        record.last_success = Some(Timestamp::now());
    }

    pub(super) fn rejected(&self, upstream: &Endpoint, scheme: Scheme) {
        let mut counted = self.lock();
        *counted.totals.logons.entry((scheme, Outcome::Rejected)).or_default() += 1;
        counted.record(upstream).rejected += 1;
    }

    /// It let a request through that carried nothing.
    pub(super) fn open(&self, upstream: &Endpoint) {
        let mut counted = self.lock();
        counted.record(upstream).last_success = Some(Timestamp::now());
    }

    /// A whole CONNECT, from the connection to its final answer.
    pub(super) fn shaken(&self, upstream: &Endpoint, scheme: Option<Scheme>, took: Duration) {
        let mut counted = self.lock();
        counted.totals.handshakes.entry(scheme).or_default().observe(took);
        counted.record(upstream).last_success = Some(Timestamp::now());
    }

    /// A panic elsewhere leaves the counts whole.
    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    /// The one that was used last the longest ago makes way.
    fn record(&mut self, upstream: &Endpoint) -> &mut Record {
        let now = Instant::now();
        while self.at.len() >= MAX_KEPT && !self.at.contains_key(upstream) {
            let oldest = self.at.iter().min_by_key(|(_, record)| record.touched).map(|(upstream, _)| upstream.clone());
            let Some(oldest) = oldest else { break };
            self.at.remove(&oldest);
        }
        let record = self.at.entry(upstream.clone());
        let record =
            record.or_insert(Record { accepted: 0, rejected: 0, start: None, last_success: None, touched: now });
        record.touched = now;
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Protocol, Target};

    fn upstream(number: usize) -> Endpoint {
        let target = Target::parse(&format!("p{number}.test:1"), None).unwrap();
        Endpoint { target, protocol: Protocol::Http }
    }

    #[test]
    fn what_each_upstream_took_is_counted_for_it_and_over_all() {
        let logons = Logons::default();
        let ntlm = Start::Scheme(Scheme::Ntlm);
        logons.accepted(&upstream(1), ntlm);
        logons.accepted(&upstream(2), Start::NtlmInNegotiate);
        logons.rejected(&upstream(1), Scheme::Ntlm);
        logons.shaken(&upstream(1), Some(Scheme::Ntlm), Duration::from_millis(3));
        let first = logons.of(&upstream(1)).unwrap();
        assert_eq!((first.accepted, first.rejected, first.start), (1, 1, Some(ntlm)));
        assert!(first.last_success.is_some());
        let totals = logons.totals();
        let count = |scheme, outcome| totals.logons.get(&(scheme, outcome)).copied();
        assert_eq!(count(Scheme::Ntlm, Outcome::Accepted), Some(1));
        assert_eq!(count(Scheme::Negotiate, Outcome::Accepted), Some(1));
        assert_eq!(count(Scheme::Ntlm, Outcome::Rejected), Some(1));
        assert_eq!(totals.handshakes[&Some(Scheme::Ntlm)].count, 1);
        assert_eq!(logons.of(&upstream(3)), None);
    }

    #[test]
    fn however_many_upstreams_a_script_names_only_so_many_are_remembered() {
        let logons = Logons::default();
        for number in 0..MAX_KEPT + 10 {
            logons.open(&upstream(number));
            logons.open(&upstream(0));
        }
        assert_eq!(logons.lock().at.len(), MAX_KEPT);
        assert!(logons.of(&upstream(0)).is_some() && logons.of(&upstream(1)).is_none());
    }
}
