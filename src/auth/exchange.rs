//! The state machine of one request's attempts at one upstream.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use super::challenge::parse_all;
use super::digest::strongest;
use super::lockout::{Closed, Leave, Verdict};
use super::{
    Challenge, ChannelBinding, Lacking, Leg, Mechanism, MechanismError, Mechanisms, Rejection, RequestLine, Scheme,
    Start,
};
use crate::address::Endpoint;
use crate::secret::Credentials;

/// More legs than any scheme needs, reconnections and stale nonces included; an upstream that challenges for
/// ever ends here.
pub const MAX_LEGS: usize = 12;

/// How often one exchange begins anew because the upstream broke off, before and after the secret was shown.
const MAX_RESTARTS: usize = 1;

/// What an exchange begins with.
#[derive(Clone)]
pub struct Plan {
    pub upstream: Endpoint,
    /// In order of preference; nothing else is ever sent.
    pub schemes: Arc<[Scheme]>,
    pub mechanisms: Arc<dyn Mechanisms>,
    pub binding: Option<ChannelBinding>,
    /// What this upstream took the last time: sent without waiting for its 407.
    pub remembered: Option<Start>,
}

/// What the caller does next.
#[derive(Debug)]
pub enum Action {
    /// Send the request again with this, on the same connection.
    Send(Credentials),
    /// Get leave to show the secret of this scheme, give it by [`Exchange::allow`], and say the same once more.
    Wait(Start),
    /// Open a fresh connection and ask [`Exchange::opening`].
    Reconnect,
    Refuse(Refusal),
}

/// What the first request on a connection carries.
#[derive(Debug)]
pub enum Opening {
    Bare,
    With(Credentials),
    /// As [`Action::Wait`]: then ask again.
    Wait(Start),
}

/// Why nothing (more) is sent. Never names a user or a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Somebody who knows judged the secret.
    #[error("the upstream rejected the credential ({scheme}): {why}")]
    Rejected { scheme: Scheme, why: Rejection },
    /// It was found bad before: nothing was sent.
    #[error("{}", closed_words(.0))]
    Closed(Closed),
    #[error("too many requests wait for their log-in")]
    Crowded,
    #[error("no credential can be sent: {0}")]
    NoCredential(Lacking),
    #[error(
        "the upstream asks for a log-in but offers no scheme that is allowed (offered: {offered}; allowed: {allowed})"
    )]
    NoScheme { offered: String, allowed: String },
    #[error("the upstream broke off the handshake")]
    Broken,
    #[error("the upstream went on challenging without an end")]
    Endless,
}

/// What there is to remember about an upstream after a final answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Absent: the upstream let the request through without any log-in.
    pub start: Option<Start>,
    /// The credentials of the last leg were taken.
    pub accepted: bool,
}

/// A mechanism on the present connection.
struct Current {
    start: Start,
    mechanism: Box<dyn Mechanism>,
    /// The last leg was a verdict's worth.
    proved: bool,
}

pub struct Exchange {
    plan: Plan,
    current: Option<Current>,
    /// Until somebody has judged what it let us show.
    leave: Option<Leave>,
    /// What the next connection opens with, and the challenge that it answers.
    next: Option<(Start, Option<Challenge>)>,
    failed: Vec<(Start, Lacking)>,
    legs: usize,
    restarts: usize,
    resent: usize,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("upstream", &self.plan.upstream)
            .field("legs", &self.legs)
            .finish_non_exhaustive()
    }
}

impl Exchange {
    pub fn new(plan: Plan) -> Self {
        let next = plan.remembered.map(|start| (start, None));
        Self { plan, current: None, leave: None, next, failed: Vec::new(), legs: 0, restarts: 0, resent: 0 }
    }

    /// What the first request on a fresh connection carries.
    pub fn opening(&mut self, request: &RequestLine) -> Result<Opening, Refusal> {
        self.current = None;
        let Some((start, challenge)) = self.next.clone() else { return Ok(Opening::Bare) };
        match self.begin(start, request, challenge.as_ref()) {
            Ok(credentials) => Ok(Opening::With(credentials)),
            Err(MechanismError::NeedsLeave) => Ok(Opening::Wait(start)),
            Err(MechanismError::Rejected(why)) => Err(self.rejected(start.scheme(), why)),
            Err(_) if self.is_closed() => Err(self.closed()),
            // Without a challenge there may just be nothing to say yet (a Digest without a nonce): ask bare.
            Err(error) => {
                self.next = None;
                if challenge.is_some() {
                    self.fail(start, &error);
                }
                Ok(Opening::Bare)
            }
        }
    }

