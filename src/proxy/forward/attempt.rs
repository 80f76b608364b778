//! One sending of a request on one connection: the body up and the answer down at the same time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::request::{Request, binds_connection};
use super::{MAX_AHEAD, Story};
use crate::audit::End;
use crate::http1::{Body, HttpError, ReadError, Reader, ResponseHead, Wire};
use crate::proxy::pump::{self, DownloadError, Replay, UploadError, client_end};
use crate::upstream::lockout::Lockout;
use crate::upstream::{Hearing, Lease, MAX_RESPONSE_HEAD, reaches_origin};

/// How long the body waits for a `100 Continue` that we asked for ourselves (RFC 9110 §10.1.1).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// How long an answer may still be read after the upstream stopped taking the body.
const REFUSED_BODY_WAIT: Duration = Duration::from_secs(5);

/// What one sending led to.
pub(super) enum Attempt {
    /// The upstream wants (more) credentials. `body_done`: nothing of the request is left to send.
    Challenged {
        head: ResponseHead,
        body_done: bool,
    },
    Switching(ResponseHead),
    /// The answer went to the client whole.
    Complete {
        status: u16,
        reusable: bool,
        keep_client: bool,
        pins: bool,
    },
    /// Something ended before the answer did; the client must not take it for whole.
    Cut(End),
    NoAnswer(ReadError),
    /// The upstream fell silent where only itself can be the reason. `proved`: the secret was shown.
    TimedOut {
        proved: bool,
    },
    BadAnswer(ReadError),
    BadBody(HttpError),
    /// It takes no `Expect`, and the client had sent none.
    ExpectationFailed,
}

pub(super) struct Sending<'a> {
    pub request: &'a Request,
    pub pseudonym: &'a str,
    pub ask_first: bool,
    pub keep_client: bool,
    pub was_pinned: bool,
    pub handshake_timeout: Duration,
    pub lockout: &'a Lockout,
    /// The client takes the end of its connection for the end of the answer.
    pub ends_by_close: AtomicBool,
}

/// What the two directions tell each other.
#[derive(Default)]
struct Signals {
    uploaded: AtomicBool,
    /// The upstream closed its ears; what it has to say comes, if at all, soon.
    deaf: AtomicBool,
    go_on: Notify,
    deafened: Notify,
}

