//! A connection for requests with bodies: taken from the idle ones or made, its safe legs done beforehand.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::time::timeout;

use super::handshake::{leg, opening, respond};
use super::live::{Idle, PoolKey};
use super::stream::Stream;
use super::{ConnectCause, ConnectError, Failures, Upstream, Upstreams};
use crate::address::Target;
use crate::auth::{Action, ChannelBinding, Exchange, Outcome, Refusal, RequestLine, Scheme, Start};
use crate::http1::{Fields, ReadError, RequestHead, ResponseHead, Version, Wire};
use crate::route::{Hop, Route};
use crate::secret::Credentials;

/// What follows the request's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyHint {
    /// None at all, and the request can be sent twice.
    Empty,
    /// Short enough to be sent twice.
    Short,
    /// Must be sent once.
    Long,
}

/// A connection on which the request can be sent now.
pub struct Lease {
    pub wire: Wire<Stream>,
    pub hop: Hop,
    /// For the next request, if it needs any.
    pub credentials: Option<Credentials>,
    /// What NTLM and Negotiate on this connection are bound to.
    binding: Option<ChannelBinding>,
    /// It served another request before: a close without an answer says nothing about the upstream.
    pub reused: bool,
    /// The connection itself is authenticated.
    authenticated: bool,
    exchange: Option<Exchange>,
    key: PoolKey,
}

/// What a 407 to a leased request leads to.
pub enum Verdict {
    /// Send the request again on this one.
    Again(Box<Lease>),
    Refused(ConnectCause),
}

impl Lease {
    pub fn scheme(&self) -> Option<Scheme> {
        self.exchange.as_ref().and_then(|exchange| exchange.outcome().start).map(Start::scheme)
    }

    /// Nothing came that nobody asked for: whose answer would it become?
    pub fn is_clean(&mut self) -> bool {
        self.wire.buffer.is_empty() && self.wire.stream.is_quiet()
    }

    /// What is sent may be out of date although the secret is good, a nonce or a ticket: a long body may be met
    /// by a 407 after all.
    pub fn may_be_challenged(&self) -> bool {
        let start = self.exchange.as_ref().and_then(|exchange| exchange.outcome().start);
        self.credentials.is_some() && matches!(start, Some(Start::Scheme(Scheme::Digest | Scheme::Negotiate)))
    }
}

impl Upstreams {
    /// Tries the hops in order.
    pub async fn lease(
        &self,
        route: &Route,
        origin: &Target,
        line: &RequestLine,
        body: BodyHint,
        fresh: bool,
    ) -> Result<Lease, ConnectError> {
        let mut failures = Failures::default();
        for hop in &route.hops {
            match self.lease_by(hop, origin, line, body, fresh).await {
                Ok(lease) => return Ok(lease),
                Err(cause) => {
                    if !failures.note(ConnectError { target: origin.clone(), hop: hop.clone(), cause }) {
                        break;
                    }
                }
            }
        }
        Err(failures.verdict(origin))
    }

    async fn lease_by(
        &self,
        hop: &Hop,
        origin: &Target,
        line: &RequestLine,
        body: BodyHint,
        fresh: bool,
    ) -> Result<Lease, ConnectCause> {
        let key = PoolKey { hop: hop.clone(), generation: self.generation(hop)?, origin: origin.clone() };
        let idle = if fresh { None } else { self.live.take(&key, Instant::now()) };
        match (hop, idle) {
            (Hop::Direct, Some(idle)) => Ok(Lease::direct(key, idle.wire, true)),
            (Hop::Direct, None) => {
                let stream = self.dialer.dial(origin).await?;
                Ok(Lease::direct(key, Wire::new(Stream::Tcp(stream)), false))
            }
            (Hop::Upstream(endpoint), idle) => {
                let upstream = self.find(endpoint)?;
                let mut lease = match idle {
                    Some(idle) => self.reuse(upstream, key, idle),
                    None => self.fresh(upstream, key).await?,
                };
                let proved = AtomicBool::new(false);
                let prepare = async {
                    self.open(&mut lease, line).await?;
                    if self.needs_safe_legs(upstream, &lease, body) {
                        lease = self.safe_legs(upstream, lease, line, &proved).await?;
                    }
                    Ok(lease)
                };
                timeout(self.handshake_timeout, prepare).await.map_err(|_| self.timed_out(&proved))?
            }
        }
    }

