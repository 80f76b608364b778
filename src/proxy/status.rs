//! What is known of the relay at the moment, as `/status` tells it.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Phase, Proxy, Refusals};
use crate::upstream::Health;

/// Which way requests go at the moment, and why that way.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// `None`: what stands outside all profiles.
    pub profile: Option<String>,
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

pub(super) fn json(proxy: &Proxy, phase: Phase, refusals: &Refusals) -> Value {
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
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "phase": match phase {
            Phase::Serving => "serving",
            Phase::Draining => "draining",
            Phase::Ending => "ending",
        },
        "listen": proxy.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "profile": { "name": profile, "reason": why },
        "pac": pac,
        "system": system,
        "hops": hops,
        "refused": refusals.list(),
    })
}
