//! Proxies with the faults that doctor is to find: one that collects answers, one that cuts silence, one that looks into TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hallpass::http1::{Fields, RequestHead, Wire};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

const MAX: usize = 64 * 1024;

#[derive(Clone, Copy)]
pub enum Manner {
    /// Passes an answer on when it has all of it.
    Collects,
    /// Ends a connection from whose far end nothing came for so long.
    Cuts(Duration),
}

/// Lets everybody through, to one origin.
pub struct SlowProxy {
    pub addr: SocketAddr,
    task: JoinHandle<()>,
}

impl SlowProxy {
    pub async fn start(manner: Manner, origin: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(Wire::new(client), manner, origin));
            }
        });
        Self { addr, task }
    }
}

impl Drop for SlowProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut client: Wire<TcpStream>, manner: Manner, origin: SocketAddr) {
    let Ok(head) = client.reader().request(MAX).await else { return };
    let mut upstream = TcpStream::connect(origin).await.unwrap();
    if head.method == "CONNECT" {
        client.stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    } else {
        upstream.write_all(&in_origin_form(head).to_bytes(None)).await.unwrap();
    }
    match manner {
        Manner::Collects => {
            let mut answer = Vec::new();
            upstream.read_to_end(&mut answer).await.unwrap();
            let _gone = client.stream.write_all(&answer).await;
        }
        Manner::Cuts(limit) => copy_until_silence(client.stream, upstream, limit).await,
    }
}

fn in_origin_form(head: RequestHead) -> RequestHead {
    let rest = head.target.split_once("://").unwrap().1;
    let path = rest.find('/').map_or("/", |at| &rest[at..]).to_string();
    let mut fields = head.fields.clone();
    fields.strip_hop_by_hop();
    fields.push("Connection", "close");
    RequestHead { target: path, fields, ..head }
}

async fn copy_until_silence(client: TcpStream, upstream: TcpStream, limit: Duration) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_origin, mut to_origin) = upstream.into_split();
    let up = tokio::spawn(async move {
        let _ended = tokio::io::copy(&mut from_client, &mut to_origin).await;
    });
    let mut room = vec![0; MAX];
    while let Ok(Ok(count @ 1..)) = timeout(limit, from_origin.read(&mut room)).await {
        if to_client.write_all(&room[..count]).await.is_err() {
            break;
        }
    }
    up.abort();
}

/// Ends TLS itself, forwards what it knows of a request, and does not know Upgrade.
pub async fn inspector(config: Arc<ServerConfig>, origin: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = TlsAcceptor::from(config.clone());
            tokio::spawn(async move {
                if let Ok(client) = acceptor.accept(client).await {
                    inspect(Wire::new(client), origin).await;
                }
            });
        }
    });
    addr
}

async fn inspect<S: AsyncRead + AsyncWrite + Unpin>(mut client: Wire<S>, origin: SocketAddr) {
    let Ok(mut head) = client.reader().request(MAX).await else { return };
    for name in ["upgrade", "connection", "sec-websocket-key", "sec-websocket-version"] {
        head.fields.remove(name);
    }
    let mut upstream = Wire::new(TcpStream::connect(origin).await.unwrap());
    upstream.stream.write_all(&head.to_bytes(None)).await.unwrap();
    let mut answer = upstream.reader().response(MAX).await.unwrap();
    let mut fields: Fields = [("Via", "1.1 inspector")].into_iter().collect();
    answer.fields.iter().for_each(|(name, value)| fields.push(name, value));
    answer.fields = fields;
    client.stream.write_all(&answer.to_bytes()).await.unwrap();
    client.stream.shutdown().await.unwrap();
}
