//! The origin's pages, all but the WebSocket.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, TRAILER};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Response, StatusCode, Uri};
use serde_json::json;

use super::body::{self, Body, BodyError, Tapped};
use super::record::Record;

const CHUNK: usize = 64 * 1024;
/// A prime, so that no power-of-two buffer lines up with the pattern.
const PATTERN: usize = 251;

pub(super) async fn plain(head: &Parts) -> Response<Body> {
    let uri = &head.uri;
    match uri.path() {
        "/" | "/hello" => text("hello from the practice origin\n"),
        "/sse" => sse(query(uri, "n", 3), query(uri, "ms", 200)),
        "/big" => big(query(uri, "bytes", 1_000_000), query(uri, "chunked", 0) != 0),
        "/trailers" => trailers(),
        "/sleep" => {
            tokio::time::sleep(Duration::from_millis(query(uri, "ms", 500))).await;
            text("good morning\n")
        }
        path => match path.strip_prefix("/status/").and_then(|code| code.parse().ok()) {
            Some(status) => with_status(status),
            None => with_status(StatusCode::NOT_FOUND),
        },
    }
}

/// The body flows back as it comes, with the same framing.
pub(super) fn echo(head: &Parts, body: Tapped) -> Response<Body> {
    let mut response = Response::new(body.boxed_unsync());
    for name in [CONTENT_LENGTH, CONTENT_TYPE] {
        if let Some(value) = head.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

/// Answers once the whole body is here.
pub(super) async fn digest(head: &Parts, mut body: Tapped, record: &Record, index: usize) -> Response<Body> {
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            return with_status(StatusCode::BAD_REQUEST);
        }
    }
    let seen = record.body(index);
    let page = json!({
        "method": head.method.as_str(),
        "length": seen.bytes,
        "sha256": seen.sha256,
        "headers": shown(&head.headers),
        "trailers": seen.trailers.as_ref().map(shown),
    });
    let mut response = text(format!("{page}\n"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn shown(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

fn sse(count: u64, pause_ms: u64) -> Response<Body> {
    let events = stream::unfold(0, move |number| async move {
        if number == count {
            return None;
        }
        if number > 0 {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
        let event = format!("id: {number}\ndata: {}\n\n", unix_millis());
        Some((Frame::data(Bytes::from(event)), number + 1))
    });
    let mut response = streamed(events);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn unix_millis() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}

/// Byte number `i` is `i mod 251`.
fn big(length: u64, chunked: bool) -> Response<Body> {
    let pattern: Vec<u8> = (0..CHUNK + PATTERN).map(|i| u8::try_from(i % PATTERN).unwrap_or_default()).collect();
    let pattern = Bytes::from(pattern);
    let chunks = stream::unfold(0, move |sent| {
        let left = usize::try_from(length - sent).unwrap_or(CHUNK).min(CHUNK);
        let start = usize::try_from(sent % PATTERN as u64).unwrap_or_default();
        let chunk = pattern.slice(start..start + left);
        async move { (left > 0).then(|| (Frame::data(chunk), sent + left as u64)) }
    });
    let mut response = streamed(chunks);
    if !chunked {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

fn trailers() -> Response<Body> {
    const NAME: HeaderName = HeaderName::from_static("x-practice-trailer");
    let trailers = HeaderMap::from_iter([(NAME, HeaderValue::from_static("at the end"))]);
    let frames = [Frame::data(Bytes::from_static(b"a body, then a trailer\n")), Frame::trailers(trailers)];
    let mut response = streamed(stream::iter(frames));
    response.headers_mut().insert(TRAILER, HeaderValue::from(NAME));
    response
}

fn streamed(frames: impl Stream<Item = Frame<Bytes>> + Send + 'static) -> Response<Body> {
    use futures_util::StreamExt as _;
    Response::new(StreamBody::new(frames.map(Ok::<_, BodyError>)).boxed_unsync())
}

fn text(text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(body::text(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn with_status(status: StatusCode) -> Response<Body> {
    let bodyless = status.is_informational() || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
    let mut response = if bodyless { Response::new(body::empty()) } else { text(format!("{status}\n")) };
    *response.status_mut() = status;
    response
}

fn query(uri: &Uri, name: &str, default: u64) -> u64 {
    let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse().ok()).unwrap_or(default)
}
