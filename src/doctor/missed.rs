//! Upstreams that count only where they can be reached, and cannot be: at home that is as it should be, and where nothing
//! works it is the cause.

use super::Want;
use crate::address::{Endpoint, Target};
use crate::config::{Config, ProfileChoice};
use crate::proxy::{Decision, Proxy};
use crate::route::profile::Conditions;
use crate::route::{Hop, ReasonKind};

/// Those that this request would have gone by, had a profile not been passed over.
pub(super) fn missed(config: &Config, proxy: &Proxy, decision: &Decision) -> Vec<Endpoint> {
    if !decision.hops.contains(&Hop::Direct) || goes_direct_everywhere(decision.reason.kind) {
        return Vec::new();
    }
    let waited_for = waited_for(config, proxy);
    let endpoints = config.upstreams.iter().map(|upstream| &upstream.endpoint);
    let missed = endpoints.filter(|endpoint| waited_for.contains(&&endpoint.target));
    missed.filter(|endpoint| !proxy.router.upstreams.contains(endpoint)).cloned().collect()
}

/// All together, each once.
pub(super) fn of_all(wants: &[Want]) -> Vec<Endpoint> {
    let mut all: Vec<Endpoint> = Vec::new();
    for endpoint in wants.iter().flat_map(|want| &want.missed) {
        if !all.contains(endpoint) {
            all.push(endpoint.clone());
        }
    }
    all
}

/// What the profiles before the chosen one wanted to reach, and nothing else.
fn waited_for<'a>(config: &'a Config, proxy: &Proxy) -> Vec<&'a Target> {
    if config.profile != ProfileChoice::Auto {
        return Vec::new();
    }
    let chosen = proxy.standing.profile.as_deref();
    let passed_over = config.profiles.iter().take_while(|profile| Some(profile.name.as_str()) != chosen);
    let by_reach = passed_over.map(|profile| &profile.when).filter(|when| is_by_reach_alone(when));
    by_reach.flat_map(|when| &when.reachable).collect()
}

fn is_by_reach_alone(when: &Conditions) -> bool {
    Conditions { reachable: Vec::new(), ..when.clone() }.is_empty()
}

/// Whatever the profile.
fn goes_direct_everywhere(kind: ReasonKind) -> bool {
    match kind {
        ReasonKind::Own | ReasonKind::Loopback | ReasonKind::NoProxy | ReasonKind::Rule => true,
        ReasonKind::Pac | ReasonKind::PacFallback | ReasonKind::Default | ReasonKind::Upstream | ReasonKind::System => {
            false
        }
    }
}
