//! One run: who is compared, how often, and how the relays take turns.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::Result;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use crate::load::Window;
use crate::options::Options;
use crate::relays::{Contender, Kind, Relay, Wish};
use crate::results::{Measured, Results, Unit};
use crate::upstream::{Play, Upstream};

pub struct Bench {
    pub options: Options,
    /// Without any delay. A case that needs another one starts it.
    pub upstream: Upstream,
    contenders: Vec<Contender>,
    runtime: Runtime,
    results: RefCell<Results>,
    refused: u64,
}

impl Bench {
    pub fn new(options: Options) -> Result<Self> {
        let mut results = Results::default();
        let contenders = options.contenders(&mut results);
        results.relays = contenders.iter().map(|contender| contender.name.clone()).collect();
        Ok(Self {
            upstream: Upstream::start(&Play::default())?,
            contenders,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            results: RefCell::new(results),
            refused: 0,
            options,
        })
    }

    /// Runs a client's work to its end, on this thread.
    pub fn block_on<F: Future>(&self, work: F) -> F::Output {
        LocalSet::new().block_on(&self.runtime, work)
    }

    /// In short form only that it works is shown.
    pub fn window(&self, warm: Duration, length: Duration) -> Window {
        if self.options.short {
            return Window { warm: warm.min(Duration::from_millis(10)), length: length.min(Duration::from_millis(30)) };
        }
        Window { warm, length }
    }

    /// Those of the kinds that are compared in this run, in the order of the table.
    pub fn contenders(&self, kinds: &[Kind]) -> impl Iterator<Item = &Contender> {
        self.contenders.iter().filter(move |contender| kinds.contains(&contender.kind))
    }

    /// Starts them. One that does not come up is a failure in the table.
    pub fn start(&self, case: &str, kinds: &[Kind], wish: &Wish) -> Vec<Relay> {
        let started = self.contenders(kinds).filter_map(|contender| match Relay::start(contender, wish) {
            Ok(relay) => Some(relay),
            Err(error) => {
                self.failed(case, &contender.name, &format!("{error:#}"));
                None
            }
        });
        started.collect()
    }

    /// Measures the relays in turn, in several rounds; the table has the medians. One that failed is asked no more.
    pub fn alternate<T: Named>(&self, case: &str, relays: &[T], measure: impl Fn(&T) -> Result<Vec<Measured>>) {
        let mut failed = vec![false; relays.len()];
        for _ in 0..self.options.rounds() {
            for (relay, failed) in relays.iter().zip(&mut failed).filter(|(_, failed)| !**failed) {
                let outcome = measure(relay);
                *failed = outcome.is_err();
                self.note_all(case, relay.name(), outcome);
            }
        }
    }

    /// One sample of a figure; several of the same become their median.
    pub fn note(&self, case: &str, relay: &str, measured: Measured) {
        self.results.borrow_mut().note(case, relay, measured);
    }

    /// What one measurement came to.
    pub fn note_all(&self, case: &str, relay: &str, outcome: Result<Vec<Measured>>) {
        match outcome {
            Ok(figures) => figures.into_iter().for_each(|figure| self.note(case, relay, figure)),
            Err(error) => self.failed(case, relay, &format!("{error:#}")),
        }
    }

    /// Shown under the table, and never left out.
    pub fn failed(&self, case: &str, relay: &str, what: &str) {
        eprint_line(&format!("{case}: {relay} FAILED: {what}"));
        self.results.borrow_mut().failed(case, relay, what);
    }

    /// A relay whose proof was judged wrong has done something else than what it was measured for.
    pub fn nobody_was_refused(&mut self, case: &str) -> Result<()> {
        let refused = self.upstream.counts()?.refused;
        if refused > self.refused {
            self.failed(case, "some relay", &format!("{} proofs of the password were wrong", refused - self.refused));
        }
        self.refused = refused;
        Ok(())
    }

    /// The names of the hallpasses measured.
    pub fn ours(&self) -> Vec<String> {
        self.contenders(&[Kind::Hallpass]).map(|contender| contender.name.clone()).collect()
    }

    pub fn into_results(self) -> Results {
        self.results.into_inner()
    }
}

/// What is going on, for whoever waits.
#[expect(clippy::print_stderr, reason = "a program for whoever works on this")]
pub fn eprint_line(line: &str) {
    eprintln!("{line}");
}

/// What takes turns.
pub trait Named {
    /// As the table has it.
    fn name(&self) -> &str;
}

impl Named for Relay {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for &Contender {
    fn name(&self) -> &str {
        &self.name
    }
}

pub fn measured(metric: impl Into<String>, unit: Unit, value: f64) -> Measured {
    Measured { metric: metric.into(), unit, value }
}