    fn reuse(&self, upstream: &Upstream, key: PoolKey, idle: Idle) -> Lease {
        let known = self.live.known(&self.key(upstream));
        let exchange = Exchange::new(self.plan(upstream, idle.binding.clone()));
        let authenticated = idle.authenticated && !known.per_request;
        Lease {
            wire: idle.wire,
            binding: idle.binding,
            hop: key.hop.clone(),
            credentials: None,
            reused: true,
            authenticated,
            exchange: Some(exchange),
            key,
        }
    }

    async fn fresh(&self, upstream: &Upstream, key: PoolKey) -> Result<Lease, ConnectCause> {
        let dialled = self.dial(upstream).await?;
        let exchange = Exchange::new(self.plan(upstream, dialled.binding.clone()));
        Ok(Lease {
            wire: dialled.wire,
            binding: dialled.binding,
            hop: key.hop.clone(),
            credentials: None,
            reused: false,
            authenticated: false,
            exchange: Some(exchange),
            key,
        })
    }

    /// What the first request on this connection carries.
    async fn open(&self, lease: &mut Lease, line: &RequestLine) -> Result<(), ConnectCause> {
        if lease.authenticated {
            return Ok(());
        }
        let Some(exchange) = lease.exchange.take() else { return Ok(()) };
        let (exchange, opened) = opening(exchange, line).await?;
        lease.exchange = Some(exchange);
        lease.credentials = opened?;
        Ok(())
    }

    /// A body must not go out before the upstream has said yes, unless it can be sent again.
    fn needs_safe_legs(&self, upstream: &Upstream, lease: &Lease, body: BodyHint) -> bool {
        if lease.authenticated || body == BodyHint::Empty {
            return false;
        }
        let known = self.live.known(&self.key(upstream));
        known.start.is_some_and(has_several_legs) || (body == BodyHint::Long && !known.is_settled())
    }

    /// The legs by `HEAD` on the same URI: safe by definition (RFC 9110 §9.2.1) wherever it ends up. The request
    /// itself carries the last message.
    async fn safe_legs(
        &self,
        upstream: &Upstream,
        mut lease: Lease,
        line: &RequestLine,
        proved: &AtomicBool,
    ) -> Result<Lease, ConnectCause> {
        let head = safe_head(line);
        let safe_line = RequestLine { method: head.method.clone(), uri: head.target.clone() };
        loop {
            let proves = lease.exchange.as_ref().is_some_and(Exchange::proves_now);
            proved.fetch_or(proves, Ordering::Relaxed);
            let answer = match leg(&mut lease.wire, &head, lease.credentials.as_ref()).await {
                Ok(answer) => answer,
                Err(error @ ReadError::Http(_)) if !proves => return Err(ConnectCause::Broken(error)),
                Err(ReadError::Http(_)) => return Err(Refusal::Broken.into()),
                Err(error) => {
                    let action = lease.exchange.as_mut().map_or(Action::Refuse(Refusal::Broken), Exchange::on_break);
                    match action {
                        Action::Reconnect => {
                            lease = self.reopen(upstream, lease, &safe_line).await?;
                            continue;
                        }
                        Action::Refuse(refusal) if proves => return Err(refusal.into()),
                        Action::Send(_) | Action::Accept | Action::Refuse(_) => {
                            return Err(ConnectCause::Broken(error));
                        }
                    }
                }
            };
            if answer.status != 407 {
                return self.after_safe_answer(upstream, lease, line, &answer).await;
            }
            let Some(exchange) = lease.exchange.take() else { return Err(ConnectCause::Unknown) };
            // What answers the challenge goes with the request itself where it is the last message.
            let (exchange, action) = respond(exchange, &mut lease.wire, &head.method, line, &answer).await?;
            let proves = exchange.proves_now();
            lease.exchange = Some(exchange);
            match action {
                Action::Send(credentials) => {
                    lease.credentials = Some(credentials);
                    if proves {
                        return Ok(lease);
                    }
                }
                Action::Reconnect => lease = self.reopen(upstream, lease, &safe_line).await?,
                Action::Accept => return Ok(lease),
                Action::Refuse(refusal) => return Err(self.refused(upstream, refusal)),
            }
        }
    }

