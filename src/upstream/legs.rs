//! The 407 talk around a request with a body: before it by safe legs, after it when it was challenged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::timeout;

use super::attempts::Patience;
use super::handshake::{leg, may_send_again};
use super::lease::{BodyHint, Lease};
use super::{ConnectCause, Upstream, Upstreams};
use crate::auth::{Action, Exchange, RequestLine, Start};
use crate::http1::{Fields, RequestHead, ResponseHead, Version};
use crate::route::Hop;

/// What a 407 to a leased request leads to.
pub enum Verdict {
    /// Send the request again on this one.
    Again(Box<Lease>),
    Refused(ConnectCause),
}

impl Upstreams {
    /// A body must not go out before the upstream has said yes, unless it can be sent again.
    pub(super) fn needs_safe_legs(&self, upstream: &Upstream, lease: &Lease, body: BodyHint) -> bool {
        if lease.authenticated || body == BodyHint::Empty {
            return false;
        }
        let known = self.live.known(&self.key(upstream));
        known.start.is_some_and(Start::has_several_legs) || (body == BodyHint::Long && !known.is_settled())
    }

    /// The legs by `HEAD` on the same URI: safe by definition (RFC 9110 §9.2.1) wherever it ends up. The request
    /// itself carries the last message. `proved` is set before the secret is shown.
    pub(super) async fn safe_legs(
        &self,
        upstream: &Upstream,
        lease: &mut Lease,
        line: &RequestLine,
        proved: &AtomicBool,
    ) -> Result<(), ConnectCause> {
        let head = safe_head(line);
        let safe_line = RequestLine { method: head.method.clone(), uri: head.target.clone() };
        loop {
            proved.fetch_or(lease.exchange.as_ref().is_some_and(Exchange::proves_now), Ordering::Relaxed);
            let answer = match leg(&mut lease.wire, &head, lease.credentials.as_ref(), self.live.witness()).await {
                Ok(answer) if answer.status == 407 => answer,
                Ok(answer) => return self.after_safe_answer(upstream, lease, line, &answer).await,
                Err(error) => {
                    may_send_again(lease.exchange.as_mut().ok_or(ConnectCause::Unknown)?, error)?;
                    self.redial(upstream, lease, &safe_line).await?;
                    continue;
                }
            };
            // What answers the challenge goes with the request itself where it is the last message.
            match self.next_leg(upstream, lease, &head.method, line, &answer).await? {
                Action::Send(credentials) => lease.credentials = Some(credentials),
                Action::Reconnect | Action::Wait(_) => {
                    self.redial(upstream, lease, &safe_line).await?;
                    continue;
                }
                Action::Refuse(refusal) => return Err(self.refused(upstream, refusal)),
            }
            if lease.exchange.as_ref().is_some_and(Exchange::proves_now) {
                return Ok(());
            }
        }
    }

    /// The safe request was let through: the connection is authenticated, or nobody asks.
    async fn after_safe_answer(
        &self,
        upstream: &Upstream,
        lease: &mut Lease,
        line: &RequestLine,
        answer: &ResponseHead,
    ) -> Result<(), ConnectCause> {
        self.settle(lease, answer.status);
        if !answer.persists() || !lease.is_clean() {
            *lease = self.fresh(upstream, lease.key.clone(), Patience::Full).await?;
        }
        lease.credentials = None;
        // Known now: a scheme of single requests opens again with the request's own line.
        self.open(upstream, lease, line).await
    }

    async fn next_leg(
        &self,
        upstream: &Upstream,
        lease: &mut Lease,
        method: &str,
        line: &RequestLine,
        answer: &ResponseHead,
    ) -> Result<Action, ConnectCause> {
        let exchange = lease.exchange.take().ok_or(ConnectCause::Unknown)?;
        let (exchange, action) = self.respond(upstream, exchange, &mut lease.wire, method, line, answer).await?;
        lease.exchange = Some(exchange);
        Ok(action)
    }

    async fn redial(&self, upstream: &Upstream, lease: &mut Lease, line: &RequestLine) -> Result<(), ConnectCause> {
        let dialled = self.dial(upstream, Patience::Full).await?;
        if let Some(exchange) = &mut lease.exchange {
            exchange.rebind(dialled.binding.clone());
        }
        lease.wire = dialled.wire;
        lease.binding = dialled.binding;
        lease.reused = false;
        lease.authenticated = false;
        lease.credentials = None;
        self.open(upstream, lease, line).await
    }

