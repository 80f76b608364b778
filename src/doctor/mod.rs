//! What is wrong with the way out, where, and what to do: named checks side by side, and the one cause among their faults.
//!
//! ```text
//! Case (configuration, snapshot, routes of the targets) ─▶ checks, a file each ─▶ examine ─▶ judge ─▶ Report
//! ```
//!
//! A check says what it found, as far as it could get, and which other checks its fault may follow from; the
//! verdict puts the most fundamental fault first. Everything goes by the code that the relay goes by.

mod check;
mod configuration;
mod examination;
mod listener;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use crate::address::{Endpoint, Target};
use crate::config::{Config, Mistake, Mistakes};
use crate::proxy::{Decision, Proxy, Wanted};
use crate::route::Hop;

pub use check::{Check, Finding, Stage, State};
pub use examination::{Progress, examine};
pub use verdict::{Entry, Report};

/// What is asked for where nobody names a target.
pub const DEFAULT_TARGET: &str = "https://api.anthropic.com/";

/// What a check may take beyond the time-outs of what it does.
const LENIENCE: Duration = Duration::from_secs(5);

/// What all checks look at.
pub struct Case {
    pub config: Arc<Config>,
    /// What the configuration says and hardly means.
    pub warnings: Vec<Mistake>,
    /// What a request would go by, were it made here and now.
    pub proxy: Arc<Proxy>,
    pub wants: Vec<Want>,
}

/// Something that is to be reached, and the way there.
pub struct Want {
    pub wanted: Wanted,
    pub target: Target,
    pub decision: Decision,
}

impl Want {
    /// As the checks of it are called.
    pub fn check_name(&self) -> String {
        format!("target {}", self.target)
    }

    pub fn upstreams(&self) -> impl Iterator<Item = &Endpoint> {
        self.decision.hops.iter().filter_map(|hop| match hop {
            Hop::Direct => None,
            Hop::Upstream(endpoint) => Some(endpoint),
        })
    }
}

impl Case {
    /// Asks for the way to each of them.
    pub async fn new(config: Config, warnings: Vec<Mistake>, proxy: Arc<Proxy>, wanted: Vec<Wanted>) -> Self {
        let mut wants = Vec::new();
        for wanted in wanted {
            let decision = proxy.explain(&wanted).await;
            wants.push(Want { target: wanted.target().clone(), wanted, decision });
        }
        Self { config: Arc::new(config), warnings, proxy, wants }
    }

    /// For a check that makes one connection.
    pub fn limit(&self) -> Duration {
        self.config.connect_timeout + LENIENCE
    }
}

/// All checks of the way out. Those of later stages stand behind those that they rest on.
pub fn checks(case: &Arc<Case>) -> Vec<Check> {
    vec![configuration::check(case), listener::check(case)]
}

/// What can be said where there is no configuration to go by.
pub fn checks_of_mistakes(mistakes: &Mistakes) -> Vec<Check> {
    vec![configuration::check_of_mistakes(mistakes)]
}

/// It says nothing wrong by itself, but what it names cannot be used.
pub fn checks_of_unusable(why: &str) -> Vec<Check> {
    vec![configuration::check_of_unusable(why)]
}
