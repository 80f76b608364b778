//! HTTP as others read it: hyper, a strict reader of a dozen lines, and a stream that gives one byte at a time.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Body as _;
use hyper::rt::ReadBufCursor;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Fields by name and value.
pub type Pairs = Vec<(String, Vec<u8>)>;

/// A first line and fields, from bytes that may hold nothing else: one CRLF after each, no other CR, LF or NUL, no blank
/// before a colon, no folded line.
pub fn strict(bytes: &[u8]) -> (Vec<u8>, Pairs) {
    let text = bytes.strip_suffix(b"\r\n\r\n").expect("an empty line ends it");
    let mut lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    assert_eq!(bytes.windows(2).filter(|pair| *pair == b"\r\n").count(), text.split(|b| *b == b'\n').count() + 1);
    let first = lines.next().expect("a first line").to_vec();
    let fields = lines.map(|line| {
        let colon = line.iter().position(|byte| *byte == b':').expect("a colon");
        let (name, value) = (&line[..colon], line[colon + 1..].strip_prefix(b" ").expect("one space"));
        assert!(!name.is_empty() && name.iter().all(|byte| byte.is_ascii_graphic()), "{name:?}");
        assert_eq!(value, value.trim_ascii());
        (String::from_utf8(name.to_vec()).expect("ASCII"), value.to_vec())
    });
    let fields: Pairs = fields.collect();
    let values = fields.iter().map(|(_, value)| value).chain([&first]);
    assert!(values.flatten().all(|byte| !b"\r\n\0".contains(byte)), "{:?}", String::from_utf8_lossy(bytes));
    (first, fields)
}

/// All values of a field.
pub fn values<'a>(fields: &'a Pairs, name: &str) -> Vec<&'a [u8]> {
    fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice()).collect()
}

/// What hyper took a message for.
#[derive(Debug)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub status: u16,
    pub fields: Pairs,
    /// How long it says that the body is.
    pub length: Option<u64>,
    pub body: Option<Vec<u8>>,
}

/// A request as hyper's server reads it; `None` if it refuses it.
pub fn request(bytes: &[u8]) -> Option<Seen> {
    let seen = Rc::new(RefCell::new(None));
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let length = request.body().size_hint().exact();
        seen.replace(Some(Seen {
            method: request.method().to_string(),
            target: request.uri().to_string(),
            status: 0,
            fields: pairs(request.headers()),
            length,
            body: None,
        }));
        std::future::ready(Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new())))
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    let connection = server.half_close(true).keep_alive(false).serve_connection(Script::new(bytes), service);
    let _ended = poll_some(&mut pin!(connection));
    seen.take()
}

/// An answer to `method` as hyper's client reads it, with its body if there is one and it ends.
pub fn response(method: &str, bytes: &[u8]) -> Option<Seen> {
    let script = Script::new(bytes);
    let (mut sender, connection) = poll_some(&mut pin!(hyper::client::conn::http1::handshake(script)))?.ok()?;
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    let asked = Request::builder().method(method).uri("/").body(Empty::<Bytes>::new()).ok()?;
    let (mut answer, mut connection) = (pin!(sender.send_request(asked)), pin!(connection.with_upgrades()));
    let (head, mut body) = (0..16)
        .find_map(|_| {
            let _ended = poll_once(&mut connection);
            poll_once(&mut answer)
        })?
        .ok()?
        .into_parts();
    let length = body.size_hint().exact();
    let mut data = Some(Vec::new());
    for _ in 0..4096 {
        let _ended = poll_once(&mut connection);
        match poll_once(&mut pin!(body.frame())) {
            Some(Some(Ok(frame))) => {
                if let (Some(data), Some(more)) = (&mut data, frame.data_ref()) {
                    data.extend_from_slice(more);
                }
            }
            Some(None) => break,
            Some(Some(Err(_))) | None => data = None,
        }
        if data.is_none() {
            break;
        }
    }
    let fields = pairs(&head.headers);
    Some(Seen {
        method: String::new(),
        target: String::new(),
        status: head.status.as_u16(),
        fields,
        length,
        body: data,
    })
}

fn pairs(headers: &hyper::HeaderMap) -> Pairs {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

fn poll_once<F: Future>(future: &mut Pin<&mut F>) -> Option<F::Output> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Everything is at hand, so what is not ready soon never is.
fn poll_some<F: Future>(future: &mut Pin<&mut F>) -> Option<F::Output> {
    (0..16).find_map(|_| poll_once(future))
}

/// What a future gives whose bytes are all at hand.
pub fn now<F: Future>(future: F) -> F::Output {
    poll_once(&mut pin!(future)).expect("nothing to wait for")
}

/// A peer that has said everything already and takes whatever it is told.
struct Script(Vec<u8>, usize);

impl Script {
    fn new(bytes: &[u8]) -> Self {
        Self(bytes.to_vec(), 0)
    }
}

impl hyper::rt::Read for Script {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, mut to: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let length = to.remaining().min(self.0.len() - self.1);
        to.put_slice(&self.0[self.1..self.1 + length]);
        self.1 += length;
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Script {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A stream that gives no more than so many bytes in one read.
pub struct Pieces<'a> {
    pub rest: &'a [u8],
    pub size: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (now, rest) = self.rest.split_at(self.size.min(self.rest.len()).min(to.remaining()));
        to.put_slice(now);
        self.rest = rest;
        Poll::Ready(Ok(()))
    }
}

/// Nothing is answered.
impl AsyncWrite for Pieces<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
