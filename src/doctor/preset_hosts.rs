//! Every host of a preset, asked for by the way that a request to it would go.

use super::preset::{Entry, Kind, Level};
use super::way::{Secure, Way, by};
use super::websocket::{Upgrade, upgrade};
use super::{Check, Finding, Stage, sse};
use crate::address::Target;
use crate::route::Hop;

pub(super) fn check(way: &Way, entry: &Entry, rests_on: &[String]) -> Check {
    let (way, entry) = (way.clone(), entry.clone());
    let stage = match entry.kind {
        Kind::Https => Stage::Target,
        Kind::Wss | Kind::Sse => Stage::Stream,
    };
    let config = &way.case.config;
    let limit = config.connect_timeout + config.handshake_timeout * 2 + super::LENIENCE * 6;
    let is_required = entry.level == Level::Required;
    let name = name(&entry);
    let check = Check::new(stage, name, limit, async move { of_level(look(&way, &entry).await, &entry) });
    let check = check.rests_on(rests_on.iter().cloned());
    if is_required { check.goal() } else { check }
}

fn name(entry: &Entry) -> String {
    match entry.sample.port {
        443 => format!("{} {}", entry.kind, entry.hosts),
        port => format!("{} {}:{port}", entry.kind, entry.hosts),
    }
}

async fn look(way: &Way, entry: &Entry) -> Finding {
    let Target { host, port } = &entry.sample;
    match entry.kind {
        Kind::Sse => sse::look(way, &format!("https://{host}:{port}{}", entry.path), None).await,
        Kind::Https => match way.secure(&format!("https://{host}:{port}/")).await {
            Ok(secure) => reached(&secure),
            Err(closed) => closed.finding(),
        },
        Kind::Wss => {
            let url = format!("wss://{host}:{port}{}", entry.path);
            match way.secure(&url).await {
                Ok(Secure { stream, hop, is_public, issuer }) => {
                    told(upgrade(&url, stream).await, &hop, (!is_public).then_some(&issuer))
                }
                Err(closed) => closed.finding(),
            }
        }
    }
}

fn reached(secure: &Secure) -> Finding {
    let says = format!("reached {}, certificate signed by {}", by(&secure.hop), secure.issuer);
    match secure.is_public {
        true => Finding::fine(says),
        false => Finding::fine(format!("{says}, which is no public authority: TLS is read on the way")),
    }
}

/// `inspector`: who has signed for the target, where that is no public authority, and so may have answered in its place.
fn told(upgrade: Upgrade, hop: &Hop, inspector: Option<&String>) -> Finding {
    let by = by(hop);
    match (upgrade, inspector) {
        (Upgrade::Open, _) => Finding::fine(format!("{by}, a WebSocket opens")),
        (Upgrade::Answered(status), None) => Finding::fine(format!(
            "{by}, the target itself answered the wish for a WebSocket with {status}: the way is open"
        )),
        (Upgrade::Answered(status), Some(issuer)) => Finding::warning(
            format!(
                "{by}, the wish for a WebSocket was answered with {status}, by the target or by who reads along ({issuer})"
            ),
            "ask whoever runs the proxy whether it lets Upgrade pass within TLS that it reads",
        ),
        (Upgrade::Stripped { by: via }, _) => Finding::failed(
            format!("{by}, the wish for a WebSocket did not arrive: the answer is 426"),
            format!(
                "{} reads what is within TLS and takes out Upgrade: ask whoever runs the proxy to let it pass",
                via.as_ref().or(inspector).map_or("somebody", String::as_str)
            ),
        ),
        (Upgrade::Broken(why), _) => Finding::failed(
            format!("{by}, the wish for a WebSocket broke off: {why}"),
            "ask whoever runs the proxy whether WebSockets may pass",
        ),
    }
}

/// What is not needed does not fail.
fn of_level(finding: Finding, entry: &Entry) -> Finding {
    use super::State;
    let is_fault = finding.state == State::Failed;
    let named = finding.detail(format!("{}: {}", entry.level, entry.purpose));
    match entry.level {
        Level::Required => named,
        Level::Recommended if is_fault => Finding { state: State::Warning, ..named },
        Level::Optional if is_fault => Finding { state: State::Skipped, ..named },
        Level::Recommended | Level::Optional => named,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn only_where_nobody_reads_along_the_answer_to_an_upgrade_is_the_targets_own() {
        let corp = "Corp Inspection CA".to_string();
        for (upgrade, inspector, state, says) in [
            (Upgrade::Open, Some(&corp), State::Fine, "opens"),
            (Upgrade::Answered(403), None, State::Fine, "the target itself"),
            (Upgrade::Answered(403), Some(&corp), State::Warning, "reads along (Corp Inspection CA)"),
            (Upgrade::Stripped { by: None }, Some(&corp), State::Failed, "did not arrive"),
            (Upgrade::Broken("reset".into()), None, State::Failed, "broke off: reset"),
        ] {
            let finding = told(upgrade.clone(), &Hop::Direct, inspector);
            assert_eq!(finding.state, state, "{upgrade:?}");
            assert!(finding.says.contains(says), "{finding:?}");
        }
        let stripped = told(Upgrade::Stripped { by: None }, &Hop::Direct, Some(&corp));
        assert!(stripped.advice.is_some_and(|advice| advice.starts_with("Corp Inspection CA reads")));
    }
}
