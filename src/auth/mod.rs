//! The 407 exchange (RFC 9110 §11): which scheme, which leg, when to stop. No sockets, no clock.
//!
//! An [`Exchange`] lives as long as one request's attempts at one upstream, over reconnections. Its caller
//! writes what it is told to write and reports every 407:
//!
//! ```text
//!            opening()              any other status is final: outcome()
//! connect ──────────────▶ write ──▶ read ──▶ 407: on_challenge()
//!    ▲                      ▲                 │
//!    │                      └─────────────────┼─── Send        next leg, same connection
//!    │                                        ├─── Wait        ask for leave to show the secret, then the same again
//!    └────────────────────────────────────────┼─── Reconnect   a fresh connection, then opening() again
//!                                             └──▶ Refuse      nothing (more) to send; says why
//! ```

pub mod account;
pub mod basic;
pub mod challenge;
pub mod digest;
mod exchange;
pub mod kerberos;
mod lack;
pub mod lockout;
pub mod ntlm;
pub mod spnego;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

pub use account::User;
pub use challenge::Challenge;
pub use exchange::{Action, Exchange, MAX_LEGS, Opening, Outcome, Plan, Refusal};
pub use lack::{Lack, Lacking};

use crate::address::Endpoint;
use crate::secret::Credentials;
use lockout::{Leave, Stake};

/// The schemes we speak, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Kerberos in SPNEGO (RFC 4559).
    Negotiate,
    /// MS-NTHT.
    Ntlm,
    /// RFC 7616.
    Digest,
    /// RFC 7617.
    Basic,
}

impl Scheme {
    /// Tried when nothing is configured. Basic shows the password to everyone on the way: only if named.
    pub const DEFAULT: [Self; 3] = [Self::Negotiate, Self::Ntlm, Self::Digest];

    /// The word in `Proxy-Authenticate` and `Proxy-Authorization`.
    pub fn token(self) -> &'static str {
        match self {
            Self::Negotiate => "Negotiate",
            Self::Ntlm => "NTLM",
            Self::Digest => "Digest",
            Self::Basic => "Basic",
        }
    }

    /// The connection, not the request, is authenticated.
    pub fn binds_connection(self) -> bool {
        matches!(self, Self::Negotiate | Self::Ntlm)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}

impl FromStr for Scheme {
    type Err = UnknownScheme;

    fn from_str(text: &str) -> Result<Self, UnknownScheme> {
        [Self::Negotiate, Self::Ntlm, Self::Digest, Self::Basic]
            .into_iter()
            .find(|scheme| scheme.token().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownScheme(text.into()))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no such scheme: {0:?} (known: negotiate, ntlm, digest, basic)")]
pub struct UnknownScheme(pub String);

/// What a leg is sent with. Only Digest looks at it (RFC 7616 §3.4.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestLine {
    pub method: String,
    /// As it stands in the request line: `host:port` for CONNECT, else the absolute URI.
    pub uri: String,
}

/// One message of ours in a handshake.
#[derive(Debug, Clone)]
pub struct Leg {
    pub credentials: Credentials,
    /// A refusal of this leg is a verdict on the secret: nothing derived from it is sent after that.
    /// False for an NTLM type 1 and for a Kerberos ticket.
    pub proves_secret: bool,
}

/// What is known about why a secret was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Rejection {
    /// An upstream says no more than no.
    #[error("wrong, changed, expired or locked: nobody says which")]
    Unsaid,
    #[error("the password is wrong")]
    Wrong,
    #[error("the account is locked or disabled")]
    Locked,
    #[error("the password has expired")]
    Expired,
}

/// Why a mechanism has nothing to send.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MechanismError {
    /// Nothing was judged: another scheme may be tried (no ticket, unknown SPN, no KDC, no first token).
    #[error("{0}")]
    Unavailable(Lacking),
    /// Somebody who knows refused the secret (a KDC's PREAUTH_FAILED): nothing derived from it is sent any more.
    #[error("{0}")]
    Rejected(Rejection),
    /// The other side's token makes no sense.
    #[error("{0}")]
    BadChallenge(String),
    /// It would show the secret, and has no leave to.
    #[error("there is no leave to show the secret")]
    NeedsLeave,
}

impl MechanismError {
    pub fn lacking(&self) -> Lacking {
        match self {
            Self::Unavailable(lacking) => lacking.clone(),
            Self::Rejected(_) | Self::BadChallenge(_) | Self::NeedsLeave => self.to_string().into(),
        }
    }
}

