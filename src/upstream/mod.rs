//! Connections to hops: dialled, talked through the 407 exchange, kept for the next request.
//!
//! * [`Upstreams::tunnel`] tries the hops of a route in order and ends in a tunnel or the upstream's own answer;
//! * [`Upstreams::lease`] gives a connection on which the next request can be sent, its safe legs done.

mod attempts;
mod dial;
pub mod fetch;
mod footing;
mod forbidden;
mod handshake;
mod histogram;
mod knock;
mod lease;
mod leave;
mod legs;
mod live;
pub mod lockout;
pub mod logons;
mod marks;
mod pool;
mod port80;
mod reach;
mod said;
pub mod shown;
mod socks;
mod spare;
mod stream;
mod tls;
mod unlisted;
mod warm;
mod witness;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

pub use dial::{Addresses, DialError, Dialer, OwnAddress, Resolve, tune};
pub use footing::{Footing, Loss};
pub use forbidden::{MAX_PAGE, Page};
pub use handshake::{Answer, Connected, Tunnel};
pub use histogram::Histogram;
pub use knock::Knock;
pub use lease::{BodyHint, Hearing, Lease, reaches_origin};
pub use legs::Verdict;
pub use live::Live;
pub use marks::Health;
pub use pool::MAX_IDLE_TOTAL;
pub use said::Said;
pub use stream::Stream;
pub use tls::{Tls, TlsError, TlsOptions, TlsTrouble};
pub use unlisted::Unlisted;
pub use witness::{Connection, Witness};

use crate::address::{Endpoint, Target};
use crate::auth::{ChannelBinding, Mechanisms, Plan, Refusal, Scheme};
use crate::http1::{ReadError, Wire};
use crate::route::Hop;
use crate::socks::client::SocksError;
use attempts::Patience;
use live::UpstreamKey;

/// Kerberos tickets with many groups come back in challenges of this size (MS-KILE allows 48 KiB tokens).
pub const MAX_RESPONSE_HEAD: usize = 256 * 1024;

/// A 407's page is skipped up to here to keep the connection; beyond, a new one is cheaper.
const MAX_SKIPPED: usize = 64 * 1024;

/// A dial that takes longer than this may mean that the network is another one by now.
const SLOW: Duration = Duration::from_millis(300);

/// One upstream, ready to be dialled.
#[derive(Debug, Clone)]
pub struct Upstream {
    pub endpoint: Endpoint,
    pub schemes: Arc<[Scheme]>,
    pub tls: Option<Tls>,
    pub channel_bindings: bool,
    /// Differs whenever the credential or the TLS settings differ.
    pub generation: u64,
}

impl Upstream {
    /// TLS where it wants that.
    async fn secure(&self, stream: TcpStream, limit: Duration) -> Result<Dialled, ConnectCause> {
        let Some(tls) = &self.tls else {
            return Ok(Dialled { wire: Wire::new(Stream::Tcp(stream)), binding: None });
        };
        let timed_out = |_| ConnectCause::HandshakeTimeout { limit, proved: false };
        let stream = timeout(limit, tls.connect(&self.endpoint.target, stream)).await.map_err(timed_out)??;
        let binding = if self.channel_bindings { tls::server_end_point(&stream) } else { None };
        Ok(Dialled { wire: Wire::new(Stream::Tls(Box::new(stream))), binding })
    }
}

/// All that is needed to get through hops; immutable but for [`Live`].
pub struct Upstreams {
    /// The configured ones.
    pub list: Vec<Arc<Upstream>>,
    /// Those that only a PAC script or the system names.
    pub unlisted: Unlisted,
    pub mechanisms: Arc<dyn Mechanisms>,
    pub dialer: Dialer,
    /// Addresses that no target is reached at directly.
    pub forbids: fn(IpAddr) -> bool,
    /// Differs from that of others who forbid something else: they do not share direct connections.
    pub direct_generation: u64,
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
    /// An upstream that speaks SOCKS said no.
    #[error(transparent)]
    Socks(#[from] SocksError),
    #[error("there is no hop to be tried")]
    Unknown,
    /// What was shown by then nobody knows.
    #[error("the log-in failed by a mistake in hallpass itself")]
    Mistake,
}

#[derive(Debug, Error)]
#[error("{hop} failed for {target}")]
pub struct ConnectError {
    pub target: Target,
    pub hop: Hop,
    #[source]
    pub cause: ConnectCause,
    /// What the other hops came to.
    pub others: Vec<Failed>,
}

#[derive(Debug)]
pub struct Failed {
    pub hop: Hop,
    pub cause: ConnectCause,
}

impl ConnectError {
    pub fn new(target: &Target, hop: &Hop, cause: ConnectCause) -> Self {
        Self { target: target.clone(), hop: hop.clone(), cause, others: Vec::new() }
    }

