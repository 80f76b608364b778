//! The CONNECT/407 talk on one connection after the other, until there is a tunnel or a final answer.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::attempts::Patience;
use super::forbidden::{Expense, Page, forbids};
use super::lease::binds;
use super::pool::{Idle, PoolKey};
use super::stream::Stream;
use super::warm::{First, Opened, challenge};
use super::witness::{Connection, Witness};
use super::{ConnectCause, ConnectError, Dialled, MAX_RESPONSE_HEAD, MAX_SKIPPED, Upstream, Upstreams};
use crate::address::{Endpoint, Target};
use crate::auth::{Action, Exchange, Refusal, RequestLine, Scheme, Start};
use crate::http1::head::stray_line_ends;
use crate::http1::{Body, Fields, HttpError, ReadError, RequestHead, ResponseHead, Version, Wire};
use crate::route::{Hop, Route};
use crate::secret::Credentials;

/// How long a connection that was idle may stay silent: nobody says when one leads nowhere any more.
const REUSED_PATIENCE: Duration = Duration::from_secs(3);

/// A way to the target. What the target sent together with the upstream's 200 stands in the wire's buffer.
#[derive(Debug)]
pub struct Tunnel {
    pub wire: Wire<Stream>,
    pub hop: Hop,
    pub scheme: Option<Scheme>,
}

/// The upstream's own final answer instead of a tunnel, its body still to be read.
#[derive(Debug)]
pub struct Answer {
    pub head: ResponseHead,
    pub wire: Wire<Stream>,
    pub body: Body,
    pub hop: Hop,
    pub scheme: Option<Scheme>,
    pub(super) expense: Expense,
}

#[derive(Debug)]
pub enum Connected {
    Tunnel(Tunnel),
    Answer(Box<Answer>),
    /// What the upstream answered a moment ago. It was not asked again.
    Repeated(Hop, Arc<Page>),
}

/// A connection for the handshake, and what is known of it.
struct Begun {
    dialled: Dialled,
    key: PoolKey,
    /// It was there before it was wanted: its end says nothing about the upstream.
    waited: bool,
    /// Others were served on it, perhaps long ago.
    reused: bool,
    /// It was authenticated before, so that the request needs no credentials of its own.
    authenticated: bool,
    /// This was said on it already.
    opened: Option<First>,
    /// And that was for another target, which this upstream may take amiss.
    is_trial: bool,
    era: u64,
}

impl Upstreams {
    /// Tries the hops in order. `fields` are the client's, of which the end-to-end ones go on.
    pub async fn tunnel(&self, route: &Route, target: &Target, fields: &Fields) -> Result<Connected, ConnectError> {
        let mut attempts = self.attempts(route, target);
        while let Some((hop, patience)) = attempts.next() {
            match self.tunnel_by(hop, patience, target, fields).await {
                Ok(connected) => return Ok(connected),
                Err(cause) => attempts.failed(hop, cause),
            }
        }
        Err(attempts.verdict())
    }

    async fn tunnel_by(
        &self,
        hop: &Hop,
        patience: Patience,
        target: &Target,
        fields: &Fields,
    ) -> Result<Connected, ConnectCause> {
        match hop {
            Hop::Direct => {
                let wire = Wire::new(Stream::Tcp(self.reach_directly(target).await?));
                Ok(Connected::Tunnel(Tunnel { wire, hop: Hop::Direct, scheme: None }))
            }
            Hop::Upstream(endpoint) if endpoint.is_socks() => {
                let (wire, scheme) = Box::pin(self.through_socks(&self.find(endpoint), patience, target)).await?;
                Ok(Connected::Tunnel(Tunnel { wire, hop: hop.clone(), scheme }))
            }
            Hop::Upstream(endpoint) => {
                let upstream = &self.find(endpoint);
                let key = PoolKey { hop: hop.clone(), generation: upstream.generation, origin: target.clone() };
                let era = self.live.forbidden().era();
                let idle = self.live.pool().take(&key, Instant::now());
                let spares_a_log_in = idle.as_ref().is_some_and(|idle| self.is_logged_in(upstream, idle));
                if let (false, Some(page)) = (spares_a_log_in, self.live.forbidden().find(&key, Instant::now())) {
                    idle.into_iter().for_each(|idle| self.live.put(key.clone(), idle, era));
                    return Ok(Connected::Repeated(hop.clone(), page));
                }
                // The dial has its own time-out, so that a dead upstream and a slow one are told apart.
                let begun = match idle {
                    Some(idle) => self.begin_again(upstream, key, idle, era),
                    None => match self.begin_at_once(upstream, patience, key, era) {
                        Ok(begun) => begun,
                        Err(key) => Begun::fresh(Box::pin(self.dial(upstream, patience)).await?, key, era),
                    },
                };
                let (proved, began) = (AtomicBool::new(false), Instant::now());
                let shaken = timeout(self.handshake_timeout, self.shake(upstream, begun, target, fields, &proved))
                    .await
                    .map_err(|_| self.timed_out(&proved))?;
                self.note_handshake(endpoint, shaken.as_ref().ok(), began);
                shaken
            }
        }
    }

