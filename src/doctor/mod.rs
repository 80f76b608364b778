//! What is wrong with the way out, where, and what to do: named checks side by side, and the one cause among their faults.
//!
//! ```text
//! Case (configuration, snapshot, routes of the targets) ─▶ checks, a file each ─▶ examine ─▶ judge ─▶ Report
//! ```
//!
//! A check says what it found, as far as it could get, and which other checks its fault may follow from; the
//! verdict puts the most fundamental fault first. Everything goes by the code that the relay goes by.

mod bundle;
mod check;
mod claude_settings;
mod configuration;
mod credential;
mod examination;
mod heads;
mod idle;
mod issuer;
mod kerberos;
mod listener;
mod missed;
mod names;
mod notes;
mod other_programs;
mod preset;
mod preset_hosts;
mod probes;
mod proxy_value;
mod record;
mod redact;
mod script;
mod shells;
mod sse;
mod target;
mod upstream;
mod verdict;
mod vpn;
mod way;
mod websocket;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::address::{Endpoint, Target};
use crate::auth::Scheme;
use crate::config::{Config, Mistake, Mistakes};
use crate::proxy::{Decision, Proxy, Wanted};
use crate::route::Hop;

pub use bundle::Bundle;
pub use check::{Check, Finding, Stage, State};
pub use examination::{Progress, examine};
pub use preset::{Preset, PresetError};
pub use probes::{Probing, SILENCE, probes};
pub use record::Recorder;
pub use redact::Redactor;
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
    /// Those that lead to the targets, and those that are configured for this place.
    pub upstreams: Vec<Endpoint>,
    /// Where the authorities go that a target's certificate stands on.
    pub ca_out: PathBuf,
    notes: notes::Notes,
}

/// Something that is to be reached, and the way there.
pub struct Want {
    pub wanted: Wanted,
    pub target: Target,
    pub decision: Decision,
    /// It goes direct only because these cannot be reached.
    missed: Vec<Endpoint>,
}

impl Want {
    async fn find(config: Arc<Config>, proxy: Arc<Proxy>, wanted: Wanted) -> Self {
        let decision = proxy.explain(&wanted).await;
        let missed = missed::missed(&config, &proxy, &decision);
        Self { target: wanted.target().clone(), wanted, decision, missed }
    }

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
    pub async fn new(
        config: Config,
        warnings: Vec<Mistake>,
        proxy: Arc<Proxy>,
        wanted: Vec<Wanted>,
        ca_out: Option<PathBuf>,
    ) -> Self {
        let config = Arc::new(config);
        // Side by side, because a script may take its time for each.
        let find = |wanted| tokio::spawn(Want::find(config.clone(), proxy.clone(), wanted));
        let asked: Vec<_> = wanted.into_iter().map(find).collect();
        let mut wants = Vec::new();
        for want in asked {
            match want.await {
                Ok(want) => wants.push(want),
                // It is cut off by nobody, so it is a mistake of ours, which does not end as a target less.
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        let mut upstreams: Vec<Endpoint> = Vec::new();
        for endpoint in wants.iter().flat_map(Want::upstreams).chain(&proxy.router.upstreams) {
            if !upstreams.contains(endpoint) {
                upstreams.push(endpoint.clone());
            }
        }
        let ca_out = ca_out.unwrap_or_else(|| {
            let directory = config.state_directory.clone().unwrap_or_else(std::env::temp_dir);
            directory.join("authorities.pem")
        });
        Self { config, warnings, proxy, wants, upstreams, ca_out, notes: notes::Notes::default() }
    }

    /// What an upstream is asked for: the first target that it leads to.
    fn target_by(&self, endpoint: &Endpoint) -> Option<Target> {
        let led = self.wants.iter().find(|want| want.upstreams().any(|one| one == endpoint));
        led.or(self.wants.first()).map(|want| want.target.clone())
    }

    /// By which a log-in there is allowed.
    fn schemes(&self, endpoint: &Endpoint) -> Vec<Scheme> {
        let listed = self.config.upstreams.iter().find(|upstream| upstream.endpoint == *endpoint);
        listed.map_or_else(|| Scheme::DEFAULT.to_vec(), |upstream| upstream.schemes.clone())
    }

    /// For a check that goes through a whole handshake.
    pub fn handshake_limit(&self) -> Duration {
        self.config.connect_timeout + self.config.handshake_timeout + LENIENCE
    }

    /// What was learnt of the account is on disk, for whoever asks it next. Waits no longer than a disk may take.
    pub async fn settle(&self) {
        let written = tokio::time::timeout(LENIENCE, self.proxy.upstreams.live.lockout().written()).await;
        if written.is_err() {
            tracing::warn!("what came of the log-in is not written down yet");
        }
    }

    /// For a check that makes one connection.
    pub fn limit(&self) -> Duration {
        self.config.connect_timeout + LENIENCE
    }
}

/// All checks of the way out. Those of later stages stand behind those that they rest on.
pub fn checks(case: &Arc<Case>) -> Vec<Check> {
    let mut checks = vec![configuration::check(case), listener::check(case)];
    checks.extend(names::checks(case));
    checks.extend(script::check(case));
    let missed = missed::of_all(&case.wants);
    checks.extend(case.upstreams.iter().chain(&missed).filter_map(|endpoint| upstream::check(case, endpoint)));
    checks.extend(case.upstreams.iter().filter_map(|endpoint| kerberos::check(case, endpoint)));
    checks.extend(case.upstreams.iter().filter_map(|endpoint| credential::check(case, endpoint)));
    checks.extend((0..case.wants.len()).filter_map(|at| target::check(case, at)));
    checks.extend((0..case.wants.len()).filter_map(|at| issuer::check(case, at)));
    checks
}

/// What can be said where there is no configuration to go by.
pub fn checks_of_mistakes(mistakes: &Mistakes) -> Vec<Check> {
    vec![configuration::check_of_mistakes(mistakes)]
}

/// It says nothing wrong by itself, but what it names cannot be used.
pub fn checks_of_unusable(why: &str) -> Vec<Check> {
    vec![configuration::check_of_unusable(why)]
}