    /// The safe request was let through: the connection is authenticated, or nobody asks.
    async fn after_safe_answer(
        &self,
        upstream: &Upstream,
        mut lease: Lease,
        line: &RequestLine,
        answer: &ResponseHead,
    ) -> Result<Lease, ConnectCause> {
        self.settle(&mut lease);
        if answer.persists() && lease.is_clean() {
            lease.credentials = None;
            if !lease.authenticated {
                // Known now: a scheme of single requests opens again with the request's own line.
                self.open(&mut lease, line).await?;
            }
            return Ok(lease);
        }
        let key = lease.key.clone();
        let mut lease = self.fresh(upstream, key).await?;
        self.open(&mut lease, line).await?;
        Ok(lease)
    }

    async fn reopen(&self, upstream: &Upstream, mut lease: Lease, line: &RequestLine) -> Result<Lease, ConnectCause> {
        self.redial(upstream, &mut lease, line).await?;
        Ok(lease)
    }

    async fn redial(&self, upstream: &Upstream, lease: &mut Lease, line: &RequestLine) -> Result<(), ConnectCause> {
        let dialled = self.dial(upstream).await?;
        if let Some(exchange) = &mut lease.exchange {
            exchange.rebind(dialled.binding.clone());
        }
        lease.wire = dialled.wire;
        lease.binding = dialled.binding;
        lease.reused = false;
        lease.authenticated = false;
        lease.credentials = None;
        self.open(lease, line).await
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
        let prepare = async {
            self.answer_challenge(&mut lease, line, answer, body_done).await?;
            self.legs_without_body(lease, line, body, &proved).await
        };
        match timeout(self.handshake_timeout, prepare).await {
            Ok(Ok(lease)) => Verdict::Again(Box::new(lease)),
            Ok(Err(cause)) => Verdict::Refused(cause),
            Err(_) => Verdict::Refused(self.timed_out(&proved)),
        }
    }

    async fn answer_challenge(
        &self,
        lease: &mut Lease,
        line: &RequestLine,
        answer: &ResponseHead,
        body_done: bool,
    ) -> Result<(), ConnectCause> {
        let Hop::Upstream(endpoint) = &lease.hop else { return Err(ConnectCause::Unknown) };
        let upstream = self.find(endpoint)?;
        self.live.demands(&self.key(upstream));
        if lease.authenticated {
            self.live.asks_each_time(&self.key(upstream));
        }
        let Some(exchange) = lease.exchange.take() else { return Err(ConnectCause::Unknown) };
        let mut seen = answer.clone();
        // The rest of the body cannot be called back: this connection is spent.
        if !body_done {
            seen.fields.push("Connection", "close");
        }
        let (exchange, action) = respond(exchange, &mut lease.wire, &line.method, line, &seen).await?;
        lease.exchange = Some(exchange);
        match action {
            Action::Send(credentials) => {
                lease.credentials = Some(credentials);
                lease.authenticated = false;
                lease.reused = false;
            }
            Action::Reconnect => self.redial(upstream, lease, line).await?,
            Action::Accept => {}
            Action::Refuse(refusal) => return Err(self.refused(upstream, refusal)),
        }
        Ok(())
    }

    /// A 407 to a request that cannot be sent again: nothing more is sent, but it may have been a verdict.
    pub async fn challenged_too_late(
        &self,
        mut lease: Lease,
        line: &RequestLine,
        answer: &ResponseHead,
    ) -> Option<ConnectCause> {
        let Hop::Upstream(endpoint) = &lease.hop else { return None };
        let upstream = self.find(endpoint).ok()?;
        self.live.demands(&self.key(upstream));
        let mut seen = answer.clone();
        seen.fields.push("Connection", "close");
        match respond(lease.exchange.take()?, &mut lease.wire, &line.method, line, &seen).await {
            Ok((_, Action::Refuse(refusal))) => Some(self.refused(upstream, refusal)),
            Ok((_, Action::Send(_) | Action::Reconnect | Action::Accept)) | Err(_) => None,
        }
    }

    /// What was refused once is sent again with the proof, not with the messages before it: a connection that ends
    /// among those would leave open what became of the request.
    async fn legs_without_body(
        &self,
        lease: Lease,
        line: &RequestLine,
        body: BodyHint,
        proved: &AtomicBool,
    ) -> Result<Lease, ConnectCause> {
        let Hop::Upstream(endpoint) = &lease.hop else { return Ok(lease) };
        let upstream = self.find(endpoint)?;
        let before_proof = lease
            .exchange
            .as_ref()
            .is_some_and(|exchange| !exchange.proves_now() && exchange.outcome().start.is_some_and(has_several_legs));
        if body == BodyHint::Empty || !before_proof {
            return Ok(lease);
        }
        self.safe_legs(upstream, lease, line, proved).await
    }