    /// Whether [`Exchange::opening`] may block.
    pub fn opening_may_block(&self) -> bool {
        self.next.as_ref().is_some_and(|(start, _)| self.plan.mechanisms.may_block(*start))
    }

    /// Whether [`Exchange::on_challenge`] may block. A verdict goes to disk.
    pub fn answer_may_block(&self) -> bool {
        let may_block = |start| self.plan.mechanisms.may_block(start);
        match &self.current {
            Some(current) => current.proved || may_block(current.start),
            None => self.plan.schemes.iter().any(|scheme| may_block(Start::Scheme(*scheme))),
        }
    }

    /// Leave to show the secret, as it was asked for.
    pub fn allow(&mut self, leave: Leave) {
        self.leave = Some(leave);
    }

    /// There is no way to the secret of this scheme; others may do.
    pub fn forgo(&mut self, start: Start, error: &MechanismError) {
        if matches!(&self.next, Some((next, _)) if *next == start) {
            self.next = None;
        }
        self.fail(start, error);
    }

    /// A 407 to what was sent last. `persists`: the connection can carry another request.
    pub fn on_challenge<'a>(
        &mut self,
        challenges: impl IntoIterator<Item = &'a [u8]>,
        persists: bool,
        request: &RequestLine,
    ) -> Action {
        let challenges = parse_all(challenges);
        let shapes = || challenges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        tracing::trace!(upstream = %self.plan.upstream, offers = shapes(), persists, "challenged");
        let action = match self.current.take() {
            Some(current) => self.answer(current, &challenges, persists, request),
            None => self.choose(&challenges, persists, request),
        };
        tracing::trace!(upstream = %self.plan.upstream, ?action, "what comes next");
        action
    }

    /// The connection ended without an answer. `Ok`: what was sent may be sent once more on a fresh connection,
    /// beginning with [`Exchange::opening`].
    pub fn on_break(&mut self) -> Result<(), Refusal> {
        let proved = self.proves_now();
        // What showed the secret may have been counted: only one that was good before is worth a second try.
        let tries = if proved { &mut self.resent } else { &mut self.restarts };
        let proven = self.leave.as_ref().is_some_and(|leave| leave.permit().is_proven());
        if *tries >= MAX_RESTARTS || (proved && !proven) {
            if let Some(leave) = self.leave.take().filter(|_| proved) {
                leave.permit().lose();
            }
            return Err(Refusal::Broken);
        }
        *tries += 1;
        self.current = None;
        if self.legs >= MAX_LEGS { Err(Refusal::Endless) } else { Ok(()) }
    }

    /// What was to be sent is not: nobody judges it.
    pub fn withhold(&mut self) {
        if let Some(leave) = self.leave.take().filter(|_| self.proves_now()) {
            leave.permit().withhold();
        }
        self.current = None;
    }

    /// What was shown was refused, for a reason that may not be the secret.
    pub fn leave_open(&mut self) {
        if let Some(leave) = self.leave.take().filter(|_| self.proves_now()) {
            leave.permit().judge(Verdict::Unclear);
        }
        self.current = None;
    }

    /// The head of a final answer, any but a 407: the leave is used up.
    pub fn conclude(&mut self, status: u16) {
        let Some(leave) = self.leave.take() else { return };
        if self.proves_now() {
            // A proxy in trouble may not have looked.
            leave.permit().judge(if status < 500 { Verdict::Accepted } else { Verdict::Unclear });
        }
    }

    /// What there is to remember after a final answer.
    pub fn outcome(&self) -> Outcome {
        match &self.current {
            Some(Current { start, proved, .. }) => {
                // A ticket is taken in one leg; an NTLM type 1 that is let through means that nobody asked.
                let accepted = *proved || *start == Start::Scheme(Scheme::Negotiate);
                Outcome { start: Some(*start), accepted }
            }
            None => Outcome { start: None, accepted: false },
        }
    }

    /// What was begun on the present connection.
    pub fn start(&self) -> Option<Start> {
        self.current.as_ref().map(|current| current.start)
    }

    /// What is to be sent now shows the secret: after it, only the real request's answer tells.
    pub fn proves_now(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.proved)
    }

    /// A further connection has its own certificate to bind to.
    pub fn rebind(&mut self, binding: Option<ChannelBinding>) {
        self.plan.binding = binding;
    }

    /// A 407 to a leg of `current`.
    fn answer(
        &mut self,
        mut current: Current,
        challenges: &[Challenge],
        persists: bool,
        request: &RequestLine,
    ) -> Action {
        let scheme = current.start.scheme();
        let same = challenges.iter().filter(|challenge| challenge.is(scheme));
        if current.proved {
            let stale = scheme == Scheme::Digest && says_stale(challenges);
            if !stale {
                return Action::Refuse(self.rejected(scheme, Rejection::Unsaid));
            }
            return self.follow(current, strongest(challenges).cloned(), persists, request);
        }
        let Some(challenge) = same.clone().find(|challenge| challenge.token.is_some()) else {
            self.failed.push((current.start, "the upstream refused it".into()));
            self.next = None;
            return self.choose_on_used(challenges, request);
        };
        if !persists {
            // A type 2 on a connection that ends cannot be answered; the next one starts over.
            self.current = Some(current);
            return self.on_break().map_or_else(Action::Refuse, |()| Action::Reconnect);
        }
        match self.leg(&mut current, request, Some(challenge)) {
            Ok(credentials) => {
                self.current = Some(current);
                Action::Send(credentials)
            }
            Err(MechanismError::Rejected(why)) => Action::Refuse(self.rejected(scheme, why)),
            Err(_) if self.is_closed() => Action::Refuse(self.closed()),
            Err(_) if self.legs >= MAX_LEGS => Action::Refuse(Refusal::Endless),
            Err(error) => {
                self.fail(current.start, &error);
                self.choose_on_used(challenges, request)
            }
        }
    }

    /// One more leg of the same mechanism, on this connection or the next.
    fn follow(
        &mut self,
        mut current: Current,
        challenge: Option<Challenge>,
        persists: bool,
        request: &RequestLine,
    ) -> Action {
        if !persists {
            self.next = Some((current.start, challenge));
            return self.reopen();
        }
        match self.leg(&mut current, request, challenge.as_ref()) {
            Ok(credentials) => {
                self.current = Some(current);
                Action::Send(credentials)
            }
            Err(MechanismError::Rejected(why)) => Action::Refuse(self.rejected(current.start.scheme(), why)),
            Err(_) if self.is_closed() => Action::Refuse(self.closed()),
            Err(_) if self.legs >= MAX_LEGS => Action::Refuse(Refusal::Endless),
            Err(error) => {
                self.fail(current.start, &error);
                Action::Refuse(self.nothing_left())
            }
        }
    }

    /// The strongest scheme that is allowed, offered and not yet failed, on a connection that carried no leg.
    fn choose(&mut self, challenges: &[Challenge], persists: bool, request: &RequestLine) -> Action {
        while let Some((start, challenge)) = self.candidate(challenges) {
            if !persists {
                self.next = Some((start, challenge));
                return self.reopen();
            }
            match self.begin(start, request, challenge.as_ref()) {
                Ok(credentials) => return Action::Send(credentials),
                Err(MechanismError::NeedsLeave) => return Action::Wait(start),
                Err(MechanismError::Rejected(why)) => return Action::Refuse(self.rejected(start.scheme(), why)),
                Err(_) if self.is_closed() => return Action::Refuse(self.closed()),
                Err(_) if self.legs >= MAX_LEGS => return Action::Refuse(Refusal::Endless),
                Err(error) => self.fail(start, &error),
            }
        }
        Action::Refuse(self.refusal(challenges))
    }

    /// Falling through: a connection that carried legs of one scheme is not used for another.
    fn choose_on_used(&mut self, challenges: &[Challenge], request: &RequestLine) -> Action {
        self.choose(challenges, false, request)
    }

    fn candidate(&self, challenges: &[Challenge]) -> Option<(Start, Option<Challenge>)> {
        let offered = |scheme| match scheme {
            Scheme::Digest => strongest(challenges),
            Scheme::Negotiate | Scheme::Ntlm | Scheme::Basic => challenges.iter().find(|c| c.is(scheme)),
        };
        self.plan.schemes.iter().find_map(|scheme| {
            let (start, challenge) = match (scheme, offered(*scheme)) {
                (scheme, Some(challenge)) => (Start::Scheme(*scheme), challenge),
                (Scheme::Ntlm, None) => (Start::NtlmInNegotiate, offered(Scheme::Negotiate)?),
                (Scheme::Negotiate | Scheme::Digest | Scheme::Basic, None) => return None,
            };
            let usable = !self.failed.iter().any(|(failed, _)| *failed == start);
            usable.then(|| (start, Some(challenge.clone())))
        })
    }

    fn begin(
        &mut self,
        start: Start,
        request: &RequestLine,
        challenge: Option<&Challenge>,
    ) -> Result<Credentials, MechanismError> {
        // What was judged meanwhile, by a KDC, stands for nothing more.
        self.leave.take_if(|leave| leave.permit().is_spent());
        let Plan { upstream, mechanisms, binding, .. } = &self.plan;
        let begun = mechanisms.start(start, upstream, binding.as_ref(), self.leave.as_ref());
        let mechanism = begun.inspect_err(|error| {
            // One for another secret is of no use, and would be in the way of the next one.
            if *error == MechanismError::NeedsLeave {
                self.leave = None;
            }
        })?;
        let mut current = Current { start, mechanism, proved: false };
        let credentials = self.leg(&mut current, request, challenge)?;
        self.current = Some(current);
        self.next = Some((start, challenge.cloned()));
        Ok(credentials)
    }

    fn leg(
        &mut self,
        current: &mut Current,
        request: &RequestLine,
        challenge: Option<&Challenge>,
    ) -> Result<Credentials, MechanismError> {
        if self.legs >= MAX_LEGS {
            return Err(MechanismError::Unavailable("too many legs".into()));
        }
        self.legs += 1;
        let Leg { credentials, proves_secret } = current.mechanism.step(request, challenge)?;
        if proves_secret {
            self.show()?;
        }
        current.proved = proves_secret;
        let scheme = current.start.scheme();
        // How long a Basic leg is tells how long the password is.
        let length = (scheme != Scheme::Basic).then_some(credentials.expose().len());
        tracing::trace!(upstream = %self.plan.upstream, leg = self.legs, %scheme, length, proves_secret, "leg made");
        Ok(credentials)
    }

    /// Whoever was given leave some time ago asks whether it still holds.
    fn show(&self) -> Result<(), MechanismError> {
        let Some(leave) = &self.leave else { return Err(MechanismError::NeedsLeave) };
        if self.is_closed() {
            return Err(MechanismError::Unavailable("the secret was found bad in the meantime".into()));
        }
        leave.permit().show();
        Ok(())
    }

    fn is_closed(&self) -> bool {
        self.leave.as_ref().is_some_and(|leave| !leave.permit().is_good())
    }

    fn closed(&mut self) -> Refusal {
        self.current = None;
        let closed = self.leave.take().map(|leave| leave.permit().closed());
        closed.map_or(Refusal::Broken, Refusal::Closed)
    }

    fn reopen(&mut self) -> Action {
        self.current = None;
        if self.legs >= MAX_LEGS { Action::Refuse(Refusal::Endless) } else { Action::Reconnect }
    }

    fn fail(&mut self, start: Start, error: &MechanismError) {
        tracing::debug!(%start, %error, "scheme not usable");
        self.failed.push((start, error.lacking()));
    }

    fn rejected(&mut self, scheme: Scheme, said: Rejection) -> Refusal {
        self.current = None;
        if let Some(leave) = self.leave.take() {
            leave.permit().judge(Verdict::Rejected);
        }
        let why = match said {
            Rejection::Unsaid => self.plan.mechanisms.inquire(&self.plan.upstream),
            Rejection::Wrong | Rejection::Locked | Rejection::Expired => said,
        };
        if why != Rejection::Unsaid {
            tracing::warn!(upstream = %self.plan.upstream, "why the log-in was rejected: {why}");
        }
        Refusal::Rejected { scheme, why }
    }

    fn refusal(&self, challenges: &[Challenge]) -> Refusal {
        if !self.failed.is_empty() {
            return self.nothing_left();
        }
        let offered: Vec<&str> = challenges.iter().map(|c| c.scheme.as_str()).collect();
        let allowed: Vec<&str> = self.plan.schemes.iter().map(|s| s.token()).collect();
        Refusal::NoScheme { offered: words(&offered), allowed: words(&allowed) }
    }

    fn nothing_left(&self) -> Refusal {
        // What is said of several schemes is said once.
        let same = self.failed.chunk_by(|(_, one), (_, other)| one == other);
        let reasons = same.map(|group| {
            let starts: Vec<String> = group.iter().map(|(start, _)| start.to_string()).collect();
            let lacking = &group[0].1;
            Lacking::new(lacking.what, format!("{}: {}", starts.join(", "), lacking.why))
        });
        Refusal::NoCredential(Lacking::all(&reasons.collect::<Vec<_>>()))
    }
}

/// A nonce that is too old is no verdict on the password (RFC 7616 §3.3).
fn says_stale(challenges: &[Challenge]) -> bool {
    let stale = |c: &Challenge| c.param("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true"));
    challenges.iter().any(|challenge| challenge.is(Scheme::Digest) && stale(challenge))
}

fn closed_words(closed: &Closed) -> String {
    let what = if closed.rejected {
        "the credential was rejected before, and is not sent again"
    } else {
        "nobody has said whether the credential is good, and it is not sent again"
    };
    match closed.next {
        Some(next) => format!("{what} before {} s have passed", next.as_secs().max(1)),
        None => format!("{what} until it is changed"),
    }
}

fn words(list: &[&str]) -> String {
    if list.is_empty() { "none".into() } else { list.join(", ") }
}

#[cfg(test)]
mod tests;
