//! Whether a target is reached by its route, and if not, who stands in the way.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;

use super::way::by;
use super::{Case, Check, Finding, Stage, Want, credential, names, script, upstream};
use crate::auth::RequestLine;
use crate::http1::{Body, Fields, ReadError, RequestHead, ResponseHead, Version};
use crate::proxy::chain;
use crate::route::{Hop, ReasonKind, Route};
use crate::upstream::{
    Answer, BodyHint, ConnectCause, ConnectError, Connected, DialError, Lease, Page, Verdict, reaches_origin,
};

/// Of a page, as much as its title may stand in.
const MAX_PAGE: usize = 64 * 1024;
const MAX_TITLE: usize = 120;
const MAX_HEAD: usize = 256 * 1024;

pub(super) fn check(case: &Arc<Case>, at: usize) -> Option<Check> {
    let want = case.wants.get(at)?;
    let before = want.upstreams().chain(&want.missed).flat_map(reasons).chain([script::NAME.to_string()]);
    let before: Vec<String> = before.collect();
    let (name, case) = (want.check_name(), case.clone());
    // Every hop may take its time before the next is tried.
    let limit = case.handshake_limit() * u32::try_from(want.decision.hops.len().max(1)).unwrap_or(1);
    let work = async move {
        match case.wants.get(at) {
            Some(want) => look(&case, want).await,
            None => Finding::skipped("it is gone"),
        }
    };
    Some(Check::new(Stage::Target, name, limit, work).rests_on(before).goal())
}

/// The checks by which a failure at this upstream is explained.
fn reasons(endpoint: &crate::address::Endpoint) -> Vec<String> {
    names::name(endpoint).into_iter().chain([upstream::name(endpoint), credential::name(endpoint)]).collect()
}

async fn look(case: &Case, want: &Want) -> Finding {
    let (hops, reason) = (&want.decision.hops, &want.decision.reason);
    if hops.is_empty() {
        let finding = Finding::failed(
            format!("there is no way to it: {}", reason.text),
            "hallpass explain says how that comes about; correct the rule or the script that says so",
        );
        return match reason.kind {
            ReasonKind::Pac | ReasonKind::PacFallback | ReasonKind::Default => finding.explained_by([script::NAME]),
            ReasonKind::Own
            | ReasonKind::Loopback
            | ReasonKind::NoProxy
            | ReasonKind::Rule
            | ReasonKind::Upstream
            | ReasonKind::System => finding.explained_by::<String>([]),
        };
    }
    if want.upstreams().any(|endpoint| case.notes.is_hopeless(endpoint)) {
        return Finding::skipped("not tried: the log-in on the way could only be refused");
    }
    let route = Route { hops: hops.clone(), reason: reason.clone() };
    let began = std::time::Instant::now();
    let finding = match want.wanted.is_tunnel() {
        true => tunnel(case, want, &route).await,
        false => forward(case, want, &route).await,
    };
    match finding {
        Ok(by) => Finding::fine(format!("{by} in {} ms ({})", began.elapsed().as_millis(), reason.text)),
        Err(finding) => finding,
    }
}

async fn tunnel(case: &Case, want: &Want, route: &Route) -> Result<String, Finding> {
    match case.proxy.upstreams.tunnel(route, &want.target, &Fields::default()).await {
        Ok(Connected::Tunnel(tunnel)) => {
            let by = by(&tunnel.hop);
            case.notes.reached(&want.target, tunnel);
            Ok(by)
        }
        Ok(Connected::Answer(answer)) => Err(of_answer(want, *answer).await),
        Ok(Connected::Repeated(hop, page)) => Err(of_page(want, &hop, &page)),
        Err(error) => Err(of_error(want, &error)),
    }
}

async fn forward(case: &Case, want: &Want, route: &Route) -> Result<String, Finding> {
    let line = RequestLine { method: "HEAD".into(), uri: want.wanted.url().into() };
    let upstreams = &case.proxy.upstreams;
    let leased = upstreams.lease(route, &want.target, &line, BodyHint::Empty, true).await;
    let mut lease = leased.map_err(|error| of_error(want, &error))?;
    let answer = loop {
        let answer = ask(&mut lease, want, &line.uri).await.map_err(|error| broken(&lease.hop, &error))?;
        if answer.status != 407 || reaches_origin(&lease.hop) {
            upstreams.settle(&mut lease, answer.status);
            break answer;
        }
        let hop = lease.hop.clone();
        match upstreams.challenged(lease, &line, &answer, BodyHint::Empty, true).await {
            Verdict::Again(next) => lease = *next,
            Verdict::Refused(cause) => return Err(of_error(want, &ConnectError::new(&want.target, &hop, cause))),
        }
    };
    match answer.status {
        403 => Err(forbidden(want, &lease.hop, &answer, &[])),
        500.. if !reaches_origin(&lease.hop) => Err(unreached(want, &lease.hop, &answer, &[])),
        status => Ok(format!("{}, answer {status}", by(&lease.hop))),
    }
}

fn broken(hop: &Hop, error: &ReadError) -> Finding {
    Finding::failed(
        format!("{} broke off: {}", who(hop), chain(error)),
        "try again; if it stays so, tell whoever runs it",
    )
    .explained_by(of_hop(hop))
}

