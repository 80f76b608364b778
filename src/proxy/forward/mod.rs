//! Absolute-form requests: the client's message goes on as it is, the answer comes back as it is, and the 407
//! talk in between is ours.

mod attempt;
mod request;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::io::AsyncWriteExt;

use super::routing::Asked;
use super::{Client, Next, Phase, Proxy, Shared, Story, connect, pump, reached, respond};
use crate::address::Target;
use crate::audit::End;
use crate::http1::{Body, ReadError, RequestHead, ResponseHead};
use crate::relay::{relay, reset_on_close, watch_peer};
use crate::route::{Hop, Route};
use crate::upstream::{BodyHint, ConnectError, Lease, Verdict};
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
    lease: Lease,
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
    let story = Story::of_request(&client.peer, proxy, &head);
    match Request::read(head, proxy) {
        Ok(request) => Forward::begin(client, request, story, proxy, shared, pin).await,
        Err(problem) => {
            respond::refuse(client, story, &problem).await;
            Next::Close
        }
    }
}

/// One request on its way.
struct Forward<'a> {
    client: &'a mut Client,
    proxy: &'a Arc<Proxy>,
    request: Request,
    route: Route,
    /// Where reading the client's body has come to, over all sendings.
    body: Body,
    replay: Replay,
    story: Story,
}

impl<'a> Forward<'a> {
    async fn begin(
        client: &'a mut Client,
        request: Request,
        mut story: Story,
        proxy: &'a Arc<Proxy>,
        shared: &mut Shared,
        pin: &mut Option<Pin>,
    ) -> Next {
        let mut route = match proxy.route(Asked::forward(&request.url), &mut story).await {
            Ok(route) => route,
            Err(problem) => {
                respond::refuse(client, story, &problem).await;
                return Next::Close;
            }
        };
        if request.url.scheme != "http" {
            route.hops.retain(|hop| *hop != Hop::Direct);
        }
        if route.hops.is_empty() {
            let problem = Problem::only_http_directly();
            respond::refuse(client, story, &problem).await;
            return Next::Close;
        }
        let body = request.body.clone();
        Self { client, proxy, request, route, body, replay: Replay::default(), story }.run(shared, pin).await
    }

    async fn run(mut self, shared: &mut Shared, pin: &mut Option<Pin>) -> Next {
        let mut pinned = pin.take().filter(|pin| pin.origin == self.request.url.target);
        if pinned.as_mut().is_some_and(|pin| !self.proxy.upstreams.is_current(&mut pin.lease, &self.route)) {
            pinned = None;
        }
        let was_pinned = pinned.is_some();
        let mut lease = match self.first_lease(pinned).await {
            Ok(Ok(lease)) => lease,
            Ok(Err(error)) => return self.fail(Failure::Connect(error)).await,
            Err(end) => return self.end(end),
        };
        let mut ask_first = self.request.hint == BodyHint::Long && lease.may_be_challenged();
        for _ in 0..MAX_ATTEMPTS {
            let draining = *shared.phase.borrow() >= Phase::Draining;
            watch_peer(lease.wire.stream.tcp(), self.proxy.keepalive);
            let (attempt, ends_by_close) = {
                let sending = Sending {
                    request: &self.request,
                    pseudonym: &self.proxy.pseudonym,
                    ask_first,
                    keep_client: self.request.persists && !draining,
                    was_pinned,
                    ends_by_close: AtomicBool::new(false),
                };
                self.story.record.hop = Some(lease.hop.to_string());
                let attempt = tokio::select! {
                    attempt = Box::pin(sending.run(
                        &mut self.client.wire, &mut lease, &mut self.body, &mut self.replay, &mut self.story,
                    )) => attempt,
                    () = reached(&mut shared.phase, Phase::Ending) => Attempt::Cut(End::Drained),
                };
                (attempt, sending.ends_by_close.into_inner())
            };
            self.story.record.bytes_up = self.replay.taken;
            self.story.record.scheme = lease.scheme().map(|scheme| scheme.to_string());
            let next = match attempt {
                Attempt::Challenged { head, body_done } => self.answer_challenge(lease, &head, body_done).await,
                Attempt::NoAnswer(error) => self.send_again(lease, error).await,
                Attempt::ExpectationFailed if !self.replay.is_possible() => {
                    Err(Failure::Problem(Problem::expectation_failed()))
                }
                Attempt::ExpectationFailed => {
                    ask_first = false;
                    self.lease(true).await.map_err(Failure::Connect)
                }
                Attempt::Complete { status, reusable, keep_client, pins } => {
                    self.proxy.upstreams.settle(&mut lease, status);
                    let reusable = reusable && lease.is_clean();
                    if reusable && (pins || was_pinned) {
                        *pin = Some(Pin { origin: self.request.url.target.clone(), lease });
                    } else if reusable {
                        self.proxy.upstreams.give_back(lease);
                    } else {
                        drop(lease);
                    }
                    let Self { client, story, .. } = self;
                    story.end(End::Done);
                    if keep_client {
                        return Next::Request;
                    }
                    if client.wire.stream.shutdown().await.is_ok() {
                        pump::linger(&mut client.wire).await;
                    }
                    return Next::Close;
                }
                Attempt::Switching(head) => return self.switch(lease, head, shared).await,
                Attempt::Cut(end) => {
                    if ends_by_close {
                        reset_on_close(&self.client.wire.stream);
                    }
                    return self.end(end);
                }
                Attempt::BadBody(error) => Err(Failure::Problem(Problem::bad_message(error))),
                Attempt::BadAnswer(error) => Err(Failure::Problem(Problem::broken_answer(&error))),
            };
            match next {
                Ok(next) => lease = next,
                Err(failure) => return self.fail(failure).await,
            }
        }
        let endless = crate::auth::Refusal::Endless;
        self.fail(Failure::Problem(Problem::broken_answer(&endless))).await
    }

