//! The text of a PAC script off the network, always directly.
//!
//! Whether nobody is there or somebody answered something odd decides if anything may go direct, so the errors keep
//! these apart: [`FetchError::is_unreachable`].

mod place;

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::dial::{DialError, Dialer, OwnAddress, Resolve};
use super::stream::Stream;
use super::tls::{Tls, TlsError};
use crate::http1::{Body, Fields, ReadError, RequestHead, ResponseHead, Version, Wire};
use place::Place;

/// A script is fetched while requests wait for it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const TOTAL_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_REDIRECTS: usize = 5;
const MAX_HEAD: usize = 64 * 1024;
/// Bytes; the largest scripts of the field are a tenth of it.
const MAX_TEXT: usize = 8 * 1024 * 1024;

#[derive(Debug, Error)]
pub enum FetchError {
    #[error("{0} is no http:// or https:// URL")]
    Url(String),
    /// Nobody is there: the name does not resolve, or no connection comes about.
    #[error("nobody is there")]
    Unreachable(#[source] DialError),
    /// It says nothing about who is there: it is ourselves, or we lack something.
    #[error("no connection could be tried")]
    Dial(#[source] DialError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the answer was not complete within {0:?}")]
    Slow(Duration),
    #[error("the server answered with status {0}")]
    Status(u16),
    #[error("the answer broke off or is no HTTP")]
    Broken(#[source] ReadError),
    #[error("the text is larger than {} MiB", MAX_TEXT >> 20)]
    TooLarge,
    #[error("the text is packed ({0}), which was not asked for")]
    Packed(String),
    #[error("the redirect to {0:?} is not followed")]
    Redirect(String),
    #[error("the redirect to {to} leads nowhere")]
    RedirectedNowhere {
        to: String,
        #[source]
        source: DialError,
    },
    #[error("more than {MAX_REDIRECTS} redirects")]
    TooManyRedirects,
}

impl FetchError {
    /// Whether nobody at all answered. Whoever redirects has answered.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}

/// What a server gave us to ask it whether the text has changed (RFC 9110 §8.8).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    pub etag: Option<Vec<u8>>,
    pub last_modified: Option<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    Text { bytes: Vec<u8>, content_type: Option<String>, validators: Validators },
    NotModified,
}

/// How texts are fetched.
pub struct Fetcher {
    pub dialer: Dialer,
    pub tls: Tls,
    /// For everything together, redirects included.
    pub limit: Duration,
}

impl Fetcher {
    /// With what the system trusts.
    pub fn new(resolver: Arc<dyn Resolve>, own: OwnAddress) -> Self {
        let dialer = Dialer { resolver, connect_timeout: CONNECT_TIMEOUT, keepalive: None, own };
        Self { dialer, tls: Tls::system(), limit: TOTAL_TIMEOUT }
    }

    /// With `known`, only if the text has changed since.
    pub async fn fetch(&self, url: &str, known: Option<&Validators>) -> Result<Fetched, FetchError> {
        let place = Place::parse(url)?;
        timeout(self.limit, self.follow(place, known)).await.unwrap_or(Err(FetchError::Slow(self.limit)))
    }

    async fn follow(&self, mut place: Place, known: Option<&Validators>) -> Result<Fetched, FetchError> {
        for redirects in 0..=MAX_REDIRECTS {
            let (head, mut wire) = match self.ask(&place, known).await {
                Err(FetchError::Unreachable(source)) if redirects > 0 => {
                    return Err(FetchError::RedirectedNowhere { to: place.target.to_string(), source });
                }
                answered => answered?,
            };
            match head.status {
                200 => return text(&head, &mut wire).await,
                304 if known.is_some() => return Ok(Fetched::NotModified),
                301 | 302 | 303 | 307 | 308 => {
                    let location = head.fields.first("location").ok_or(FetchError::Status(head.status))?;
                    place = place.redirected(&String::from_utf8_lossy(location))?;
                }
                status => return Err(FetchError::Status(status)),
            }
        }
        Err(FetchError::TooManyRedirects)
    }

    async fn ask(&self, place: &Place, known: Option<&Validators>) -> Result<(ResponseHead, Wire<Stream>), FetchError> {
        let stream = self.dialer.dial(&place.target).await.map_err(|error| {
            if error.is_absence() { FetchError::Unreachable(error) } else { FetchError::Dial(error) }
        })?;
        let stream = match place.is_tls {
            true => Stream::Tls(Box::new(self.tls.connect(&place.target, stream).await?)),
            false => Stream::Tcp(stream),
        };
        let mut wire = Wire::new(stream);
        let sent = async {
            wire.stream.write_all(&request(place, known).to_bytes(None)).await?;
            wire.stream.flush().await
        };
        sent.await.map_err(|error| FetchError::Broken(error.into()))?;
        loop {
            let head = wire.reader().response(MAX_HEAD).await.map_err(FetchError::Broken)?;
            if !head.is_informational() {
                return Ok((head, wire));
            }
        }
    }
}

fn request(place: &Place, known: Option<&Validators>) -> RequestHead {
    let mut fields: Fields = [
        ("Host", place.authority.as_str()),
        ("User-Agent", "hallpass"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
    ]
    .into_iter()
    .collect();
    if let Some(etag) = known.and_then(|known| known.etag.as_deref()) {
        fields.push("If-None-Match", etag);
    }
    if let Some(date) = known.and_then(|known| known.last_modified.as_deref()) {
        fields.push("If-Modified-Since", date);
    }
    RequestHead { method: "GET".into(), target: place.path.clone(), version: Version::Http11, fields }
}

async fn text(head: &ResponseHead, wire: &mut Wire<Stream>) -> Result<Fetched, FetchError> {
    let words = |name| head.fields.first(name).map(|value| String::from_utf8_lossy(value).trim().to_string());
    if let Some(coding) = words("content-encoding").filter(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(FetchError::Packed(coding));
    }
    let mut body = Body::of_response("GET", head).map_err(|error| FetchError::Broken(error.into()))?;
    if matches!(body, Body::Length(length) if length > MAX_TEXT as u64) {
        return Err(FetchError::TooLarge);
    }
    let mut bytes = Vec::new();
    while let Ok(piece) = wire.reader().piece(&mut body).await.map_err(FetchError::Broken)? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > MAX_TEXT {
            return Err(FetchError::TooLarge);
        }
    }
    let validators = Validators {
        etag: head.fields.first("etag").map(<[u8]>::to_vec),
        last_modified: head.fields.first("last-modified").map(<[u8]>::to_vec),
    };
    Ok(Fetched::Text { bytes, content_type: words("content-type"), validators })
}
