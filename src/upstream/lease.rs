//! A connection for requests with bodies: taken from the idle ones or made, made ready, given back.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use tokio::time::timeout;

use super::attempts::Patience;
use super::pool::{Idle, PoolKey};
use super::stream::Stream;
use super::{ConnectCause, ConnectError, Dialled, Upstream, Upstreams};
use crate::address::Target;
use crate::auth::{ChannelBinding, Exchange, Outcome, RequestLine, Scheme, Start};
use crate::http1::Wire;
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
    pub(super) binding: Option<ChannelBinding>,
    /// It served another request before, or waited for one: a close without an answer says nothing about the upstream.
    pub reused: bool,
    /// The connection itself is authenticated.
    pub(super) authenticated: bool,
    /// The upstream has asked for a log-in for this very request.
    pub(super) demanded: bool,
    pub(super) exchange: Option<Exchange>,
    pub(super) key: PoolKey,
    /// It is kept for others only if this still counts when it is given back.
    era: u64,
}

pub struct Hearing<'a>(Option<&'a mut Exchange>);

impl Hearing<'_> {
    /// The status of an answer that is no challenge.
    pub fn hears(&mut self, status: u16) {
        if let Some(exchange) = &mut self.0 {
            exchange.conclude(status);
        }
    }
}

/// Whether what is sent through a hop is read by the origin itself: nothing on the way understands HTTP.
pub fn reaches_origin(hop: &Hop) -> bool {
    match hop {
        Hop::Direct => true,
        Hop::Upstream(endpoint) => endpoint.is_socks(),
    }
}

impl Lease {
    pub fn scheme(&self) -> Option<Scheme> {
        self.start().map(Start::scheme)
    }

    /// The connection, and whoever is to hear the head of the answer: a verdict, long before the body's end.
    pub fn parts(&mut self) -> (&mut Wire<Stream>, Hearing<'_>) {
        (&mut self.wire, Hearing(self.exchange.as_mut()))
    }

    pub(super) fn start(&self) -> Option<Start> {
        self.exchange.as_ref().and_then(Exchange::start)
    }

    /// Nothing came that nobody asked for: whose answer would it become?
    pub fn is_clean(&mut self) -> bool {
        self.wire.buffer.is_empty() && self.wire.stream.is_quiet()
    }

    /// What is sent is answered by the upstream itself, and not by an origin that may take its time: it has asked for a
    /// log-in, and this is not the message that it decides by.
    pub fn awaits_challenge(&self) -> bool {
        self.demanded && self.start().is_some_and(Start::has_several_legs) && !self.proves_now()
    }

    /// What is sent shows the secret.
    pub fn proves_now(&self) -> bool {
        self.exchange.as_ref().is_some_and(Exchange::proves_now)
    }

    /// What is sent may be out of date although the secret is good, a nonce or a ticket: a long body may be met
    /// by a 407 after all.
    pub fn may_be_challenged(&self) -> bool {
        self.credentials.is_some() && matches!(self.start(), Some(Start::Scheme(Scheme::Digest | Scheme::Negotiate)))
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
        let era = self.live.forbidden().era();
        let mut attempts = self.attempts(route, origin);
        while let Some((hop, patience)) = attempts.next() {
            match self.lease_by(hop, patience, origin, line, body, fresh).await {
                Ok(lease) => return Ok(Lease { era, ..lease }),
                Err(cause) => attempts.failed(hop, cause),
            }
        }
        Err(attempts.verdict())
    }

    async fn lease_by(
        &self,
        hop: &Hop,
        patience: Patience,
        origin: &Target,
        line: &RequestLine,
        body: BodyHint,
        fresh: bool,
    ) -> Result<Lease, ConnectCause> {
        let key = PoolKey { hop: hop.clone(), generation: self.generation(hop), origin: origin.clone() };
        let idle = if fresh { None } else { self.live.pool().take(&key, Instant::now()) };
        match (hop, idle) {
            (hop, Some(idle)) if reaches_origin(hop) => Ok(Lease::bare(key, idle.wire, true)),
            (Hop::Direct, _) => {
                let stream = self.reach_directly(origin).await?;
                Ok(Lease::bare(key, Wire::new(Stream::Tcp(stream)), false))
            }
            (Hop::Upstream(endpoint), _) if endpoint.is_socks() => {
                let (wire, _) = Box::pin(self.through_socks(&self.find(endpoint), patience, origin)).await?;
                Ok(Lease::bare(key, wire, false))
            }
            (Hop::Upstream(endpoint), Some(idle)) => {
                let upstream = &self.find(endpoint);
                let lease = self.reuse(upstream, key, idle);
                // One that is logged in is ready.
                if lease.authenticated {
                    return Ok(lease);
                }
                Box::pin(self.make_ready(upstream, lease, true, line, body)).await
            }
            (Hop::Upstream(endpoint), None) => {
                let upstream = &self.find(endpoint);
                let make = async {
                    // What cannot be sent twice goes where nobody may have hung up meanwhile.
                    let lease = if body == BodyHint::Empty && !fresh && patience == Patience::Full {
                        self.fresh_or_spare(upstream, key).await?
                    } else {
                        self.fresh(upstream, key, patience).await?
                    };
                    self.make_ready(upstream, lease, false, line, body).await
                };
                Box::pin(make).await
            }
        }
    }

