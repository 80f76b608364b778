//! Connections to hops: dialled, talked through the 407 exchange, kept for the next request.
//!
//! * [`Upstreams::tunnel`] tries the hops of a route in order and ends in a tunnel or the upstream's own answer;
//! * [`Upstreams::lease`] gives a connection on which the next request can be sent, its safe legs done.

mod dial;
mod handshake;
mod lease;
mod legs;
mod live;
mod port80;
mod stream;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::time::timeout;

pub use dial::{Addresses, DialError, Dialer, Resolve, tune};
pub use handshake::{Answer, Connected, Tunnel};
pub use lease::{BodyHint, Lease};
pub use legs::Verdict;
pub use live::Live;
pub use stream::Stream;
pub use tls::{Tls, TlsError, TlsOptions};

use crate::address::{Endpoint, Target};
use crate::auth::{ChannelBinding, Mechanisms, Plan, Refusal, Scheme};
use crate::http1::{ReadError, Wire};
use crate::route::Hop;
use live::UpstreamKey;

/// Kerberos tickets with many groups come back in challenges of this size (MS-KILE allows 48 KiB tokens).
pub const MAX_RESPONSE_HEAD: usize = 256 * 1024;

/// A 407's page is skipped up to here to keep the connection; beyond, a new one is cheaper.
const MAX_SKIPPED: usize = 64 * 1024;

/// One configured upstream, ready to be dialled.
#[derive(Debug, Clone)]
pub struct Upstream {
    pub endpoint: Endpoint,
    pub schemes: Arc<[Scheme]>,
    pub tls: Option<Tls>,
    pub channel_bindings: bool,
    /// Differs whenever the credential or the TLS settings differ.
    pub generation: u64,
}

/// All that is needed to get through hops; immutable but for [`Live`].
pub struct Upstreams {
    pub list: Vec<Upstream>,
    pub mechanisms: Arc<dyn Mechanisms>,
    pub dialer: Dialer,
    pub handshake_timeout: Duration,
    /// Fills an absent User-Agent on CONNECTs.
    pub user_agent: Option<String>,
    pub live: Arc<Live>,
}

/// How far an attempt got.
#[derive(Debug, Error)]
pub enum ConnectCause {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the upstream did not finish the handshake within {limit:?}")]
    HandshakeTimeout {
        limit: Duration,
        /// The secret was shown by then, and may have been judged.
        proved: bool,
    },
    #[error("the upstream broke off")]
    Broken(#[source] ReadError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the upstream is not configured")]
    Unknown,
}

#[derive(Debug, Error)]
#[error("{hop} failed for {target}")]
pub struct ConnectError {
    pub target: Target,
    pub hop: Hop,
    #[source]
    pub cause: ConnectCause,
}

impl ConnectError {
    /// The scheme whose proof was refused.
    pub fn scheme(&self) -> Option<Scheme> {
        match &self.cause {
            ConnectCause::Refused(Refusal::Rejected { scheme }) => Some(*scheme),
            ConnectCause::Refused(
                Refusal::NoCredential(_) | Refusal::NoScheme { .. } | Refusal::Broken | Refusal::Endless,
            )
            | ConnectCause::Dial(_)
            | ConnectCause::Tls(_)
            | ConnectCause::HandshakeTimeout { .. }
            | ConnectCause::Broken(_)
            | ConnectCause::Unknown => None,
        }
    }

    /// Whether another hop may do better. Once a secret was judged it is shown to nobody else.
    pub fn leaves_other_hops(&self) -> bool {
        match &self.cause {
            ConnectCause::Dial(DialError::Loop(_))
            | ConnectCause::HandshakeTimeout { proved: true, .. }
            | ConnectCause::Refused(Refusal::Rejected { .. } | Refusal::Broken) => false,
            ConnectCause::Dial(_)
            | ConnectCause::Tls(_)
            | ConnectCause::HandshakeTimeout { proved: false, .. }
            | ConnectCause::Broken(_)
            | ConnectCause::Refused(Refusal::NoCredential(_) | Refusal::NoScheme { .. } | Refusal::Endless)
            | ConnectCause::Unknown => true,
        }
    }
}

/// What the hops that were tried came to.
#[derive(Default)]
struct Failures(Option<ConnectError>);

impl Failures {
    /// Whether the next hop may be tried.
    fn note(&mut self, error: ConnectError) -> bool {
        tracing::info!(hop = %error.hop, error = %error.cause, "hop failed");
        let goes_on = error.leaves_other_hops();
        // A hop that asked for what we do not have says more than one that did not answer.
        if !goes_on || !matches!(self.0, Some(ConnectError { cause: ConnectCause::Refused(_), .. })) {
            self.0 = Some(error);
        }
        goes_on
    }

    fn verdict(self, target: &Target) -> ConnectError {
        self.0.unwrap_or_else(|| ConnectError {
            target: target.clone(),
            hop: Hop::Direct,
            cause: ConnectCause::Unknown,
        })
    }
}

/// A fresh connection to an upstream.
struct Dialled {
    wire: Wire<Stream>,
    binding: Option<ChannelBinding>,
}

impl Upstreams {
    fn find(&self, endpoint: &Endpoint) -> Result<&Upstream, ConnectCause> {
        self.list.iter().find(|upstream| upstream.endpoint == *endpoint).ok_or(ConnectCause::Unknown)
    }

    async fn dial(&self, upstream: &Upstream) -> Result<Dialled, ConnectCause> {
        let target = &upstream.endpoint.target;
        let stream = self.dialer.dial(target).await?;
        let Some(tls) = &upstream.tls else {
            return Ok(Dialled { wire: Wire::new(Stream::Tcp(stream)), binding: None });
        };
        let timed_out = |_| ConnectCause::HandshakeTimeout { limit: self.handshake_timeout, proved: false };
        let stream = timeout(self.handshake_timeout, tls.connect(target, stream)).await.map_err(timed_out)??;
        let binding = if upstream.channel_bindings { tls::server_end_point(&stream) } else { None };
        Ok(Dialled { wire: Wire::new(Stream::Tls(Box::new(stream))), binding })
    }

    fn key(&self, upstream: &Upstream) -> UpstreamKey {
        UpstreamKey { endpoint: upstream.endpoint.clone(), generation: upstream.generation }
    }

    /// What a refusal of the exchange means for this request, and for the next ones.
    fn refused(&self, upstream: &Upstream, refusal: Refusal) -> ConnectCause {
        if matches!(refusal, Refusal::Rejected { .. }) {
            self.live.forget_proof(&self.key(upstream));
        }
        refusal.into()
    }

    fn plan(&self, upstream: &Upstream, binding: Option<ChannelBinding>) -> Plan {
        let known = self.live.known(&self.key(upstream));
        Plan {
            upstream: upstream.endpoint.clone(),
            schemes: upstream.schemes.clone(),
            mechanisms: self.mechanisms.clone(),
            binding,
            remembered: known.start,
            proven: known.proven,
        }
    }
}