async fn ask(lease: &mut Lease, want: &Want, url: &str) -> Result<ResponseHead, ReadError> {
    let target = match reaches_origin(&lease.hop) {
        true => url.splitn(4, '/').nth(3).map_or_else(|| "/".into(), |path| format!("/{path}")),
        false => url.to_string(),
    };
    let host = want.target.to_string();
    let fields: Fields = [("Host", host.as_str()), ("User-Agent", "hallpass"), ("Accept", "*/*")].into_iter().collect();
    let head = RequestHead { method: "HEAD".into(), target, version: Version::Http11, fields };
    let bytes = head.to_bytes(lease.credentials.take().as_ref());
    lease.wire.stream.write_all(&bytes).await?;
    lease.wire.stream.flush().await?;
    loop {
        let answer = lease.wire.reader().response(MAX_HEAD).await?;
        if !answer.is_informational() {
            return Ok(answer);
        }
    }
}

fn of_hop(hop: &Hop) -> Vec<String> {
    match hop {
        Hop::Direct => Vec::new(),
        Hop::Upstream(endpoint) => reasons(endpoint),
    }
}

async fn of_answer(want: &Want, answer: Answer) -> Finding {
    let Answer { head, mut wire, mut body, hop, .. } = answer;
    let mut page = Vec::new();
    while page.len() < MAX_PAGE && !matches!(body, Body::Empty) {
        match wire.reader().piece(&mut body).await {
            Ok(Ok(piece)) => page.extend_from_slice(&piece),
            // It was enough to see the title.
            Ok(Err(_)) | Err(_) => break,
        }
    }
    of_refusal(want, &hop, &head, &page)
}

fn of_page(want: &Want, hop: &Hop, page: &Page) -> Finding {
    of_refusal(want, hop, &page.head, &page.data)
}

fn of_refusal(want: &Want, hop: &Hop, head: &ResponseHead, page: &[u8]) -> Finding {
    match head.status {
        500.. => unreached(want, hop, head, page),
        _ => forbidden(want, hop, head, page),
    }
}

/// It is the proxy's own decision: no other check explains it.
fn forbidden(want: &Want, hop: &Hop, head: &ResponseHead, page: &[u8]) -> Finding {
    let who = who(hop);
    Finding::failed(
        format!("{who} does not let {} through: {}", want.target, answer(head, page)),
        format!("ask whoever runs that proxy to allow {}", want.target),
    )
    .explained_by::<String>([])
}

fn unreached(want: &Want, hop: &Hop, head: &ResponseHead, page: &[u8]) -> Finding {
    let who = who(hop);
    Finding::failed(
        format!("{who} itself does not reach {}: {}", want.target, answer(head, page)),
        "is the target's name right; if it is, tell whoever runs that proxy",
    )
    .explained_by::<String>([])
}

fn who(hop: &Hop) -> String {
    match hop {
        Hop::Direct => "the target".into(),
        Hop::Upstream(endpoint) => endpoint.to_string(),
    }
}

/// The status and what its page is called.
fn answer(head: &ResponseHead, page: &[u8]) -> String {
    let reason = String::from_utf8_lossy(&head.reason);
    let status = format!("{} {reason}", head.status);
    match title(page) {
        Some(title) => format!("{}, \u{201c}{title}\u{201d}", status.trim_end()),
        None => status.trim_end().into(),
    }
}

fn title(page: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(page);
    // Of the same length as the text, unlike what other ways of lowering letters make of it.
    let lower = text.to_ascii_lowercase();
    let opened = lower.find("<title")?;
    let begin = opened + lower.get(opened..)?.find('>')? + 1;
    let end = begin + lower.get(begin..)?.find("</title")?;
    let words: Vec<&str> = text.get(begin..end)?.split_whitespace().collect();
    // Whatever stands there is shown on a terminal.
    let title: String = words.join(" ").chars().filter(|c| !c.is_control()).take(MAX_TITLE).collect();
    (!title.is_empty()).then_some(title)
}

fn of_error(want: &Want, error: &ConnectError) -> Finding {
    let target = &want.target;
    let others = error.others.iter().map(|failed| format!("{}: {}", failed.hop, chain(&failed.cause)));
    let finding = match (&error.hop, &error.cause) {
        (Hop::Direct, ConnectCause::Dial(DialError::Resolve(name, _))) => Finding::failed(
            format!("the name {name} does not resolve here"),
            "is the name right? If only the proxy knows it, it must not go direct (no_proxy, rules, PAC)",
        ),
        (Hop::Direct, cause) => Finding::failed(
            format!("{target} is not reached directly: {}", chain(cause)),
            "a firewall may want it to go by the proxy: hallpass explain says why it goes direct",
        ),
        (Hop::Upstream(endpoint), cause) => Finding::failed(
            format!("{endpoint} does not lead there: {}", chain(cause)),
            "see the checks of that upstream",
        ),
    };
    let tried = error.others.iter().map(|failed| &failed.hop).chain([&error.hop]);
    let reasons = tried.flat_map(of_hop).chain(want.missed.iter().flat_map(reasons));
    finding.details(others).explained_by(reasons.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_known_by_its_title() {
        for (page, known) in [
            ("<html><HEAD><Title lang=en>\n Access \n  Denied</TITLE>", Some("Access Denied")),
            ("<title>\u{1b}[31mred</title>", Some("[31mred")),
            ("<title></title>", None),
            ("<title>no end", None),
            ("<title", None),
            ("plain words", None),
            ("\u{130}<title>\u{130}stanbul</title>", Some("\u{130}stanbul")),
        ] {
            assert_eq!(title(page.as_bytes()).as_deref(), known, "{page}");
        }
    }
}
