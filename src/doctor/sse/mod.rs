//! Whether events arrive as they are sent: a stream of events (`text/event-stream`) is read, and the time of each is taken.

mod judge;
mod read;

use std::time::Duration;

use super::way::Way;
use super::{Check, Finding, Stage};
pub(super) use judge::Verdict;
use judge::judge;
use read::{Heard, listen};

/// Without `--slow`.
const PATIENCE: Duration = Duration::from_secs(20);

/// `silence`: how long a stream must be able to say nothing, where that is to be found out.
pub(super) fn check(way: &Way, url: &str, silence: Option<Duration>) -> Check {
    let limit = patience(silence);
    let (way, url) = (way.clone(), url.to_string());
    let name = format!("events of {}", shown(&url));
    let cut_off = limit + way.case.config.handshake_timeout + super::LENIENCE;
    Check::new(Stage::Stream, name, cut_off, async move { look(&way, &url, silence).await })
}

/// What stands behind the path may be a secret.
fn shown(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

fn patience(silence: Option<Duration>) -> Duration {
    silence.map_or(PATIENCE, |silence| silence + PATIENCE)
}

pub(super) async fn look(way: &Way, url: &str, silence: Option<Duration>) -> Finding {
    match listen(way, url, patience(silence)).await {
        Ok(heard) => told(&heard, silence),
        Err(closed) => closed.finding().detail("so nobody knows whether events would arrive as they are sent"),
    }
}

fn told(heard: &Heard, silence: Option<Duration>) -> Finding {
    let Heard { hop, status, is_events, events, .. } = heard;
    let by = super::way::by(hop);
    if *status != 200 || !is_events {
        return Finding::warning(
            format!("{by}, the answer is no stream of events (status {status})"),
            "name a URL that anybody may ask for and that answers with text/event-stream",
        );
    }
    let count = events.len();
    match judge(heard, silence) {
        Verdict::AsSent { longest } => Finding::fine(format!(
            "{by}, {count} events arrived as they were sent, after silences of up to {:.1} s",
            longest.as_secs_f32()
        )),
        Verdict::HeldBack { held } => Finding::failed(
            format!("{}, {count} events were held back for up to {:.1} s and came together", by, held.as_secs_f32()),
            format!(
                "{} collects answers before it passes them on: it must not do so with text/event-stream",
                suspect(heard)
            ),
        ),
        Verdict::AllAtOnce { after } => Finding::warning(
            format!(
                "{by}, {count} events came together after {:.1} s: they were sent so, or somebody held them back",
                after.as_secs_f32()
            ),
            format!("if the server sends them one by one, {} collects answers", suspect(heard)),
        ),
        Verdict::Cut { silence } => Finding::failed(
            format!("{by}, the stream was cut off after {:.0} s of silence", silence.as_secs_f32()),
            format!("{} must let connections be silent for 5 minutes at least", suspect(heard)),
        ),
        Verdict::TooFew => Finding::warning(
            format!("{by}, {count} events came while this looked on: too few to say anything"),
            "name a stream that sends several, or use --slow, which looks on for longer",
        ),
        Verdict::NotSilentEnough { longest } => Finding::fine(format!(
            "{by}, {count} events arrived as they were sent; no silence was longer than {:.1} s, so what becomes of \
             longer ones is not known",
            longest.as_secs_f32()
        )),
    }
}

/// Whoever reads what we say, and could have done it.
fn suspect(heard: &Heard) -> String {
    match (&heard.via, &heard.hop) {
        (Some(via), hop) => format!("a proxy on the way ({}, Via: {via})", super::way::by(hop)),
        (None, crate::route::Hop::Upstream(endpoint)) => endpoint.to_string(),
        (None, crate::route::Hop::Direct) => "somebody before the server".into(),
    }
}