    /// `Err`: the client left in the meantime.
    async fn first_lease(&mut self, pinned: Option<Pin>) -> Result<Result<Lease, ConnectError>, End> {
        let (upstreams, Request { url, line, hint, .. }) = (&self.proxy.upstreams, &self.request);
        let leasing = async {
            match pinned {
                Some(pin) => upstreams.renew(pin.lease, line).await,
                None => upstreams.lease(&self.route, &url.target, line, *hint, false).await,
            }
        };
        // A client that asked for the end of its connection may have ended its own side of it already.
        let watched = self.request.persists;
        let mut reader = self.client.wire.reader();
        tokio::select! {
            lease = leasing => Ok(lease),
            left = reader.ended(MAX_AHEAD), if watched => Err(client_end(&left)),
        }
    }

    async fn lease(&self, fresh: bool) -> Result<Lease, ConnectError> {
        let Request { url, line, hint, .. } = &self.request;
        self.proxy.upstreams.lease(&self.route, &url.target, line, *hint, fresh).await
    }

    async fn answer_challenge(&self, lease: Lease, head: &ResponseHead, body_done: bool) -> Result<Lease, Failure> {
        let hop = lease.hop.clone();
        let target = self.request.url.target.clone();
        if !self.replay.is_possible() {
            return Err(match self.proxy.upstreams.challenged_too_late(lease, &self.request.line, head).await {
                Some(cause) => Failure::Connect(ConnectError { target, hop, cause }),
                None => Failure::Problem(Problem::body_gone()),
            });
        }
        match self.proxy.upstreams.challenged(lease, &self.request.line, head, self.request.hint, body_done).await {
            Verdict::Again(lease) => Ok(*lease),
            Verdict::Refused(cause) => Err(Failure::Connect(ConnectError { target, hop, cause })),
        }
    }

    /// No byte of an answer came. Only what is safe to repeat is sent again (RFC 9110 §9.2.2).
    async fn send_again(&self, lease: Lease, error: ReadError) -> Result<Lease, Failure> {
        let broken = Failure::Problem(Problem::broken_answer(&error));
        if !self.request.is_idempotent() || !self.replay.is_possible() {
            return Err(broken);
        }
        if lease.reused {
            return self.lease(true).await.map_err(Failure::Connect);
        }
        let hop = lease.hop.clone();
        match self.proxy.upstreams.after_break(lease, &self.request.line).await {
            Ok(Some(lease)) => Ok(lease),
            Ok(None) => Err(broken),
            Err(cause) => Err(Failure::Connect(ConnectError { target: self.request.url.target.clone(), hop, cause })),
        }
    }

    /// `101 Switching Protocols`: from here on the connection is the other protocol's.
    async fn switch(mut self, mut lease: Lease, head: ResponseHead, shared: &mut Shared) -> Next {
        self.proxy.upstreams.settle(&mut lease, head.status);
        self.story.answered(head.status);
        let client = &mut self.client.wire;
        let mut upstream = lease.wire;
        watch_peer(&client.stream, self.proxy.keepalive);
        if client.stream.write_all(&head.to_bytes()).await.is_err() {
            return self.end(End::ClientReset);
        }
        let stop = reached(&mut shared.phase, Phase::Ending);
        let outcome = relay(client, &mut upstream, self.proxy.relay, stop).await;
        self.story.record.bytes_up += outcome.bytes_up;
        self.story.record.bytes_down += outcome.bytes_down;
        self.end(connect::ending(outcome.end))
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

    fn end(self, end: End) -> Next {
        self.story.end(end);
        Next::Close
    }
}