    /// The scheme whose proof was refused.
    pub fn scheme(&self) -> Option<Scheme> {
        match &self.cause {
            ConnectCause::Refused(Refusal::Rejected { scheme, .. }) => Some(*scheme),
            ConnectCause::Refused(
                Refusal::Closed(_)
                | Refusal::Crowded
                | Refusal::NoCredential(_)
                | Refusal::NoScheme { .. }
                | Refusal::Broken
                | Refusal::Endless,
            )
            | ConnectCause::Dial(_)
            | ConnectCause::Tls(_)
            | ConnectCause::Socks(_)
            | ConnectCause::HandshakeTimeout { .. }
            | ConnectCause::Broken(_)
            | ConnectCause::Unknown
            | ConnectCause::Mistake => None,
        }
    }

    /// No hop was reached, so nothing was said to anybody.
    pub fn is_unreachable(&self) -> bool {
        matches!(&self.cause, ConnectCause::Dial(error) if !matches!(error, DialError::Loop(_) | DialError::Forbidden { .. }))
    }

    /// The network is another one than when the hop was dialled.
    pub fn is_outdated(&self) -> bool {
        matches!(&self.cause, ConnectCause::Dial(DialError::Moved))
    }

    /// Whether another hop may do better. Once a secret was judged it is shown to nobody else.
    pub fn leaves_other_hops(&self) -> bool {
        match &self.cause {
            ConnectCause::Socks(error) => !error.is_final(),
            ConnectCause::Dial(DialError::Loop(_) | DialError::Forbidden { .. } | DialError::Moved)
            | ConnectCause::HandshakeTimeout { proved: true, .. }
            | ConnectCause::Refused(Refusal::Rejected { .. } | Refusal::Broken)
            | ConnectCause::Mistake => false,
            ConnectCause::Dial(_)
            | ConnectCause::Tls(_)
            | ConnectCause::HandshakeTimeout { proved: false, .. }
            | ConnectCause::Broken(_)
            | ConnectCause::Refused(
                Refusal::Closed(_)
                | Refusal::Crowded
                | Refusal::NoCredential(_)
                | Refusal::NoScheme { .. }
                | Refusal::Endless,
            )
            | ConnectCause::Unknown => true,
        }
    }
}

/// A connection to an upstream on which nothing was said yet.
#[derive(Debug)]
struct Dialled {
    wire: Wire<Stream>,
    binding: Option<ChannelBinding>,
}

impl Upstreams {
    fn find(&self, endpoint: &Endpoint) -> Arc<Upstream> {
        match self.list.iter().find(|upstream| upstream.endpoint == *endpoint) {
            Some(upstream) => upstream.clone(),
            None => self.unlisted.find(endpoint),
        }
    }

    /// One that fails or is slow casts doubt on the network.
    async fn dial(&self, upstream: &Upstream, patience: Patience) -> Result<Dialled, ConnectCause> {
        let slow = async {
            sleep(SLOW).await;
            self.live.doubt();
            std::future::pending::<Infallible>().await
        };
        let dialled = tokio::select! {
            biased;
            dialled = Box::pin(self.dial_to_its_end(upstream, patience)) => dialled,
            never = slow => match never {},
        };
        dialled.inspect_err(|_| self.live.doubt())
    }

    async fn dial_to_its_end(&self, upstream: &Upstream, patience: Patience) -> Result<Dialled, ConnectCause> {
        let stream = self.reach(&upstream.endpoint, patience).await?;
        upstream.secure(stream, self.handshake_timeout).await
    }

    fn key(&self, upstream: &Upstream) -> UpstreamKey {
        UpstreamKey { endpoint: upstream.endpoint.clone(), generation: upstream.generation }
    }

    /// What a refusal of the exchange means for this request, and for the next ones.
    fn refused(&self, upstream: &Upstream, refusal: Refusal) -> ConnectCause {
        if let Refusal::Rejected { scheme, .. } = refusal {
            self.live.forget_start(&self.key(upstream));
            self.live.logons().rejected(&upstream.endpoint, scheme);
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
        }
    }
}