impl Sending<'_> {
    pub async fn run(
        &self,
        client: &mut Wire<TcpStream>,
        lease: &mut Lease,
        body: &mut Body,
        replay: &mut Replay,
        story: &mut Story,
    ) -> Attempt {
        let to_origin = reaches_origin(&lease.hop);
        let answering = Answering {
            is_origin: to_origin,
            begin: lease.awaits_challenge().then_some(self.handshake_timeout),
            end: (!to_origin).then_some(self.handshake_timeout),
            proved: lease.proves_now(),
        };
        let head = self.request.head_for(&lease.hop, self.ask_first, lease.credentials.as_ref());
        let (mut from_client, mut to_client) = client.split();
        let (wire, mut hearing) = lease.parts();
        let (mut from_upstream, mut to_upstream) = wire.split();
        if let Err(error) = send_head(&mut to_upstream, &head).await {
            return Attempt::NoAnswer(error.into());
        }
        let signals = Signals::default();
        tokio::select! {
            // In this order, so that an answer that is here already never finds the body unsent.
            biased;
            attempt = self.send_body(&mut from_client, &mut to_upstream, body, replay, &signals) => attempt,
            attempt = self.pass_answer(&mut from_upstream, &mut to_client, &answering, &signals, story, &mut hearing) => attempt,
        }
    }

    /// Ends only when the client does, or its body makes no sense.
    async fn send_body<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        &self,
        client: &mut Reader<'_, R>,
        upstream: &mut W,
        body: &mut Body,
        replay: &mut Replay,
        signals: &Signals,
    ) -> Attempt {
        if self.ask_first {
            // No word from an upstream that ignores the question is a yes (RFC 9110 §10.1.1).
            let _ = timeout(CONTINUE_WAIT, signals.go_on.notified()).await;
        }
        match pump::upload(client, body, replay, self.request.is_chunked(), upstream).await {
            Ok(()) => signals.uploaded.store(true, Ordering::Relaxed),
            Err(UploadError::Client(error)) => {
                return match pump::malformed(&error) {
                    Some(error) => Attempt::BadBody(error),
                    None => Attempt::Cut(client_end(&error)),
                };
            }
            Err(UploadError::Upstream) => {
                signals.deaf.store(true, Ordering::Relaxed);
                signals.deafened.notify_one();
                return std::future::pending().await;
            }
        }
        if self.request.persists {
            let left = client.ended(MAX_AHEAD).await;
            // The answer is nobody's any more, but others may need the verdict in it.
            let _not_for_ever = timeout(self.handshake_timeout, self.lockout.verdict()).await;
            return Attempt::Cut(client_end(&left));
        }
        std::future::pending().await
    }

    async fn pass_answer<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        &self,
        upstream: &mut Reader<'_, R>,
        client: &mut W,
        answering: &Answering,
        signals: &Signals,
        story: &mut Story,
        hearing: &mut Hearing<'_>,
    ) -> Attempt {
        let head = match self.final_head(upstream, client, answering, signals).await {
            Ok(head) => head,
            Err(attempt) => return attempt,
        };
        if head.status != 407 || answering.is_origin {
            hearing.hears(head.status);
        }
        if head.status == 101 {
            return Attempt::Switching(self.switching(&head));
        }
        let body_done = signals.uploaded.load(Ordering::Relaxed);
        if head.status == 407 && !answering.is_origin {
            return Attempt::Challenged { head, body_done };
        }
        if head.status == 417 && self.ask_first && !self.request.expects_continue {
            return Attempt::ExpectationFailed;
        }
        let mut body = match Body::of_response(&self.request.line.method, &head) {
            Ok(body) => body,
            Err(error) => return Attempt::BadAnswer(error.into()),
        };
        story.answered(head.status);
        let until_close = body.ends_at_close() || (matches!(body, Body::Chunked(_)) && !self.request.takes_chunks());
        let upstream_persists = head.persists() && !body.ends_at_close();
        // A body that the upstream closes its ears to, or that it was not asked for, stays in the way.
        let in_the_way = !body_done && (!head.persists() || self.request.expects_continue);
        let keep_client = self.keep_client && !until_close && !in_the_way && (!self.was_pinned || upstream_persists);
        let chunked = matches!(body, Body::Chunked(_)) && self.request.takes_chunks();
        let (status, pins) = (head.status, self.request.binds || binds_connection(&head));
        let answer = self.request.answer(head, &body, keep_client, self.pseudonym).to_bytes();
        self.ends_by_close.store(until_close, Ordering::Relaxed);
        let sent = &mut story.record.bytes_down;
        match pump::answer(answer, upstream, &mut body, chunked, client, sent).await {
            Ok(()) => {
                let body_done = signals.uploaded.load(Ordering::Relaxed);
                Attempt::Complete {
                    status,
                    reusable: upstream_persists && body_done,
                    keep_client: keep_client && body_done,
                    pins,
                }
            }
            Err(error) => Attempt::Cut(error.end()),
        }
    }

    /// The first head that is not interim; those go to the client as they come (RFC 9110 §15.2).
    async fn final_head<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        &self,
        upstream: &mut Reader<'_, R>,
        client: &mut W,
        answering: &Answering,
        signals: &Signals,
    ) -> Result<ResponseHead, Attempt> {
        let mut begun = false;
        loop {
            let head = tokio::select! {
                head = answering.head(upstream) => head.ok_or(Attempt::TimedOut { proved: answering.proved })?,
                () = given_up(signals) => Err(ReadError::Truncated),
            };
            let mut head = match head {
                Ok(head) => head,
                Err(error @ ReadError::Http(_)) => return Err(Attempt::BadAnswer(error)),
                Err(error) if begun || upstream.has_bytes() => return Err(Attempt::BadAnswer(error)),
                Err(error) => return Err(Attempt::NoAnswer(error)),
            };
            if head.status == 101 && !(self.request.upgrades && signals.uploaded.load(Ordering::Relaxed)) {
                return Err(Attempt::BadAnswer(HttpError::UnaskedUpgrade.into()));
            }
            if !head.is_informational() || head.status == 101 {
                return Ok(head);
            }
            begun = true;
            let asked = head.status != 100 || self.request.expects_continue;
            if head.status == 100 {
                signals.go_on.notify_one();
            }
            if asked && self.request.takes_chunks() {
                head.fields.strip_hop_by_hop();
                head.fields.remove("content-length");
                send_head(client, &head.to_bytes())
                    .await
                    .map_err(|error| Attempt::Cut(DownloadError::Client(error).end()))?;
            }
        }
    }

    fn switching(&self, head: &ResponseHead) -> ResponseHead {
        let mut answer = head.clone();
        answer.fields.strip_hop_by_hop();
        answer.fields.remove("content-length");
        for value in head.fields.all("upgrade") {
            answer.fields.push("Upgrade", value);
        }
        answer.fields.push("Connection", "Upgrade");
        answer
    }
}

/// Who answers, and how long it may be silent where no origin can be the reason.
struct Answering {
    /// The origin itself: nobody on the way understands HTTP.
    is_origin: bool,
    /// Before its answer.
    begin: Option<Duration>,
    /// From the first byte of a head to its last.
    end: Option<Duration>,
    /// What was sent shows the secret.
    proved: bool,
}

impl Answering {
    /// `None`: it did not come in time.
    async fn head<R: AsyncRead + Unpin>(
        &self,
        upstream: &mut Reader<'_, R>,
    ) -> Option<Result<ResponseHead, ReadError>> {
        match within(self.begin, upstream.begun()).await? {
            Ok(()) => within(self.end, upstream.response(MAX_RESPONSE_HEAD)).await,
            Err(error) => Some(Err(error)),
        }
    }
}

async fn within<T>(limit: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => timeout(limit, work).await.ok(),
        None => Some(work.await),
    }
}

async fn given_up(signals: &Signals) {
    if !signals.deaf.load(Ordering::Relaxed) {
        signals.deafened.notified().await;
    }
    tokio::time::sleep(REFUSED_BODY_WAIT).await;
}

async fn send_head<W: AsyncWrite + Unpin>(to: &mut W, head: &[u8]) -> std::io::Result<()> {
    to.write_all(head).await?;
    to.flush().await
}
