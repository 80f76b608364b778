//! Where the machine is: the facts that profiles ask for, gathered side by side.

use std::collections::HashSet;
use std::time::Duration;

use ipnet::IpNet;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::address::Target;
use crate::config::{Config, ProfileChoice};
use crate::network::Network;
use crate::resolver;
use crate::route::profile::{Choice, Conditions, Facts, choose};
use crate::upstream::Dialer;

/// For each name and each target that a profile asks for; all are asked at once.
const PROBE: Duration = Duration::from_millis(500);

/// The profile for here, and why.
pub(super) async fn choose_profile(config: &Config, network: &Network, dialer: &Dialer) -> Choice {
    if let ProfileChoice::Named(wanted) = &config.profile {
        let profile = config.profiles.iter().position(|profile| profile.name == *wanted);
        return Choice { profile, why: "it was asked for".into() };
    }
    let facts = facts(config.profiles.iter().map(|profile| &profile.when), network, dialer).await;
    choose(config.profiles.iter().map(|profile| (profile.name.as_str(), &profile.when)), &facts)
}

async fn facts<'a>(all: impl Iterator<Item = &'a Conditions>, network: &Network, dialer: &Dialer) -> Facts {
    let (mut names, mut targets) = (HashSet::new(), HashSet::new());
    for conditions in all {
        names.extend(conditions.resolves.iter().cloned());
        targets.extend(conditions.reachable.iter().cloned());
    }
    let (resolved, reached) = tokio::join!(
        those(names, |name: String| async move { resolver::resolve(&name, 0).await.is_ok() }),
        those(targets, |target: Target| {
            let dialer = dialer.clone();
            async move { dialer.dial(&target).await.is_ok() }
        }),
    );
    Facts {
        suffixes: network.dns_suffixes.clone(),
        addresses: network.addresses().map(IpNet::addr).collect(),
        gateways: network.gateways.clone(),
        resolved,
        reached,
    }
}

/// Those for which the question is answered with yes in time.
async fn those<T, F>(all: HashSet<T>, ask: impl Fn(T) -> F) -> HashSet<T>
where
    T: Clone + Eq + std::hash::Hash + Send + 'static,
    F: Future<Output = bool> + Send + 'static,
{
    let mut questions = JoinSet::new();
    for one in all {
        let asked = timeout(PROBE, ask(one.clone()));
        questions.spawn(async move { asked.await.unwrap_or(false).then_some(one) });
    }
    questions.join_all().await.into_iter().flatten().collect()
}
