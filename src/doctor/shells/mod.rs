//! What running programs were told about proxies: variables that are set elsewhere, differ, or do not do what they seem to.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "other.rs")]
mod imp;
mod judge;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{Check, Finding, Stage};
use crate::address::Target;
use crate::config::Environment;
use judge::notes;

/// Those by which programs find their proxy, as most of them spell them.
const VARIABLES: [&str; 4] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];

/// A program and those of its variables that are about proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    pub name: String,
    /// `None`: ourselves.
    pub pid: Option<u32>,
    pub variables: BTreeMap<String, String>,
}

/// What the variables are held against.
pub(super) struct Wanted {
    /// Where the relay listens.
    pub relay: Vec<SocketAddr>,
    /// Hosts that the relay is needed for.
    pub hosts: Vec<Target>,
}

pub(super) fn check(environment: &Environment, wanted: Wanted) -> Check {
    let own = own(environment);
    Check::new(Stage::Surroundings, "variables of programs", super::LENIENCE, async move {
        let others = tokio::task::spawn_blocking(imp::programs).await.unwrap_or_default();
        finding(&own, others.as_deref(), &wanted)
    })
}

fn own(environment: &Environment) -> Program {
    let all = VARIABLES.iter().flat_map(|name| [(*name).to_string(), name.to_lowercase()]);
    let variables = all.filter_map(|name| environment.get(&name).map(|value| (name.clone(), value.to_string())));
    Program { name: "this shell".into(), pid: None, variables: variables.collect() }
}

fn finding(own: &Program, others: Option<&[Program]>, wanted: &Wanted) -> Finding {
    let seen: Vec<&Program> = std::iter::once(own).chain(others.unwrap_or_default()).collect();
    let notes = notes(&seen, wanted);
    let unset = seen.iter().filter(|program| program.variables.is_empty()).count();
    let extent = match others {
        Some(others) => format!("this shell and {} running shells and editors", others.len()),
        None => "this shell (those of others cannot be seen on this system)".into(),
    };
    let finding = if !notes.is_empty() {
        Finding::warning(
            format!("of {extent}, some have proxy variables that will surprise: {}", notes[0]),
            "set them as hallpass env says, in the file that the shell reads, and start the programs anew",
        )
        .details(notes.into_iter().skip(1))
    } else if unset == seen.len() {
        Finding::fine(format!(
            "{extent} have no proxy variables; hallpass env prints them, hallpass run sets them for one program"
        ))
    } else {
        Finding::fine(format!("{extent}: {} lead to the relay, {unset} have no proxy variables", seen.len() - unset))
    };
    match others.is_some_and(|others| !others.is_empty()) {
        true => finding.detail("what a shell was told after its start is not seen until it has started something"),
        false => finding,
    }
}
