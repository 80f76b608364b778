//! The PAC script: whether it is there, whether it is a script, and what it says of the targets.

use std::sync::Arc;

use super::{Case, Check, Finding, Stage, Want};
use crate::proxy::PacStatus;
use crate::route::ReasonKind;

pub(super) const NAME: &str = "pac";

/// `None` where no script counts.
pub(super) fn check(case: &Arc<Case>) -> Option<Check> {
    let status = case.proxy.standing.pac.clone()?;
    let case = case.clone();
    Some(Check::new(Stage::Script, NAME, case.limit(), async move { look(&case, &status) }))
}

fn look(case: &Case, status: &PacStatus) -> Finding {
    let source = &status.source;
    let problem = status.problem.clone().unwrap_or_default();
    let said = |want: &Want| format!("{}: {}", want.target, way(want));
    let asked = case.wants.iter().filter(|want| is_by_script(want));
    match status.state {
        "current" => match case.wants.iter().find(|want| has_failed(want)) {
            Some(want) => Finding::failed(
                format!("the PAC script {source} fails for {}: {}", want.target, want.decision.reason.text),
                "tell whoever maintains the script; --upstream HOST:PORT goes without it meanwhile",
            ),
            None => Finding::fine(format!("{source} is current")).details(asked.map(said)),
        },
        "kept copy" => Finding::warning(
            format!("{source} cannot be had ({problem}), so its last copy that worked is used"),
            "correct the key pac, or tell whoever maintains the script",
        )
        .details(asked.map(said)),
        "unreachable" => Finding::failed(
            format!("nobody is there to give the PAC script {source} ({problem})"),
            "connect to the network where it is, or correct the key pac",
        ),
        _ => Finding::failed(
            format!("the PAC script {source} cannot be used: {problem}"),
            "correct the key pac, or tell whoever maintains the script; --upstream HOST:PORT goes without it meanwhile",
        ),
    }
}

fn is_by_script(want: &Want) -> bool {
    matches!(want.decision.reason.kind, ReasonKind::Pac | ReasonKind::PacFallback)
}

fn has_failed(want: &Want) -> bool {
    is_by_script(want) && want.decision.hops.is_empty()
}

fn way(want: &Want) -> String {
    let hops: Vec<String> = want.decision.hops.iter().map(ToString::to_string).collect();
    if hops.is_empty() { "no way".into() } else { hops.join(", then ") }
}
