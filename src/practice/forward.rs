//! Absolute-form requests, sent on to the origin frame by frame.
//!
//! A client connection has its own connection to each origin. So an origin that authenticates connections
//! sees one client per connection, and who shares more than that was not this proxy.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONNECTION, EXPECT, HOST, HeaderName, HeaderValue, TE, UPGRADE, WWW_AUTHENTICATE};
use hyper::{HeaderMap, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::body::{Body, BodyError};
use super::record::Record;
use super::tasks::Tasks;
use super::tunnel;
use crate::address::Target;
use crate::auth::{Scheme, challenge};

const PROXY_SUPPORT: HeaderName = HeaderName::from_static("proxy-support");
const HOP_BY_HOP: [HeaderName; 5] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authorization"),
    HeaderName::from_static("proxy-connection"),
    CONNECTION,
];

/// The connections to origins that belong to one client connection.
#[derive(Clone, Default)]
pub(super) struct Origins(Arc<Mutex<HashMap<SocketAddr, SendRequest<Body>>>>);

/// `request` has an absolute URI; its body is already the one to send.
pub(super) async fn forward(
    origins: &Origins,
    tasks: &Tasks,
    record: &Record,
    address: SocketAddr,
    target: &Target,
    mut request: Request<Body>,
) -> Result<Response<Body>, BodyError> {
    let client = hyper::upgrade::on(&mut request);
    let switching = request.headers().contains_key(UPGRADE);
    clean(request.headers_mut());
    let host = host_field(target)?;
    request.headers_mut().insert(HOST, host);
    *request.uri_mut() = origin_form(request.uri())?;
    *request.version_mut() = Version::HTTP_11;
    request.extensions_mut().clear();
    let mut response = origins.send(tasks, address, request).await?;
    if switching && response.status() == StatusCode::SWITCHING_PROTOCOLS {
        tasks.spawn(tunnel::join(client, hyper::upgrade::on(&mut response), record.tunnel()));
    } else {
        clean(response.headers_mut());
        announce_pinning(response.headers_mut());
    }
    *response.version_mut() = Version::HTTP_11;
    Ok(response.map(|body| body.map_err(BodyError::from).boxed_unsync()))
}

impl Origins {
    /// The lock is held until the response's head is there: one request at a time is all HTTP/1 has.
    async fn send(
        &self,
        tasks: &Tasks,
        address: SocketAddr,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, BodyError> {
        let mut origins = self.0.lock().await;
        let mut sender = match usable(origins.remove(&address)).await {
            Some(idle) => idle,
            None => dial(tasks, address).await?,
        };
        let response = sender.send_request(request).await?;
        origins.insert(address, sender);
        Ok(response)
    }
}

/// An origin may have closed its connection since.
async fn usable(idle: Option<SendRequest<Body>>) -> Option<SendRequest<Body>> {
    let mut idle = idle?;
    idle.ready().await.is_ok().then_some(idle)
}

async fn dial(tasks: &Tasks, address: SocketAddr) -> Result<SendRequest<Body>, BodyError> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::Builder::new().title_case_headers(true).handshake(TokioIo::new(stream)).await?;
    tasks.spawn(async move {
        let _ = connection.with_upgrades().await;
    });
    Ok(sender)
}

/// An origin that authenticates connections may do so here: this client has that connection alone (RFC 4559 §6).
fn announce_pinning(headers: &mut HeaderMap) {
    let mut schemes =
        challenge::parse_all(headers.get_all(WWW_AUTHENTICATE).iter().map(HeaderValue::as_bytes)).into_iter();
    if schemes.any(|challenge| challenge.is(Scheme::Ntlm) || challenge.is(Scheme::Negotiate)) {
        headers.insert(PROXY_SUPPORT, HeaderValue::from_static("Session-Based-Authentication"));
    }
}

/// What is said on this hop stays on it; `Upgrade` and `TE: trailers` are said anew for the next.
fn clean(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|name| name.trim().to_ascii_lowercase()))
        .collect();
    for name in named.iter().filter(|name| !["upgrade", "te", "close"].contains(&name.as_str())) {
        headers.remove(name.as_str());
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    // The server side has already said 100 when the body is polled.
    headers.remove(EXPECT);
    if headers.contains_key(UPGRADE) {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    } else if headers.contains_key(TE) {
        headers.insert(CONNECTION, HeaderValue::from_static("TE"));
    }
}

/// The URI's authority is the host, whatever the Host field said (RFC 9112 §3.2.2).
fn host_field(target: &Target) -> Result<HeaderValue, BodyError> {
    let host = if target.port == 80 { target.host.to_string() } else { target.to_string() };
    Ok(HeaderValue::try_from(host)?)
}

fn origin_form(uri: &Uri) -> Result<Uri, BodyError> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Ok(if path.is_empty() { "/" } else { path }.parse()?)
}
