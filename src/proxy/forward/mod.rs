//! Absolute-form requests: the client's message goes on as it is, the answer comes back as it is, and the 407
//! talk in between is ours.

mod attempt;
mod request;

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::routing::{Course, Wanted};
use super::{Client, Next, Phase, Proxy, Shared, Story, pump, respond, tunnel};
use crate::address::Target;
use crate::audit::End;
use crate::http1::{Body, ReadError, RequestHead, ResponseHead, Wire};
use crate::listener::Peer;
use crate::relay::{Doubted, Relay, doubt_peer, reset_on_close, watch_peer};
use crate::upstream::{BodyHint, ConnectCause, ConnectError, Lease, Loss, Verdict, reaches_origin};
use attempt::{Attempt, Sending};
use pump::{Replay, client_end};
use request::Request;
use respond::Problem;

/// What a client may send ahead while it waits for an answer.
const MAX_AHEAD: usize = 64 * 1024;

/// More sendings of one request than any upstream needs.
const MAX_ATTEMPTS: usize = 16;

/// A connection that an origin authenticated for this client alone (RFC 4559 §6).
pub(super) struct Pin {
    origin: Target,
    /// Few clients have one, and then for long.
    lease: Box<Lease>,
    /// What leads somewhere in one network leads nowhere in another.
    network: u64,
}

/// Waits until the pinned connection ends; for ever where there is none.
pub(super) async fn pin_lost(pin: &mut Option<Pin>) {
    match pin {
        Some(pin) => drop(pin.lease.wire.stream.tcp().peek(&mut [0]).await),
        None => std::future::pending().await,
    }
}

/// Why there is no (further) connection for a request.
enum Failure {
    Connect(ConnectError),
    Problem(Problem),
}

pub(super) async fn serve(
    client: &mut Client,
    head: RequestHead,
    proxy: &Arc<Proxy>,
    shared: &mut Shared,
    pin: &mut Option<Pin>,
) -> Next {
    let mut story = Story::of_request(&client.peer, proxy, &head);
    let begun = match Request::read(head, proxy) {
        Ok(request) => begin(request, &mut story, &client.peer, proxy, shared).await,
        Err(problem) => Err(problem),
    };
    let (request, course) = match begun {
        Ok(begun) => begun,
        Err(problem) => {
            Box::pin(respond::refuse(client, story, &problem)).await;
            return Next::Close;
        }
    };
    let body = request.body.clone();
    let mut forward = Forward { client, request, course, body, replay: Replay::default(), story };
    match forward.run(shared, pin).await {
        Ended::At(end) => forward.end(end),
        Ended::Answered { keep_client: true } => {
            forward.story.end(End::Done);
            Next::Request
        }
        Ended::Answered { keep_client: false } => Box::pin(forward.close()).await,
        Ended::Failed(failure) => Box::pin(forward.fail(failure)).await,
    }
}

/// The way of a request that may go on.
async fn begin(
    request: Request,
    story: &mut Story,
    peer: &Peer,
    proxy: &Arc<Proxy>,
    shared: &mut Shared,
) -> Result<(Request, Course), Problem> {
    let target = &request.url.target;
    match Course::find(&Wanted::forward(&request.url), peer, proxy, shared).await {
        Ok(course) => {
            story.routed(target, &course.route, &course.proxy);
            Ok((request, course))
        }
        Err((none, proxy)) => {
            story.not_routed(target, &none, &proxy);
            Err(Problem::of_no_route(&none, target))
        }
    }
}

/// How one comes to its end.
enum Ended {
    /// Cut off, or it has become something else and that is over too.
    At(End),
    Answered {
        keep_client: bool,
    },
    Failed(Failure),
}

/// One request on its way.
struct Forward<'a> {
    client: &'a mut Client,
    request: Request,
    course: Course,
    /// Where reading the client's body has come to, over all sendings.
    body: Body,
    replay: Replay,
    story: Story,
}

