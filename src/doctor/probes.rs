//! The checks beside the way out: hosts of presets, event streams, silence, other programs and this machine.

use std::sync::Arc;
use std::time::Duration;

use super::preset::{Kind, Level, Preset};
use super::shells::{self, Wanted};
use super::way::Way;
use super::{Case, Check, claude_settings, credential, idle, other_programs, preset_hosts, sse, upstream, vpn};
use crate::address::Target;
use crate::upstream::Tls;

/// Longer than the limits of proxies that are met most often: 30, 60 and 120 s.
pub const SILENCE: Duration = Duration::from_secs(125);

const HTTPS: u16 = 443;

/// What is to be looked at further.
pub struct Probing {
    pub preset: Option<Preset>,
    /// A stream of events that anybody may ask for.
    pub event_stream: Option<String>,
    /// How long connections are left alone; `None`: not at all.
    pub silence: Option<Duration>,
    /// Whom to trust at the far end.
    pub tls: Tls,
}

impl Default for Probing {
    fn default() -> Self {
        Self { preset: None, event_stream: None, silence: None, tls: Tls::system() }
    }
}

pub fn probes(case: &Arc<Case>, probing: &Probing) -> Vec<Check> {
    let way = Way { case: case.clone(), tls: probing.tls.clone() };
    // Log-ins begin when the verdict on the credential is there.
    let names = |endpoint| [upstream::name(endpoint), credential::name(endpoint)];
    let rests_on: Vec<String> = case.upstreams.iter().flat_map(names).collect();
    let mut checks: Vec<Check> = Vec::new();
    let entries = probing.preset.iter().flat_map(|preset| &preset.hosts);
    checks.extend(entries.map(|entry| preset_hosts::check(&way, entry, &rests_on)));
    if let Some(url) = &probing.event_stream {
        checks.push(sse::check(&way, url, probing.silence).rests_on(rests_on.iter().cloned()));
    }
    if let Some(silence) = probing.silence {
        checks.push(idle::check(&way, &to_be_left_alone(case, probing), silence).rests_on(rests_on.iter().cloned()));
    }
    let (environment, relay) = (&case.config.environment, &case.config.listen);
    let hosts = to_be_proxied(case, probing);
    checks.push(shells::check(environment, Wanted { relay: relay.clone(), hosts }));
    checks.extend(claude_settings::checks(environment, relay));
    checks.extend(other_programs::checks(environment, relay));
    checks.push(vpn::check(case));
    checks
}

/// Servers of different kinds, as far as there are any.
fn to_be_left_alone(case: &Case, probing: &Probing) -> Vec<Target> {
    let wanted = case.wants.iter().map(|want| &want.target).filter(|target| target.port != 80);
    let entries = probing.preset.iter().flat_map(|preset| &preset.hosts);
    let required = entries.filter(|entry| entry.level == Level::Required && entry.kind == Kind::Https);
    distinct(wanted.chain(required.map(|entry| &entry.sample)))
}

fn to_be_proxied(case: &Case, probing: &Probing) -> Vec<Target> {
    let wanted = case.wants.iter().filter(|want| want.upstreams().next().is_some()).map(|want| &want.target);
    let entries = probing.preset.iter().flat_map(|preset| &preset.hosts).filter(|entry| entry.sample.port == HTTPS);
    distinct(wanted.chain(entries.map(|entry| &entry.sample)))
}

fn distinct<'a>(targets: impl Iterator<Item = &'a Target>) -> Vec<Target> {
    let mut distinct: Vec<Target> = Vec::new();
    for target in targets.filter(|target| !target.host.is_local()) {
        if !distinct.contains(target) {
            distinct.push(target.clone());
        }
    }
    distinct
}