/// One scheme on one connection. May block (tickets, key derivation): callers run it where blocking is allowed.
pub trait Mechanism: Send {
    /// The next leg. `challenge` is `None` when the leg opens the connection without having been asked.
    fn step(&mut self, request: &RequestLine, challenge: Option<&Challenge>) -> Result<Leg, MechanismError>;
}

/// How a scheme is to be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Start {
    Scheme(Scheme),
    /// NTLMSSP messages under the Negotiate scheme, for upstreams that call NTLM so (MS-SPNG §3.3).
    NtlmInNegotiate,
}

impl Start {
    /// The scheme that must be allowed for it.
    pub fn means(self) -> Scheme {
        match self {
            Self::Scheme(scheme) => scheme,
            Self::NtlmInNegotiate => Scheme::Ntlm,
        }
    }

    /// The scheme it goes under on the wire.
    pub fn scheme(self) -> Scheme {
        match self {
            Self::Scheme(scheme) => scheme,
            Self::NtlmInNegotiate => Scheme::Negotiate,
        }
    }

    /// The secret is not in the first message.
    pub fn has_several_legs(self) -> bool {
        self.means() == Scheme::Ntlm
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme(scheme) => scheme.fmt(f),
            Self::NtlmInNegotiate => f.write_str("NTLM in Negotiate"),
        }
    }
}

/// What the peer's certificate gives to channel bindings: `tls-server-end-point` (RFC 5929 §4), the bare hash.
pub type ChannelBinding = Vec<u8>;

/// What GSS-API and NTLM bind to: the type's name, then the hash (RFC 5929 §4, RFC 5056 §2.1).
pub fn binding_data(end_point: &[u8]) -> Vec<u8> {
    [b"tls-server-end-point:", end_point].concat()
}

/// Who logs in where user and password go as they are.
pub struct Login {
    pub user: String,
    pub stake: Arc<dyn Stake>,
}

/// A Kerberos ticket, as far as it matters to whoever waits for the next log-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketLife {
    pub owner: String,
    /// Zero: it has expired.
    pub left: Duration,
}

/// Where credentials live, and the list of upstreams that may receive them.
pub trait Mechanisms: Send + Sync {
    /// `Err(Unavailable)` where this upstream gets no credential for this scheme, with the reason in words.
    /// Without `leave` nothing is made of the secret: `Err(NeedsLeave)` where it would have to be. May block, as a
    /// step may.
    fn start(
        &self,
        start: Start,
        upstream: &Endpoint,
        binding: Option<&ChannelBinding>,
        leave: Option<&Leave>,
    ) -> Result<Box<dyn Mechanism>, MechanismError>;

    /// Whether to start this, or a step of it, may wait for a ticket, a KDC or a disk.
    fn may_block(&self, _start: Start) -> bool {
        true
    }

    /// What the scheme would put at risk there. Does not block.
    fn stake(&self, start: Start, upstream: &Endpoint) -> Result<Arc<dyn Stake>, MechanismError> {
        Err(MechanismError::Unavailable(format!("{start} has no secret for {upstream}").into()))
    }

    /// A person has asked for a fresh start so often: secrets that were read before are read again when they are needed,
    /// and what was derived from them is forgotten. Does not block.
    fn renew(&self, _generation: u64) {}

    /// Whose account an upstream is shown, in words for people. Does not block.
    fn account(&self, _: &Endpoint) -> Option<String> {
        None
    }

    /// How long the ticket that is there lives; nobody is asked for one. May block.
    fn ticket(&self, _: &Endpoint) -> Option<TicketLife> {
        None
    }

    /// Asks whoever can tell without being shown the secret how the account stands. May block.
    fn inquire(&self, _: &Endpoint) -> Rejection {
        Rejection::Unsaid
    }

    /// How Kerberos stands for this upstream, without a secret being shown. `None` where it has no credential. May block.
    fn kerberos(&self, _: &Endpoint) -> Option<kerberos::KerberosView> {
        None
    }

    /// User and password as they are, for an upstream that speaks no HTTP. Does not block.
    fn login(&self, upstream: &Endpoint) -> Result<Login, MechanismError> {
        Err(MechanismError::Unavailable(format!("no user and password for {upstream}").into()))
    }
}
