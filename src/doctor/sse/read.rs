//! A stream of events off the way that a request goes, with the time at which each event was whole.

use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout_at;

use crate::auth::RequestLine;
use crate::doctor::way::{Closed, Way};
use crate::http1::{Body, Fields, RequestHead, ResponseHead, Version, Wire};
use crate::proxy::{Url, chain};
use crate::route::Hop;
use crate::secret::Credentials;
use crate::upstream::{BodyHint, Lease, Verdict, reaches_origin};

const MAX_HEAD: usize = 64 * 1024;
/// An event that is larger than this is looked at no further.
const MAX_EVENT: usize = 1024 * 1024;
/// More events than this say nothing new.
const MOST: usize = 1000;
/// More answers than any log-in needs.
const MAX_LEGS: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Since the request was sent.
    pub arrived: Duration,
    /// Milliseconds since 1970, where the event says so.
    pub sent: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub hop: Hop,
    pub status: u16,
    pub is_events: bool,
    pub via: Option<String>,
    pub events: Vec<Event>,
    /// It ended in the midst of a message.
    pub is_broken: bool,
    /// When it was listened to no more.
    pub over: Duration,
}

pub(super) async fn listen(way: &Way, url: &str, patience: Duration) -> Result<Heard, Closed> {
    let parsed =
        Url::parse(url.split('#').next().unwrap_or_default()).map_err(|error| Closed::NoRoute(chain(&error)))?;
    if parsed.scheme == "https" {
        let secure = way.secure(url).await?;
        let (mut wire, hop) = (Wire::new(secure.stream), secure.hop);
        let began = Instant::now();
        let head = ask(&mut wire, &request(&parsed, true), None, began + patience).await?;
        return Ok(follow(&mut wire, &head, hop, began, patience).await);
    }
    let (target, route) = way.decide(url).await?;
    let upstreams = &way.case.proxy.upstreams;
    let line = RequestLine { method: "GET".into(), uri: parsed.absolute() };
    let failed = |error: &(dyn std::error::Error + 'static)| Closed::Failed(chain(error));
    let mut lease: Lease =
        upstreams.lease(&route, &target, &line, BodyHint::Empty, true).await.map_err(|error| failed(&error))?;
    for _ in 0..MAX_LEGS {
        let head = request(&parsed, reaches_origin(&lease.hop));
        let credentials = lease.credentials.take();
        let began = Instant::now();
        let answer = ask(&mut lease.wire, &head, credentials.as_ref(), began + patience).await?;
        if answer.status != 407 {
            upstreams.settle(&mut lease, answer.status);
            let hop = lease.hop.clone();
            return Ok(follow(&mut lease.wire, &answer, hop, began, patience).await);
        }
        lease = match upstreams.challenged(lease, &line, &answer, BodyHint::Empty, true).await {
            Verdict::Again(again) => *again,
            Verdict::Refused(cause) => return Err(failed(&cause)),
        };
    }
    Err(Closed::Failed("the upstream asks for ever".into()))
}

fn request(url: &Url, is_for_origin: bool) -> RequestHead {
    let fields: Fields = [
        ("Host", url.authority.as_str()),
        ("User-Agent", "hallpass"),
        ("Accept", "text/event-stream"),
        ("Cache-Control", "no-cache"),
    ]
    .into_iter()
    .collect();
    let target = if is_for_origin { url.path.clone() } else { url.absolute() };
    RequestHead { method: "GET".into(), target, version: Version::Http11, fields }
}

async fn ask<S>(
    wire: &mut Wire<S>,
    head: &RequestHead,
    credentials: Option<&Credentials>,
    until: Instant,
) -> Result<ResponseHead, Closed>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let talk = async {
        wire.stream.write_all(&head.to_bytes(credentials)).await?;
        wire.stream.flush().await?;
        loop {
            let answer = wire.reader().response(MAX_HEAD).await?;
            if !answer.is_informational() {
                return Ok::<_, crate::http1::ReadError>(answer);
            }
        }
    };
    match timeout_at(until.into(), talk).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Closed::Failed(chain(&error))),
        Err(_) => Err(Closed::Failed(
            "there was no answer in time: either the server says nothing, or a proxy collects its answer".into(),
        )),
    }
}

async fn follow<S>(wire: &mut Wire<S>, head: &ResponseHead, hop: Hop, began: Instant, patience: Duration) -> Heard
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let words = |name| head.fields.first(name).map(|value| String::from_utf8_lossy(value).into_owned());
    let is_events =
        words("content-type").is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/event-stream"));
    let mut heard = Heard {
        hop,
        status: head.status,
        is_events,
        via: words("via"),
        events: Vec::new(),
        is_broken: false,
        over: Duration::ZERO,
    };
    if let (true, Ok(mut body)) = (heard.is_events && heard.status == 200, Body::of_response("GET", head)) {
        let until = began + patience;
        let mut text = Vec::new();
        while heard.events.len() < MOST && text.len() < MAX_EVENT {
            match timeout_at(until.into(), wire.reader().piece(&mut body)).await {
                Ok(Ok(Ok(piece))) => {
                    text.extend_from_slice(&piece);
                    take_events(&mut text, began.elapsed(), &mut heard.events);
                }
                Ok(Ok(Err(_))) | Err(_) => break,
                Ok(Err(_)) => {
                    heard.is_broken = true;
                    break;
                }
            }
        }
    }
    heard.over = began.elapsed();
    heard
}

/// Whole events end with an empty line.
fn take_events(text: &mut Vec<u8>, arrived: Duration, events: &mut Vec<Event>) {
    let end = |text: &[u8]| {
        let at =
            |pattern: &[u8]| text.windows(pattern.len()).position(|part| part == pattern).map(|at| at + pattern.len());
        [at(b"\n\n"), at(b"\r\n\r\n"), at(b"\r\r")].into_iter().flatten().min()
    };
    while let Some(end) = end(text) {
        let event: Vec<u8> = text.drain(..end).collect();
        // A comment that keeps the connection alive is as good as an event.
        events.push(Event { arrived, sent: time_of(&String::from_utf8_lossy(&event)) });
    }
}

/// A number of thirteen digits is the time in milliseconds, from 2001 to 2286.
fn time_of(event: &str) -> Option<u64> {
    let data = event.lines().filter_map(|line| line.strip_prefix("data:"));
    data.flat_map(|line| line.split(|c: char| !c.is_ascii_digit())).find(|digits| digits.len() == 13)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_at_their_empty_line_and_may_tell_their_time() {
        let (mut text, mut events) = (Vec::new(), Vec::new());
        for (piece, count) in
            [("id: 0\nda", 0), ("ta: 1700000000123\n", 0), ("\n: keep\r\n\r\ndata: x\n\nid", 3), (": 4\n\n", 4)]
        {
            text.extend_from_slice(piece.as_bytes());
            take_events(&mut text, Duration::from_secs(1), &mut events);
            assert_eq!(events.len(), count, "{piece:?}");
        }
        let sent: Vec<Option<u64>> = events.iter().map(|event| event.sent).collect();
        assert_eq!(sent, [Some(1_700_000_000_123), None, None, None]);
    }
}
