//! Whether connections may be silent: several are left alone side by side, and then used.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::way::{Closed, Secure, Way, by};
use super::{Check, Finding, Stage};
use crate::address::Target;
use crate::route::Hop;

/// Servers have limits of their own: what several of them do at the same moment, none of them does.
const MOST: usize = 3;
const SAME_MOMENT: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(10);

pub(super) fn check(way: &Way, targets: &[Target], silence: Duration) -> Check {
    let limit = silence + ANSWER + way.case.config.handshake_timeout + super::LENIENCE;
    let (way, targets) = (way.clone(), targets.iter().take(MOST).cloned().collect::<Vec<_>>());
    Check::new(Stage::Stream, "silent connections", limit, async move {
        let tries = targets.into_iter().map(|target| leave_alone(way.clone(), target, silence));
        judge(&tries.collect::<JoinSet<Left>>().join_all().await, silence)
    })
}

/// What became of one.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Left {
    Alive(Hop),
    Cut(Hop, Duration),
    NotThere,
}

async fn leave_alone(way: Way, target: Target, silence: Duration) -> Left {
    match way.secure(&format!("https://{target}/")).await {
        Ok(secure) => of(secure, &target, silence).await,
        Err(Closed::NoRoute(_) | Closed::Refused { .. } | Closed::Failed(_) | Closed::Tls { .. }) => Left::NotThere,
    }
}

async fn of(secure: Secure, target: &Target, silence: Duration) -> Left {
    let Secure { mut stream, hop, .. } = secure;
    let began = Instant::now();
    let mut byte = [0; 1];
    // Nobody has anything to say: whatever can be read is the end.
    if timeout(silence, stream.read(&mut byte)).await.is_ok() {
        return Left::Cut(hop, began.elapsed());
    }
    let asked = async {
        let request =
            format!("HEAD / HTTP/1.1\r\nHost: {}\r\nUser-Agent: hallpass\r\nConnection: close\r\n\r\n", target.host);
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        stream.read(&mut byte).await
    };
    match timeout(ANSWER, asked).await {
        Ok(Ok(1..)) => Left::Alive(hop),
        Ok(Ok(0) | Err(_)) | Err(_) => Left::Cut(hop, began.elapsed()),
    }
}

fn judge(found: &[Left], silence: Duration) -> Finding {
    let seconds = silence.as_secs_f32();
    let alive = found.iter().find_map(|left| match left {
        Left::Alive(hop) => Some(hop),
        Left::Cut(..) | Left::NotThere => None,
    });
    let cuts: Vec<(&Hop, Duration)> = found
        .iter()
        .filter_map(|left| match left {
            Left::Cut(hop, after) => Some((hop, *after)),
            Left::Alive(_) | Left::NotThere => None,
        })
        .collect();
    if let Some(hop) = alive {
        let says = format!("{}, a connection was silent for {seconds:.0} s and still there", by(hop));
        return match cuts.len() {
            0 => Finding::fine(says),
            count => {
                Finding::fine(says).detail(format!("{count} more were ended, which is then their servers' own doing"))
            }
        };
    }
    let Some((hop, after)) = cuts.first() else {
        return Finding::skipped("no connection came about that could be left alone");
    };
    let spread = cuts.iter().map(|(_, cut)| cut.abs_diff(*after)).max().unwrap_or_default();
    let (after, by) = (after.as_secs_f32(), by(hop));
    let advice = format!("connections {by} must be allowed to be silent for 5 minutes: ask whoever runs the proxy");
    match cuts.len() {
        1 => Finding::warning(
            format!("{by}, a silent connection was ended after {after:.0} s, by the proxy or by the server"),
            format!("{advice}; with --sse-url, an event stream that is silent for as long tells which of them it was"),
        ),
        count if spread <= SAME_MOMENT => Finding::failed(
            format!("{by}, {count} silent connections to different servers were cut off after {after:.0} s"),
            advice,
        ),
        count => Finding::warning(
            format!("{by}, {count} silent connections were ended at different times, the first after {after:.0} s"),
            format!(
                "servers do that too; with --sse-url, an event stream that is silent for {seconds:.0} s tells more"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn the_proxy_is_blamed_for_what_different_servers_do_at_the_same_moment() {
        let seconds = Duration::from_secs;
        let cut = |after| Left::Cut(Hop::Direct, seconds(after));
        for (found, state, says) in [
            (vec![cut(30), cut(30), cut(31)], State::Failed, "cut off after 30 s"),
            (vec![cut(30), Left::NotThere], State::Warning, "by the proxy or by the server"),
            (vec![cut(30), cut(75)], State::Warning, "different times"),
            (vec![Left::Alive(Hop::Direct), cut(30)], State::Fine, "still there"),
            (vec![Left::NotThere], State::Skipped, "no connection"),
        ] {
            let finding = judge(&found, seconds(125));
            assert_eq!(finding.state, state, "{found:?}");
            assert!(finding.says.contains(says), "{finding:?}");
        }
    }
}