    /// What has to be said before the request.
    async fn make_ready(
        &self,
        upstream: &Arc<Upstream>,
        mut lease: Lease,
        was_idle: bool,
        line: &RequestLine,
        body: BodyHint,
    ) -> Result<Lease, ConnectCause> {
        let proved = AtomicBool::new(false);
        let prepare = async {
            self.open(upstream, &mut lease, line).await?;
            // If nobody answers, what shows the secret may have been judged all the same.
            lease.reused &= was_idle || !lease.proves_now();
            if self.needs_safe_legs(upstream, &lease, body) {
                Box::pin(self.safe_legs(upstream, &mut lease, line, &proved)).await?;
            }
            Ok(())
        };
        match timeout(self.handshake_timeout, prepare).await {
            Ok(prepared) => prepared.map(|()| lease),
            Err(_) => Err(self.timed_out(&proved)),
        }
    }

    fn reuse(&self, upstream: &Upstream, key: PoolKey, idle: Idle) -> Lease {
        let exchange = Exchange::new(self.plan(upstream, idle.binding.clone()));
        let authenticated = self.is_logged_in(upstream, &idle);
        Lease { binding: idle.binding, authenticated, exchange: Some(exchange), ..Lease::bare(key, idle.wire, true) }
    }

    pub(super) async fn fresh(
        &self,
        upstream: &Upstream,
        key: PoolKey,
        patience: Patience,
    ) -> Result<Lease, ConnectCause> {
        let dialled = self.dial(upstream, patience).await?;
        Ok(self.begin_on(upstream, key, dialled, false))
    }

    async fn fresh_or_spare(&self, upstream: &Arc<Upstream>, key: PoolKey) -> Result<Lease, ConnectCause> {
        match self.spare(upstream) {
            Some(dialled) => Ok(self.begin_on(upstream, key, dialled, true)),
            None => self.fresh(upstream, key, Patience::Full).await,
        }
    }

    fn begin_on(&self, upstream: &Upstream, key: PoolKey, dialled: Dialled, waited: bool) -> Lease {
        let exchange = Exchange::new(self.plan(upstream, dialled.binding.clone()));
        Lease { binding: dialled.binding, exchange: Some(exchange), ..Lease::bare(key, dialled.wire, waited) }
    }

    /// What the first request on this connection carries.
    pub(super) async fn open(
        &self,
        upstream: &Upstream,
        lease: &mut Lease,
        line: &RequestLine,
    ) -> Result<(), ConnectCause> {
        if lease.authenticated {
            return Ok(());
        }
        let Some(exchange) = lease.exchange.take() else { return Ok(()) };
        let (exchange, credentials) = self.opening(upstream, exchange, line).await?;
        lease.exchange = Some(exchange);
        lease.credentials = credentials;
        Ok(())
    }

    /// After a final answer: what was learnt about the upstream.
    pub fn settle(&self, lease: &mut Lease, status: u16) {
        let (Hop::Upstream(endpoint), Some(exchange)) = (&lease.hop, &mut lease.exchange) else { return };
        exchange.conclude(status);
        if lease.authenticated {
            return;
        }
        let outcome = exchange.outcome();
        self.live.learn(&self.key(&self.find(endpoint)), outcome);
        lease.authenticated = binds(outcome);
    }

    /// Whether a connection that stayed with its client still leads where that client's next request goes, with the
    /// same credential.
    pub fn is_current(&self, lease: &mut Lease, route: &Route) -> bool {
        route.hops.contains(&lease.hop) && self.generation(&lease.hop) == lease.key.generation && lease.is_clean()
    }

    fn generation(&self, hop: &Hop) -> u64 {
        match hop {
            Hop::Direct => self.direct_generation,
            Hop::Upstream(endpoint) => self.find(endpoint).generation,
        }
    }

    /// Makes a connection that stayed with its client ready for that client's next request.
    pub async fn renew(&self, mut lease: Lease, line: &RequestLine) -> Result<Lease, ConnectError> {
        lease.reused = true;
        lease.credentials = None;
        let Hop::Upstream(endpoint) = &lease.hop else { return Ok(lease) };
        if endpoint.is_socks() {
            return Ok(lease);
        }
        let upstream = self.find(endpoint);
        lease.exchange = Some(Exchange::new(self.plan(&upstream, lease.binding.clone())));
        let opened = timeout(self.handshake_timeout, self.open(&upstream, &mut lease, line)).await;
        match opened.unwrap_or_else(|_| Err(self.timed_out(&AtomicBool::new(false)))) {
            Ok(()) => Ok(lease),
            Err(cause) => Err(ConnectError::new(&lease.key.origin, &lease.hop, cause)),
        }
    }

    /// Keeps a connection whose answer was read to its end, and that is clean.
    pub fn give_back(&self, lease: Lease) {
        let wire = Wire::new(lease.wire.stream);
        self.live.put(
            lease.key,
            Idle { wire, binding: lease.binding, authenticated: lease.authenticated, since: Instant::now() },
            lease.era,
        );
    }
}

impl Lease {
    /// Without any log-in: all that one to the origin itself ever is.
    fn bare(key: PoolKey, wire: Wire<Stream>, reused: bool) -> Self {
        Self {
            wire,
            hop: key.hop.clone(),
            credentials: None,
            binding: None,
            reused,
            authenticated: false,
            demanded: false,
            exchange: None,
            key,
            era: 0,
        }
    }
}

/// Whether what was taken authenticates the connection for the requests after it.
pub(super) fn binds(outcome: Outcome) -> bool {
    outcome.accepted && outcome.start.is_some_and(|start| start.scheme().binds_connection())
}
