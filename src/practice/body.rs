//! Bodies: the one type both servers answer with, and a tap that counts and hashes what flows by.

use std::error::Error;
use std::fmt::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use sha2::{Digest, Sha256};

use super::record::{BodySeen, Record};

pub(super) type BodyError = Box<dyn Error + Send + Sync>;
pub(super) type Body = UnsyncBoxBody<Bytes, BodyError>;

pub(super) fn text(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

pub(super) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A request body that writes its length and hash into the record; nothing is held back.
pub(super) struct Tapped {
    inner: Incoming,
    record: Record,
    index: usize,
    hash: Sha256,
}

impl Tapped {
    /// `index` is the request's place in the record.
    pub fn new(inner: Incoming, record: Record, index: usize) -> Self {
        let mut tapped = Self { inner, record, index, hash: Sha256::new() };
        if tapped.inner.is_end_stream() {
            tapped.finish();
        }
        tapped
    }

    fn finish(&mut self) {
        let sha256 = hex(&self.hash.finalize_reset());
        self.change(|body| _ = body.sha256.get_or_insert(sha256));
    }

    fn change(&self, change: impl FnOnce(&mut BodySeen)) {
        self.record.update(self.index, |seen| change(&mut seen.body));
    }

    fn look(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            self.hash.update(data);
            self.change(|body| body.bytes += data.len() as u64);
        }
        if let Some(trailers) = frame.trailers_ref() {
            self.change(|body| body.trailers = Some(trailers.clone()));
        }
    }
}

impl HttpBody for Tapped {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => self.look(frame),
            Some(Err(_)) => {}
            None => self.finish(),
        }
        // With Content-Length, a consumer may stop at the last byte and never poll for the end.
        if self.inner.is_end_stream() {
            self.finish();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
