//! The demo's client: what any program would do that knows a proxy's address and nothing more.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{
    CONNECTION, HOST, PROXY_AUTHENTICATE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Readable by tokio; [`get_on`] turns it back into what hyper reads.
pub(super) type Tunnel = TokioIo<Upgraded>;
pub(super) type Socket = WebSocketStream<Tunnel>;

pub(super) struct Answer {
    pub status: u16,
    /// The schemes of `Proxy-Authenticate`.
    pub challenges: Vec<String>,
    pub body: String,
}

/// An absolute-form GET.
pub(super) async fn get(proxy: SocketAddr, uri: &str) -> anyhow::Result<Answer> {
    read(send(dial(proxy).await?, plain(Method::GET, uri)?).await?).await
}

pub(super) async fn connect(proxy: SocketAddr, authority: &str) -> anyhow::Result<Tunnel> {
    let response = send(dial(proxy).await?, plain(Method::CONNECT, authority)?).await?;
    if response.status() != StatusCode::OK {
        let answer = read(response).await?;
        bail!("{}: {}", answer.status, answer.body.trim_end());
    }
    Ok(TokioIo::new(hyper::upgrade::on(response).await.context("the tunnel")?))
}

/// An origin-form GET inside a tunnel.
pub(super) async fn get_on(tunnel: Tunnel, path: &str) -> anyhow::Result<Answer> {
    read(send(tunnel.into_inner(), plain(Method::GET, path)?).await?).await
}

/// When each server-sent event arrived.
pub(super) async fn events(proxy: SocketAddr, uri: &str) -> anyhow::Result<Vec<Instant>> {
    let mut response = send(dial(proxy).await?, plain(Method::GET, uri)?).await?;
    ensure!(response.status() == StatusCode::OK, "{}", response.status());
    let (mut arrivals, mut text) = (Vec::new(), String::new());
    while let Some(frame) = response.frame().await {
        let now = Instant::now();
        text.push_str(&String::from_utf8_lossy(frame?.data_ref().map_or(&[][..], |data| data)));
        while let Some(end) = text.find("\n\n") {
            text.drain(..end + 2);
            arrivals.push(now);
        }
    }
    Ok(arrivals)
}

/// The WebSocket handshake inside a tunnel.
pub(super) async fn websocket_on(tunnel: Tunnel, uri: &str) -> anyhow::Result<Socket> {
    let (socket, _) = tokio_tungstenite::client_async(uri, tunnel).await.context("the WebSocket handshake")?;
    Ok(socket)
}

/// The WebSocket handshake as an absolute-form request, for proxies that pass `Upgrade` on.
pub(super) async fn websocket_by_upgrade(proxy: SocketAddr, uri: &str) -> anyhow::Result<Socket> {
    let key = generate_key();
    let mut request = plain(Method::GET, uri)?;
    for (name, value) in
        [(CONNECTION, "Upgrade"), (UPGRADE, "websocket"), (SEC_WEBSOCKET_VERSION, "13"), (SEC_WEBSOCKET_KEY, &key)]
    {
        request.headers_mut().insert(name, value.parse()?);
    }
    let response = send(dial(proxy).await?, request).await?;
    ensure!(response.status() == StatusCode::SWITCHING_PROTOCOLS, "{}", response.status());
    let accept = response.headers().get(SEC_WEBSOCKET_ACCEPT).context("the origin did not take the key")?;
    ensure!(accept.as_bytes() == derive_accept_key(key.as_bytes()).as_bytes(), "the origin took another key");
    let stream = TokioIo::new(hyper::upgrade::on(response).await.context("the upgrade")?);
    Ok(WebSocketStream::from_raw_socket(stream, Role::Client, None).await)
}

/// What comes back for one message.
pub(super) async fn echo(socket: &mut Socket, message: &str) -> anyhow::Result<String> {
    socket.send(Message::text(message)).await?;
    let answer = socket.next().await.context("the WebSocket was closed")??;
    Ok(answer.into_text()?.to_string())
}

async fn dial(proxy: SocketAddr) -> anyhow::Result<TokioIo<TcpStream>> {
    let stream = TcpStream::connect(proxy).await.with_context(|| format!("cannot reach {proxy}"))?;
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(stream))
}

fn plain(method: Method, uri: &str) -> anyhow::Result<Request<Empty<Bytes>>> {
    let uri: Uri = uri.parse()?;
    let host = uri.authority().map_or("hello.practice", |authority| authority.as_str()).to_string();
    Ok(Request::builder().method(method).uri(uri).header(HOST, host).body(Empty::new())?)
}

/// One request on a stream of its own. The connection's task ends with the stream.
async fn send<S>(stream: S, request: Request<Empty<Bytes>>) -> anyhow::Result<Response<Incoming>>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(stream).await?;
    tokio::spawn(connection.with_upgrades());
    Ok(sender.send_request(request).await?)
}

async fn read(response: Response<Incoming>) -> anyhow::Result<Answer> {
    let challenges = response.headers().get_all(PROXY_AUTHENTICATE).iter();
    let schemes = challenges.filter_map(|value| value.to_str().ok()?.split(' ').next().map(String::from));
    let (status, challenges) = (response.status().as_u16(), schemes.collect());
    let body = response.into_body().collect().await?.to_bytes();
    Ok(Answer { status, challenges, body: String::from_utf8_lossy(&body).into_owned() })
}
