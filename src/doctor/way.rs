//! The way that a request would go, gone as far as a probe needs it: a tunnel, and TLS within.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::{Case, Finding};
use crate::address::Target;
use crate::http1::{Fields, Wire};
use crate::proxy::{Decision, Wanted, chain};
use crate::route::{Hop, Route};
use crate::upstream::shown::{self, Shown, Trust};
use crate::upstream::{Connected, Stream, Tls};

/// How far it did not lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Closed {
    /// Our own rules, or none that leads there.
    NoRoute(String),
    /// The answer of an upstream to our CONNECT.
    Refused { status: u16, hop: Hop },
    /// Nobody was reached, or the log-in failed.
    Failed(String),
    /// A tunnel stands; the certificate or what speaks TLS there is not as it should be.
    Tls { why: String, issuer: Option<String> },
}

impl Closed {
    /// What a probe could not get past.
    pub fn finding(&self) -> Finding {
        match self {
            Closed::NoRoute(why) => Finding::failed(
                format!("no way leads there: {why}"),
                "correct the rule or the script that says so; hallpass explain shows which",
            ),
            Closed::Refused { status, hop } => Finding::failed(
                format!("{}, CONNECT was answered with {status}", by(hop)),
                "ask whoever runs the proxy to allow it; --allow-list prints what to ask for",
            ),
            Closed::Failed(why) => {
                Finding::failed(format!("not reached: {why}"), "see the checks of the upstream and of the credential")
            }
            Closed::Tls { why, issuer: None } => Finding::failed(
                format!("a tunnel came about, but no TLS in it: {why}"),
                "does something on the way cut TLS connections off; is the port right",
            ),
            Closed::Tls { why, issuer: Some(issuer) } => Finding::failed(
                format!(
                    "a tunnel came about, but this system does not trust {issuer}, who signed the certificate: {why}"
                ),
                "if the proxy reads TLS, its authority must be known here: see the check of the certificate",
            ),
        }
    }
}

/// What probes go by.
#[derive(Clone)]
pub(super) struct Way {
    pub case: Arc<Case>,
    /// Whom to trust at the far end.
    pub tls: Tls,
}

/// A tunnel with what came early.
pub(super) struct Plain(Wire<Stream>);

/// TLS with somebody whom this system trusts.
pub(super) struct Secure {
    pub stream: TlsStream<Plain>,
    pub hop: Hop,
    pub issuer: String,
    /// Nobody on the way reads along: a public authority has signed for the target itself.
    pub is_public: bool,
}

impl Way {
    pub async fn decide(&self, url: &str) -> Result<(Target, Route), Closed> {
        let wanted = Wanted::parse(url).map_err(|error| Closed::NoRoute(chain(&error)))?;
        let Decision { hops, reason } = self.case.proxy.explain(&wanted).await;
        if hops.is_empty() {
            return Err(Closed::NoRoute(reason.text.into_owned()));
        }
        Ok((wanted.target().clone(), Route { hops, reason }))
    }

    pub async fn tunnel(&self, target: &Target, route: &Route) -> Result<(Plain, Hop), Closed> {
        match self.case.proxy.upstreams.tunnel(route, target, &Fields::default()).await {
            Ok(Connected::Tunnel(tunnel)) => Ok((Plain(tunnel.wire), tunnel.hop)),
            Ok(Connected::Answer(answer)) => Err(Closed::Refused { status: answer.head.status, hop: answer.hop }),
            Ok(Connected::Repeated(hop, page)) => Err(Closed::Refused { status: page.head.status, hop }),
            Err(error) => Err(Closed::Failed(chain(&error))),
        }
    }

    /// A tunnel to an `https://` or `wss://` URL, and TLS in it.
    pub async fn secure(&self, url: &str) -> Result<Secure, Closed> {
        let (target, route) = self.decide(url).await?;
        let (plain, hop) = self.tunnel(&target, &route).await?;
        let limit = self.case.config.handshake_timeout;
        let why = match timeout(limit, self.tls.connect(&target, plain)).await {
            Ok(Ok(stream)) => return Ok(Secure::of(stream, hop)),
            Ok(Err(error)) => chain(&error),
            Err(_) => format!("no TLS within {} s", limit.as_secs()),
        };
        Err(Closed::Tls { why, issuer: self.issuer(&target, &route).await })
    }

    /// Whose certificate it is that was not trusted; it takes another look.
    async fn issuer(&self, target: &Target, route: &Route) -> Option<String> {
        let (plain, _) = self.tunnel(target, route).await.ok()?;
        let shown = timeout(self.case.config.handshake_timeout, shown::look(target, plain)).await.ok()?.ok()?;
        (shown.trust != Trust::Trusted).then(|| shown.issuer())
    }
}

impl Secure {
    fn of(stream: TlsStream<Plain>, hop: Hop) -> Self {
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let chain = chain.iter().map(|one| one.clone().into_owned()).collect();
        let shown = Shown { chain, trust: Trust::Trusted, root: None };
        Self { stream, hop, issuer: shown.issuer(), is_public: shown.is_of_public_authority() }
    }
}

impl AsyncRead for Plain {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Wire { stream, buffer } = &mut self.0;
        if buffer.is_empty() {
            return Pin::new(stream).poll_read(cx, buf);
        }
        let count = buffer.len().min(buf.remaining());
        buf.put_slice(&buffer.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Plain {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.stream).poll_shutdown(cx)
    }
}

/// What stands between us and a target, for people.
pub(super) fn by(hop: &Hop) -> String {
    match hop {
        Hop::Direct => "directly".into(),
        Hop::Upstream(endpoint) => format!("by {endpoint}"),
    }
}