    /// A 407 to a leased request. `body_done`: nothing of the request is left to send on this connection.
    pub async fn challenged(
        &self,
        mut lease: Lease,
        line: &RequestLine,
        answer: &ResponseHead,
        body: BodyHint,
        body_done: bool,
    ) -> Verdict {
        let proved = AtomicBool::new(false);
        let prepare = self.answer_challenge(&mut lease, line, answer, body, body_done, &proved);
        match timeout(self.handshake_timeout, prepare).await {
            Ok(Ok(())) => Verdict::Again(Box::new(lease)),
            Ok(Err(cause)) => Verdict::Refused(cause),
            Err(_) => Verdict::Refused(self.timed_out(&proved)),
        }
    }

    async fn answer_challenge(
        &self,
        lease: &mut Lease,
        line: &RequestLine,
        answer: &ResponseHead,
        body: BodyHint,
        body_done: bool,
        proved: &AtomicBool,
    ) -> Result<(), ConnectCause> {
        let upstream = &self.upstream_of(lease).ok_or(ConnectCause::Unknown)?;
        self.live.demands(&self.key(upstream));
        lease.demanded = true;
        if lease.authenticated {
            self.live.asks_each_time(&self.key(upstream));
        }
        // The rest of the body cannot be called back: this connection is spent.
        let seen = if body_done { answer.clone() } else { closing(answer) };
        match self.next_leg(upstream, lease, &line.method, line, &seen).await? {
            Action::Send(credentials) => {
                lease.credentials = Some(credentials);
                lease.authenticated = false;
                lease.reused = false;
            }
            Action::Reconnect | Action::Wait(_) => self.redial(upstream, lease, line).await?,
            Action::Refuse(refusal) => return Err(self.refused(upstream, refusal)),
        }
        // What was refused once is sent again with the proof, not with the messages before it: a connection that
        // ends among those would leave open what became of the request.
        let proves = lease.exchange.as_ref().is_some_and(Exchange::proves_now);
        if body == BodyHint::Empty || proves || !lease.start().is_some_and(Start::has_several_legs) {
            return Ok(());
        }
        self.safe_legs(upstream, lease, line, proved).await
    }

    /// A 407 to a request that cannot be sent again: nothing more is sent, but it may have been a verdict.
    pub async fn challenged_too_late(
        &self,
        mut lease: Lease,
        line: &RequestLine,
        answer: &ResponseHead,
    ) -> Option<ConnectCause> {
        let upstream = &self.upstream_of(&lease)?;
        self.live.demands(&self.key(upstream));
        match self.next_leg(upstream, &mut lease, &line.method, line, &closing(answer)).await {
            Ok(Action::Refuse(refusal)) => Some(self.refused(upstream, refusal)),
            Ok(Action::Send(_) | Action::Reconnect | Action::Wait(_)) | Err(_) => None,
        }
    }

    /// The connection broke without an answer to the request. `None`: it may not be sent again.
    pub async fn after_break(&self, mut lease: Lease, line: &RequestLine) -> Result<Option<Lease>, ConnectCause> {
        let Some(upstream) = &self.upstream_of(&lease) else { return Ok(None) };
        if lease.exchange.as_mut().is_none_or(|exchange| exchange.on_break().is_err()) {
            return Ok(None);
        }
        timeout(self.handshake_timeout, self.redial(upstream, &mut lease, line))
            .await
            .map_err(|_| self.timed_out(&AtomicBool::new(false)))??;
        Ok(Some(lease))
    }

    fn upstream_of(&self, lease: &Lease) -> Option<Arc<Upstream>> {
        match &lease.hop {
            Hop::Direct => None,
            Hop::Upstream(endpoint) => Some(self.find(endpoint)),
        }
    }
}

/// An answer after which the connection is not used again, whatever it says itself.
fn closing(answer: &ResponseHead) -> ResponseHead {
    let mut answer = answer.clone();
    answer.fields.push("Connection", "close");
    answer
}

fn safe_head(line: &RequestLine) -> RequestHead {
    let host = line.uri.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?']).next().unwrap_or_default());
    let fields: Fields = [("Host", host), ("Proxy-Connection", "Keep-Alive")].into_iter().collect();
    RequestHead { method: "HEAD".into(), target: line.uri.clone(), version: Version::Http11, fields }
}