    fn note_handshake(&self, upstream: &Endpoint, connected: Option<&Connected>, began: Instant) {
        let scheme = match connected {
            Some(Connected::Tunnel(tunnel)) => tunnel.scheme,
            Some(Connected::Answer(answer)) => answer.scheme,
            Some(Connected::Repeated(..)) | None => return,
        };
        self.live.logons().shaken(upstream, scheme, began.elapsed());
    }

    pub(super) fn timed_out(&self, proved: &AtomicBool) -> ConnectCause {
        ConnectCause::HandshakeTimeout { limit: self.handshake_timeout, proved: proved.load(Ordering::Relaxed) }
    }

    /// On what was made ready ahead. `Err`: there is nothing.
    fn begin_at_once(
        &self,
        upstream: &Arc<Upstream>,
        patience: Patience,
        key: PoolKey,
        era: u64,
    ) -> Result<Begun, PoolKey> {
        if patience != Patience::Full {
            return Err(key);
        }
        if let Some(Opened { dialled, first, is_trial }) = self.opened(upstream, &key.origin.to_string()) {
            return Ok(Begun { waited: true, opened: Some(first), is_trial, ..Begun::fresh(dialled, key, era) });
        }
        match self.spare(upstream) {
            Some(dialled) => Ok(Begun { waited: true, ..Begun::fresh(dialled, key, era) }),
            None => Err(key),
        }
    }

    fn begin_again(&self, upstream: &Upstream, key: PoolKey, idle: Idle, era: u64) -> Begun {
        let authenticated = self.is_logged_in(upstream, &idle);
        let dialled = Dialled { wire: idle.wire, binding: idle.binding };
        Begun { waited: true, reused: true, authenticated, ..Begun::fresh(dialled, key, era) }
    }

    /// The next request on it needs no credentials.
    pub(super) fn is_logged_in(&self, upstream: &Upstream, idle: &Idle) -> bool {
        idle.authenticated && !self.live.known(&self.key(upstream)).per_request
    }

    /// `proved` is set before the secret is shown, for whoever gives up waiting.
    async fn shake(
        &self,
        upstream: &Arc<Upstream>,
        mut begun: Begun,
        target: &Target,
        fields: &Fields,
        proved: &AtomicBool,
    ) -> Result<Connected, ConnectCause> {
        let head = self.connect_head(target, fields);
        let line = RequestLine { method: head.method.clone(), uri: head.target.clone() };
        let mut exchange = Exchange::new(self.plan(upstream, begun.dialled.binding.clone()));
        let mut first = None;
        loop {
            let mut credentials = None;
            if !begun.authenticated {
                (exchange, credentials) = self.opening(upstream, exchange, &line).await?;
            }
            loop {
                // Others may have been refused while this one waited for its turn.
                if let Some(page) =
                    self.live.forbidden().find(&begun.key, Instant::now()).filter(|_| exchange.proves_now())
                {
                    exchange.withhold();
                    return Ok(Connected::Repeated(begun.key.hop, page));
                }
                proved.fetch_or(exchange.proves_now(), Ordering::Relaxed);
                if first.is_none() {
                    first = self.first(&exchange, &head, credentials.as_ref());
                }
                let answer = match self.ask(upstream, &mut begun, &head, credentials.as_ref()).await {
                    Ok(answer) if answer.status == 407 && begun.is_trial && exchange.proves_now() => {
                        exchange = self.take_back(upstream, exchange);
                        break;
                    }
                    Ok(answer) if answer.status == 407 => answer,
                    Ok(answer) => {
                        let was_trial = begun.is_trial;
                        let connected = self.finish(upstream, exchange, begun, answer)?;
                        if let (Connected::Tunnel(_), Some(first)) = (&connected, first) {
                            self.follow_log_in(upstream, first, was_trial);
                        }
                        return Ok(connected);
                    }
                    // It may have ended before it was asked.
                    Err(error) if begun.waited && !exchange.proves_now() && is_break(&error) => break,
                    Err(error) => {
                        if begun.is_trial {
                            self.live.warm().give_up(&self.key(upstream));
                        }
                        may_send_again(&mut exchange, error)?;
                        break;
                    }
                };
                if begun.authenticated {
                    self.live.asks_each_time(&self.key(upstream));
                }
                (begun.waited, begun.reused, begun.authenticated) = (false, false, false);
                let action;
                let wire = &mut begun.dialled.wire;
                let responding = self.respond(upstream, exchange, wire, &line.method, &line, &answer);
                (exchange, action) = Box::pin(responding).await?;
                match action {
                    Action::Send(next) => credentials = Some(next),
                    Action::Reconnect | Action::Wait(_) => break,
                    Action::Refuse(refusal) => return Err(self.refused(upstream, refusal)),
                }
            }
            let dialled = Box::pin(self.dial(upstream, Patience::Full)).await?;
            exchange.rebind(dialled.binding.clone());
            begun = Begun::fresh(dialled, begun.key, begun.era);
        }
    }