    /// After a final answer: what was learnt about the upstream.
    pub fn settle(&self, lease: &mut Lease) {
        let (Hop::Upstream(endpoint), Some(exchange)) = (&lease.hop, &lease.exchange) else { return };
        let Ok(upstream) = self.find(endpoint) else { return };
        if lease.authenticated {
            return;
        }
        let outcome = exchange.outcome();
        self.live.learn(&self.key(upstream), outcome);
        lease.authenticated = binds(outcome);
    }

    /// The connection broke without an answer to the request. `None`: it may not be sent again.
    pub async fn after_break(&self, mut lease: Lease, line: &RequestLine) -> Result<Option<Lease>, ConnectCause> {
        let Hop::Upstream(endpoint) = &lease.hop else { return Ok(None) };
        let upstream = self.find(endpoint)?;
        let action = lease.exchange.as_mut().map_or(Action::Refuse(Refusal::Broken), Exchange::on_break);
        match action {
            Action::Reconnect => {
                let reopening = timeout(self.handshake_timeout, self.reopen(upstream, lease, line));
                Ok(Some(reopening.await.map_err(|_| self.timed_out(&AtomicBool::new(false)))??))
            }
            Action::Send(_) | Action::Accept | Action::Refuse(_) => Ok(None),
        }
    }

    /// Whether a connection that stayed with its client still leads where that client's next request goes, with the
    /// same credential.
    pub fn is_current(&self, lease: &mut Lease, route: &Route) -> bool {
        route.hops.contains(&lease.hop)
            && self.generation(&lease.hop).is_ok_and(|generation| generation == lease.key.generation)
            && lease.is_clean()
    }

    fn generation(&self, hop: &Hop) -> Result<u64, ConnectCause> {
        match hop {
            Hop::Direct => Ok(0),
            Hop::Upstream(endpoint) => Ok(self.find(endpoint)?.generation),
        }
    }

    /// Makes a connection that stayed with its client ready for that client's next request.
    pub async fn renew(&self, mut lease: Lease, line: &RequestLine) -> Result<Lease, ConnectError> {
        lease.reused = true;
        lease.credentials = None;
        let Hop::Upstream(endpoint) = &lease.hop else { return Ok(lease) };
        let failed = |cause| ConnectError { target: lease.key.origin.clone(), hop: lease.hop.clone(), cause };
        let plan = self.plan(self.find(endpoint).map_err(failed)?, lease.binding.clone());
        lease.exchange = Some(Exchange::new(plan));
        let opened = timeout(self.handshake_timeout, self.open(&mut lease, line)).await;
        match opened.unwrap_or_else(|_| Err(self.timed_out(&AtomicBool::new(false)))) {
            Ok(()) => Ok(lease),
            Err(cause) => Err(ConnectError { target: lease.key.origin, hop: lease.hop, cause }),
        }
    }

    /// Keeps a connection whose answer was read to its end, and that is clean.
    pub fn give_back(&self, lease: Lease) {
        let wire = Wire::new(lease.wire.stream);
        self.live.put(
            lease.key,
            Idle { wire, binding: lease.binding, authenticated: lease.authenticated, since: Instant::now() },
        );
    }
}

impl Lease {
    fn direct(key: PoolKey, wire: Wire<Stream>, reused: bool) -> Self {
        Self {
            wire,
            hop: Hop::Direct,
            credentials: None,
            binding: None,
            reused,
            authenticated: false,
            exchange: None,
            key,
        }
    }
}

fn has_several_legs(start: Start) -> bool {
    matches!(start, Start::Scheme(Scheme::Ntlm) | Start::NtlmInNegotiate)
}

fn binds(outcome: Outcome) -> bool {
    outcome.accepted && outcome.start.is_some_and(|start| start.scheme().binds_connection())
}

fn safe_head(line: &RequestLine) -> RequestHead {
    let host = line.uri.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?']).next().unwrap_or_default());
    let fields: Fields = [("Host", host), ("Proxy-Connection", "Keep-Alive")].into_iter().collect();
    RequestHead { method: "HEAD".into(), target: line.uri.clone(), version: Version::Http11, fields }
}