impl Forward<'_> {
    async fn run(&mut self, shared: &mut Shared, pin: &mut Option<Pin>) -> Ended {
        let network = self.course.proxy.upstreams.live.network();
        let stays = |pin: &Pin| pin.origin == self.request.url.target && pin.network == network;
        let mut pinned = pin.take().filter(stays);
        if pinned
            .as_mut()
            .is_some_and(|pin| !self.course.proxy.upstreams.is_current(&mut pin.lease, &self.course.route))
        {
            pinned = None;
        }
        let was_pinned = pinned.is_some();
        let mut lease = match self.lease_anywhere(pinned, false, shared).await {
            Ok(Ok(lease)) => lease,
            Ok(Err(failure)) => return Ended::Failed(failure),
            Err(end) => return Ended::At(end),
        };
        let mut ask_first = self.request.hint == BodyHint::Long && lease.may_be_challenged();
        for _ in 0..MAX_ATTEMPTS {
            // The next request had better come by another way than this connection.
            let leaving = *shared.phase.borrow() > Phase::Serving;
            let (upstream, keepalive) = (lease.wire.stream.tcp(), self.course.proxy.keepalive);
            let doubted = if lease.reused && self.request.hint == BodyHint::Empty {
                doubt_peer(upstream, keepalive)
            } else {
                watch_peer(upstream, keepalive);
                None
            };
            let (attempt, ends_by_close) = {
                let sending = Sending {
                    request: &self.request,
                    pseudonym: &self.course.proxy.pseudonym,
                    ask_first,
                    keep_client: self.request.persists && !leaving,
                    was_pinned,
                    handshake_timeout: self.course.proxy.upstreams.handshake_timeout,
                    lockout: self.course.proxy.upstreams.live.lockout(),
                    ends_by_close: AtomicBool::new(false),
                };
                self.story.record.hop = Some(lease.hop.to_string().into());
                let mut footing = self.course.proxy.upstreams.live.footing(lease.wire.stream.tcp());
                let attempt = tokio::select! {
                    attempt = Box::pin(sending.run(
                        &mut self.client.wire, &mut lease, &mut self.body, &mut self.replay, &mut self.story,
                    )) => attempt,
                    never = trusted_again(doubted.as_ref(), self.course.proxy.keepalive) => match never {},
                    lost = footing.lost() => match lost {
                        Loss::Relay => Attempt::Cut(End::Drained),
                        Loss::Address => {
                            sending.ends_by_close.store(true, Ordering::Relaxed);
                            Attempt::Cut(End::UpstreamReset)
                        }
                    },
                };
                (attempt, sending.ends_by_close.into_inner())
            };
            self.story.record.bytes_up = self.replay.taken;
            self.story.record.scheme = lease.scheme();
            let next = match attempt {
                Attempt::Challenged { head, body_done } => {
                    Box::pin(self.answer_challenge(lease, &head, body_done)).await
                }
                Attempt::NoAnswer(error) if lease.reused && self.can_repeat() => {
                    drop(lease);
                    if is_silence(&error) {
                        self.course.proxy.upstreams.live.drop_idle();
                    }
                    match Box::pin(self.lease_anywhere(None, true, shared)).await {
                        Ok(next) => next,
                        Err(end) => return Ended::At(end),
                    }
                }
                Attempt::NoAnswer(error) => Box::pin(self.send_again(lease, error)).await,
                Attempt::ExpectationFailed if !self.replay.is_possible() => {
                    Err(Failure::Problem(Problem::expectation_failed()))
                }
                Attempt::ExpectationFailed => {
                    ask_first = false;
                    Box::pin(self.lease(true)).await.map_err(Failure::Connect)
                }
                Attempt::Complete { status, reusable, keep_client, pins } => {
                    self.course.proxy.upstreams.settle(&mut lease, status);
                    let pinned = pins || was_pinned;
                    // Whoever takes it from the idle ones looks at its socket.
                    let reusable = reusable && if pinned { lease.is_clean() } else { lease.wire.buffer.is_empty() };
                    if reusable && pinned {
                        let origin = self.request.url.target.clone();
                        *pin = Some(Pin { origin, lease: Box::new(lease), network });
                    } else if reusable {
                        self.course.proxy.upstreams.give_back(lease);
                    } else {
                        drop(lease);
                    }
                    return Ended::Answered { keep_client };
                }
                Attempt::Switching(head) => return Ended::At(Box::pin(self.switch(lease, head)).await),
                Attempt::Cut(end) => {
                    if ends_by_close {
                        reset_on_close(&self.client.wire.stream);
                    }
                    return Ended::At(end);
                }
                Attempt::TimedOut { proved } => {
                    let limit = self.course.proxy.upstreams.handshake_timeout;
                    let cause = ConnectCause::HandshakeTimeout { limit, proved };
                    Err(Failure::Connect(ConnectError::new(&self.request.url.target, &lease.hop, cause)))
                }
                Attempt::BadBody(error) => Err(Failure::Problem(Problem::bad_message(error))),
                Attempt::BadAnswer(error) => Err(Failure::Problem(Problem::broken_answer(&error))),
            };
            match next {
                Ok(next) => lease = next,
                Err(failure) => return Ended::Failed(failure),
            }
        }
        let endless = crate::auth::Refusal::Endless;
        Ended::Failed(Failure::Problem(Problem::broken_answer(&endless)))
    }

    /// As long as nothing has been sent, or it may be sent again, another place may mean another route.
    async fn lease_anywhere(
        &mut self,
        mut pinned: Option<Pin>,
        fresh: bool,
        shared: &mut Shared,
    ) -> Result<Result<Lease, Failure>, End> {
        loop {
            if self.request.url.scheme != "http" {
                self.course.route.hops.retain(|hop| !reaches_origin(hop));
            }
            if self.course.route.hops.is_empty() {
                return Ok(Err(Failure::Problem(Problem::only_http_directly())));
            }
            let error = match self.lease_unless_left(pinned.take(), fresh).await? {
                Ok(lease) => return Ok(Ok(lease)),
                Err(error) => error,
            };
            let wanted = Wanted::forward(&self.request.url);
            if !Box::pin(self.course.find_again(&error, &wanted, &self.client.peer, shared)).await {
                return Ok(Err(Failure::Connect(error)));
            }
            self.story.routed(&wanted.target, &self.course.route, &self.course.proxy);
        }
    }

    /// `Err`: the client left in the meantime.
    async fn lease_unless_left(
        &mut self,
        pinned: Option<Pin>,
        fresh: bool,
    ) -> Result<Result<Lease, ConnectError>, End> {
        let (upstreams, Request { url, line, hint, .. }) = (&self.course.proxy.upstreams, &self.request);
        let mut leasing = pin!(async {
            match pinned {
                Some(pin) => Box::pin(upstreams.renew(*pin.lease, line)).await,
                None => upstreams.lease(&self.course.route, &url.target, line, *hint, fresh).await,
            }
        });
        // A client that asked for the end of its connection may have ended its own side of it already.
        let watched = self.request.persists;
        let mut reader = self.client.wire.reader();
        tokio::select! {
            lease = &mut leasing => Ok(lease),
            left = reader.ended(MAX_AHEAD), if watched => {
                // As with a CONNECT: others need the verdict.
                tokio::select! {
                    _ = &mut leasing => {}
                    () = upstreams.live.lockout().verdict() => {}
                }
                Err(client_end(&left))
            }
        }
    }

    async fn lease(&self, fresh: bool) -> Result<Lease, ConnectError> {
        let Request { url, line, hint, .. } = &self.request;
        self.course.proxy.upstreams.lease(&self.course.route, &url.target, line, *hint, fresh).await
    }

    async fn answer_challenge(&self, lease: Lease, head: &ResponseHead, body_done: bool) -> Result<Lease, Failure> {
        let hop = lease.hop.clone();
        let target = self.request.url.target.clone();
        if !self.replay.is_possible() {
            return Err(match self.course.proxy.upstreams.challenged_too_late(lease, &self.request.line, head).await {
                Some(cause) => Failure::Connect(ConnectError::new(&target, &hop, cause)),
                None => Failure::Problem(Problem::body_gone()),
            });
        }
        match self
            .course
            .proxy
            .upstreams
            .challenged(lease, &self.request.line, head, self.request.hint, body_done)
            .await
        {
            Verdict::Again(lease) => Ok(*lease),
            Verdict::Refused(cause) => Err(Failure::Connect(ConnectError::new(&target, &hop, cause))),
        }
    }

    fn can_repeat(&self) -> bool {
        self.request.is_idempotent() && self.replay.is_possible()
    }

    /// No byte of an answer came. Only what is safe to repeat is sent again (RFC 9110 §9.2.2).
    async fn send_again(&self, lease: Lease, error: ReadError) -> Result<Lease, Failure> {
        let broken = Failure::Problem(Problem::broken_answer(&error));
        if !self.can_repeat() {
            return Err(broken);
        }
        let hop = lease.hop.clone();
        match self.course.proxy.upstreams.after_break(lease, &self.request.line).await {
            Ok(Some(lease)) => Ok(lease),
            Ok(None) => Err(broken),
            Err(cause) => Err(Failure::Connect(ConnectError::new(&self.request.url.target, &hop, cause))),
        }
    }

    /// `101 Switching Protocols`: from here on the connection is the other protocol's.
    async fn switch(&mut self, mut lease: Lease, head: ResponseHead) -> End {
        self.course.proxy.upstreams.settle(&mut lease, head.status);
        self.story.answered(head.status);
        let client = &mut self.client.wire;
        let upstream = lease.wire;
        watch_peer(&client.stream, self.course.proxy.keepalive);
        if client.stream.write_all(&head.to_bytes()).await.is_err() {
            return End::ClientReset;
        }
        let proxy = &self.course.proxy;
        watch_peer(upstream.stream.tcp(), proxy.keepalive);
        let mut footing = proxy.upstreams.live.footing(upstream.stream.tcp());
        let listed = self.story.opened(&self.client.peer);
        let Wire { stream, buffer } = &mut self.client.wire;
        let client = Wire { stream, buffer: std::mem::take(buffer) };
        let mut relay = Relay::new(client, upstream, proxy.relay, &listed.traffic);
        let end = poll_fn(|cx| tunnel::poll_relay(&mut relay, &mut footing, &listed.traffic, cx)).await;
        self.story.carried(&relay);
        tunnel::ending(end)
    }

    async fn fail(mut self, failure: Failure) -> Next {
        let problem = match failure {
            Failure::Connect(error) => {
                self.story.failed(&error);
                Problem::of_connect(&error)
            }
            Failure::Problem(problem) => problem,
        };
        respond::refuse(self.client, self.story, &problem).await;
        Next::Close
    }

    /// The answer was the last one on this connection.
    async fn close(self) -> Next {
        let Self { client, story, .. } = self;
        story.end(End::Done);
        if client.wire.stream.shutdown().await.is_ok() {
            pump::linger(&mut client.wire).await;
        }
        Next::Close
    }

    fn end(self, end: End) -> Next {
        self.story.end(end);
        Next::Close
    }
}

async fn trusted_again(doubted: Option<&Doubted>, keepalive: Option<Duration>) -> Infallible {
    match doubted {
        Some(doubted) => doubted.trust_again(keepalive).await,
        None => std::future::pending().await,
    }
}

/// Nobody acknowledged what was sent: connections of that age may all lead nowhere.
fn is_silence(error: &ReadError) -> bool {
    matches!(error, ReadError::Io(error) if error.kind() == ErrorKind::TimedOut)
}
