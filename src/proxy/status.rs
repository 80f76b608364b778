//! What is known of the relay at the moment, as `/status` tells it.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::tally::Bytes;
use super::{Phase, Proxy, Shared, tunnels, upstream_status};
use crate::upstream::Health;
use crate::upstream::lockout::Trouble;

/// Which way requests go at the moment, and why that way.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// `None`: what stands outside all profiles.
    pub profile: Option<Arc<str>>,
    pub why: String,
    pub pac: Option<PacStatus>,
    /// The PAC script itself, for the one that we give to browsers.
    pub pac_text: Option<Arc<str>>,
    /// What the system was found to say, where the configuration says nothing.
    pub system: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PacStatus {
    pub source: String,
    /// `current`, `kept copy`, `unreachable` or `failed`.
    pub state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// When the text was fetched that is in use (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetched: Option<String>,
}

/// What the relay runs by, and why it does not run by what was written since.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Those that were read.
    pub files: Vec<PathBuf>,
    pub loaded: Timestamp,
    /// Of the last attempt to load another one, each mistake; none if it was loaded.
    pub problems: Vec<String>,
}

impl Configuration {
    /// One that counts from now on.
    pub fn of_now(files: Vec<PathBuf>) -> Self {
        Self { files, loaded: Timestamp::now(), problems: Vec::new() }
    }
}

fn configuration(shared: &Shared) -> Value {
    let Configuration { files, loaded, problems } = &*shared.configuration.borrow();
    json!({
        "files": files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
        "loaded": format!("{loaded:.0}"),
        "problem": (!problems.is_empty()).then_some(problems),
    })
}

pub(super) async fn json(proxy: &Proxy, phase: Phase, shared: &Shared) -> Value {
    let Standing { profile, why, pac, system, .. } = &proxy.standing;
    let hops: Vec<Value> = proxy
        .upstreams
        .live
        .health()
        .into_iter()
        .map(|(hop, health, since)| {
            let (state, problem) = match health {
                Health::Up => ("up", None),
                Health::Down(why) => ("down", Some(why)),
            };
            json!({ "hop": hop.to_string(), "state": state, "problem": problem, "since": since.to_string() })
        })
        .collect();
    let tally = &proxy.tally;
    let Bytes { up, down } = tally.bytes();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "started": format!("{:.0}", tally.began),
        "phase": match phase {
            Phase::Serving => "serving",
            Phase::Leaving => "leaving",
            Phase::Draining => "draining",
            Phase::Ending => "ending",
        },
        "listen": proxy.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "configuration": configuration(shared),
        "profile": { "name": profile.as_deref(), "reason": why },
        "pac": pac,
        "system": system,
        "hops": hops,
        "upstreams": upstream_status::json(proxy).await,
        "tunnels": tunnels::json(tally.tunnels(), &proxy.pseudonym).await,
        "traffic": { "clients": shared.places.taken(), "bytes_up": up, "bytes_down": down },
        "failures": tally.failures.list(),
        "lost": { "audit_records": shared.kept.records.lost(), "log_lines": shared.kept.log.lost() },
        "lockout": lockout(proxy),
        "refused": shared.refusals.list(),
    })
}

/// Accounts for which nothing is sent at the moment, or not to every upstream.
fn lockout(proxy: &Proxy) -> Vec<Value> {
    let troubles = proxy.upstreams.live.lockout().troubles().into_iter();
    let entry = |Trouble { account, upstream, closed }| {
        let since = i64::try_from(closed.since).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        json!({
            "account": account,
            "upstream": upstream,
            "reason": if closed.rejected { "rejected" } else { "no verdict" },
            "since": since.map(|since| since.to_string()),
            "next_trial_seconds": closed.next.map(|next| next.as_secs()),
        })
    };
    troubles.map(entry).collect()
}