    /// The answer to this message, where it was not sent ahead already.
    async fn ask(
        &self,
        upstream: &Arc<Upstream>,
        begun: &mut Begun,
        head: &RequestHead,
        credentials: Option<&Credentials>,
    ) -> Result<ResponseHead, ReadError> {
        let Some(opened) = begun.opened.take() else {
            return begun.leg(head, credentials, self.live.witness()).await;
        };
        // Another scheme's turn has come: what was said ahead is of no use.
        if credentials.is_none_or(|own| own.expose() != opened.credentials.expose()) {
            return Err(ReadError::Closed);
        }
        self.open_ahead(upstream, First { head: head.clone(), ..opened });
        match challenge(&mut begun.dialled.wire).await {
            Some(answer) => Ok(answer),
            None => {
                self.live.warm().give_up(&self.key(upstream));
                Err(ReadError::Closed)
            }
        }
    }

    /// What the next log-in can begin with as well, where that is wanted.
    fn first(&self, exchange: &Exchange, head: &RequestHead, credentials: Option<&Credentials>) -> Option<First> {
        let is_first = exchange.start().is_some_and(Start::has_several_legs) && !exchange.proves_now();
        let credentials = credentials.filter(|_| is_first && self.live.warm().is_wanted())?;
        Some(First { head: head.clone(), credentials: credentials.clone() })
    }

    /// The secret was refused where another target had been asked for before. Whether it was judged nobody knows: it was good
    /// a moment ago, so it is shown once more, in the usual way.
    fn take_back(&self, upstream: &Upstream, mut exchange: Exchange) -> Exchange {
        self.live.warm().give_up(&self.key(upstream));
        exchange.leave_open();
        Exchange::new(self.plan(upstream, None))
    }

    /// Skips a 407's body if the connection is to be used again, and asks the exchange what comes next. `method` is
    /// what was answered, `line` what is to be sent next: they differ where the legs are safe ones.
    pub(super) async fn respond(
        &self,
        upstream: &Upstream,
        exchange: Exchange,
        wire: &mut Wire<Stream>,
        method: &str,
        line: &RequestLine,
        answer: &ResponseHead,
    ) -> Result<(Exchange, Action), ConnectCause> {
        tracing::trace!(method, status = answer.status, "answered");
        self.recognize(upstream, answer);
        // Many close with their 407 and do not say so: what is sent then is lost, and may have been the proof. What
        // stands behind the page would be taken for the answer to the next leg.
        let ended = |wire: &Wire<Stream>| wire.stream.has_ended() || has_surplus(&wire.buffer);
        let persists = answer.persists() && skip_page(wire, method, answer).await && !ended(wire);
        let challenges: Vec<Vec<u8>> = answer.fields.all("proxy-authenticate").map(<[u8]>::to_vec).collect();
        self.answer(upstream, exchange, &challenges, persists, line).await
    }

    fn finish(
        &self,
        upstream: &Upstream,
        mut exchange: Exchange,
        begun: Begun,
        head: ResponseHead,
    ) -> Result<Connected, ConnectCause> {
        let Begun { dialled: Dialled { wire, binding }, key, authenticated, era, .. } = begun;
        exchange.conclude(head.status);
        self.recognize(upstream, &head);
        let outcome = exchange.outcome();
        // On an authenticated connection nobody asks, which says nothing about others.
        if !authenticated {
            self.live.learn(&self.key(upstream), outcome);
        }
        let hop = key.hop.clone();
        let scheme = outcome.start.map(|start| start.scheme());
        if (200..300).contains(&head.status) {
            self.live.forbidden().allowed(&key);
            return Ok(Connected::Tunnel(Tunnel { wire, hop, scheme }));
        }
        let body = Body::of_response("CONNECT", &head).map_err(|e| ConnectCause::Broken(e.into()))?;
        let expense =
            Expense { key, binding, authenticated: authenticated || binds(outcome), logged_in: outcome.accepted, era };
        Ok(Connected::Answer(Box::new(Answer { head, wire, body, hop, scheme, expense })))
    }

