//! A look at one upstream as far as it goes without a credential: is it there, what is its certificate, does it want a
//! log-in, and by which schemes. Nothing is learnt from it for requests.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::handshake::leg;
use super::shown::{self, Shown};
use super::{ConnectCause, Stream, Upstreams};
use crate::address::{Endpoint, Target};
use crate::auth::challenge::parse_all;
use crate::http1::{Fields, ResponseHead, Wire};

#[derive(Debug)]
pub struct Knock {
    /// Which of its addresses took the connection.
    pub address: Option<SocketAddr>,
    /// Until there was one, its name included.
    pub dialled: Duration,
    /// To a bare CONNECT; `None` from one that speaks no HTTP.
    pub answer: Option<ResponseHead>,
}

impl Knock {
    /// The schemes by which it can be logged in to, as it names them.
    pub fn offered(&self) -> Vec<String> {
        let values = self.answer.iter().flat_map(|answer| answer.fields.all("proxy-authenticate"));
        let mut names: Vec<String> = parse_all(values).into_iter().map(|challenge| challenge.scheme).collect();
        names.dedup();
        names
    }

    pub fn wants_log_in(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer.status == 407)
    }
}

impl Upstreams {
    /// `target` is what the CONNECT asks for.
    pub async fn knock(&self, endpoint: &Endpoint, target: &Target) -> Result<Knock, ConnectCause> {
        let upstream = self.find(endpoint);
        let began = Instant::now();
        let stream = self.dialer.dial(&endpoint.target).await?;
        let (address, dialled) = (stream.peer_addr().ok(), began.elapsed());
        if endpoint.is_socks() {
            return Ok(Knock { address, dialled, answer: None });
        }
        let ask = async {
            let stream = match &upstream.tls {
                Some(tls) => Stream::Tls(Box::new(tls.connect(&endpoint.target, stream).await?)),
                None => Stream::Tcp(stream),
            };
            let head = self.connect_head(target, &Fields::default());
            leg(&mut Wire::new(stream), &head, None, self.live.witness()).await.map_err(ConnectCause::Broken)
        };
        let limit = self.handshake_timeout;
        let slow = |_| ConnectCause::HandshakeTimeout { limit, proved: false };
        let answer = timeout(limit, ask).await.map_err(slow)??;
        Ok(Knock { address, dialled, answer: Some(answer) })
    }

    /// The certificate that an upstream shows, whether it is trusted or not.
    pub async fn shown_by(&self, endpoint: &Endpoint) -> Result<Shown, ConnectCause> {
        let stream = self.dialer.dial(&endpoint.target).await?;
        let slow = |_| ConnectCause::HandshakeTimeout { limit: self.handshake_timeout, proved: false };
        let looked = timeout(self.handshake_timeout, shown::look(&endpoint.target, stream)).await;
        Ok(looked.map_err(slow)??)
    }
}