    /// The page of a refusal was read to its end: the connection serves the next try, or the page does. Meant to be
    /// called before the client hears of it, for it may try again at once.
    pub fn keep_refusal(&self, answer: Box<Answer>, page: &Arc<Page>) {
        let Answer { head, mut wire, body, expense, .. } = *answer;
        let Expense { key, binding, authenticated, logged_in, era } = expense;
        if era != self.live.forbidden().era() {
            return;
        }
        let persists = head.persists() && !body.ends_at_close();
        if (logged_in || authenticated) && forbids(head.status) {
            self.live.forbidden().remember(key.clone(), page.clone(), Instant::now());
        }
        if persists && wire.buffer.is_empty() && wire.stream.is_quiet() {
            let wire = Wire::new(wire.stream);
            self.live.put(key, Idle { wire, binding, authenticated, since: Instant::now() }, era);
        }
    }

    /// Always ours in what binds two neighbours, the client's in the rest (RFC 9110 §9.3.6).
    pub(super) fn connect_head(&self, target: &Target, fields: &Fields) -> RequestHead {
        let mut kept = fields.clone();
        kept.strip_hop_by_hop();
        for name in ["host", "content-length", "expect", "trailer"] {
            kept.remove(name);
        }
        let mut all = Fields::default();
        all.push("Host", target.to_string());
        if let (false, Some(agent)) = (kept.contains("user-agent"), &self.user_agent) {
            all.push("User-Agent", agent.as_str());
        }
        kept.iter().for_each(|(name, value)| all.push(name, value));
        all.push("Proxy-Connection", "Keep-Alive");
        RequestHead { method: "CONNECT".into(), target: target.to_string(), version: Version::Http11, fields: all }
    }
}

impl Begun {
    fn fresh(dialled: Dialled, key: PoolKey, era: u64) -> Self {
        let (waited, reused, authenticated) = (false, false, false);
        Self { dialled, key, waited, reused, authenticated, opened: None, is_trial: false, era }
    }

    async fn leg(
        &mut self,
        head: &RequestHead,
        credentials: Option<&Credentials>,
        witness: Option<&dyn Witness>,
    ) -> Result<ResponseHead, ReadError> {
        let answer = leg(&mut self.dialled.wire, head, credentials, witness);
        if !self.reused {
            return answer.await;
        }
        timeout(REUSED_PATIENCE, answer).await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
    }
}

fn is_break(error: &ReadError) -> bool {
    match error {
        ReadError::Closed | ReadError::Truncated | ReadError::Io(_) => true,
        ReadError::Http(_) => false,
    }
}

/// Sends one request without a body and reads the head of its answer; interim answers are passed over.
pub(super) async fn leg(
    wire: &mut Wire<Stream>,
    head: &RequestHead,
    credentials: Option<&Credentials>,
    witness: Option<&dyn Witness>,
) -> Result<ResponseHead, ReadError> {
    let bytes = head.to_bytes(credentials);
    let witness = witness.map(|witness| (witness, Connection::of(&wire.stream)));
    if let Some((witness, connection)) = witness {
        witness.sent(connection, &bytes);
    }
    wire.stream.write_all(&bytes).await?;
    wire.stream.flush().await?;
    loop {
        let show = |head: &[u8]| {
            if let Some((witness, connection)) = witness {
                witness.received(connection, head);
            }
        };
        let answer = wire.reader().response_shown(MAX_RESPONSE_HEAD, show).await?;
        if answer.status == 101 {
            return Err(HttpError::UnaskedUpgrade.into());
        }
        if !answer.is_informational() {
            return Ok(answer);
        }
    }
}

/// A leg got no answer that makes sense. What showed the secret may have been judged: nobody else is shown it then.
pub(super) fn may_send_again(exchange: &mut Exchange, error: ReadError) -> Result<(), ConnectCause> {
    let proved = exchange.proves_now();
    // What is no HTTP would be said again.
    let refusal = match &error {
        ReadError::Http(_) => Refusal::Broken,
        ReadError::Closed | ReadError::Truncated | ReadError::Io(_) => match exchange.on_break() {
            Ok(()) => return Ok(()),
            Err(refusal) => refusal,
        },
    };
    Err(if proved || refusal != Refusal::Broken { refusal.into() } else { ConnectCause::Broken(error) })
}

async fn skip_page(wire: &mut Wire<Stream>, method: &str, answer: &ResponseHead) -> bool {
    match Body::of_response(method, answer) {
        // It says keep-alive and no length: old proxies mean that there is no page.
        Ok(Body::UntilClose) => says_keep_alive(&answer.fields),
        Ok(mut body) => wire.reader().skip(&mut body, MAX_SKIPPED).await.unwrap_or(false),
        Err(_) => false,
    }
}

/// More than the line ends that some proxies leave behind a page.
fn has_surplus(buffer: &[u8]) -> bool {
    stray_line_ends(buffer) < buffer.len()
}

fn says_keep_alive(fields: &Fields) -> bool {
    fields.has_member("connection", "keep-alive") || fields.has_member("proxy-connection", "keep-alive")
}
