//! Accepting: a loopback port from the kernel, TLS if wanted, one task and one number per connection.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::body::Body;
use super::record::Record;
use super::tasks::Tasks;
use crate::auth::ChannelBinding;

/// TLS on a practice server's listener.
#[derive(Clone)]
pub struct Tls {
    pub config: Arc<ServerConfig>,
    /// Demanded of NTLM when given: the hash of the certificate in `config` (RFC 5929 §4).
    pub binding: Option<ChannelBinding>,
}

/// A connection is to end without an answer.
#[derive(Debug, Error)]
#[error("hung up on purpose")]
pub(super) struct HangUp;

/// Listens until its tasks are stopped. `serve` makes the service of one connection from its number.
pub(super) async fn start<S>(
    tls: Option<Arc<ServerConfig>>,
    tasks: &Tasks,
    record: &Record,
    serve: impl Fn(u64) -> S + Send + 'static,
) -> io::Result<SocketAddr>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = HangUp> + Send + 'static,
    S::Future: Send,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let (spawner, record) = (tasks.clone(), record.clone());
    tasks.spawn(async move {
        loop {
            // Out of descriptors or aborted in the queue: either way the next one may do.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            let open = Open::new(&record);
            spawner.spawn(connection(stream, tls.clone(), serve(open.number), open));
        }
    });
    Ok(address)
}

/// Counts one connection as open as long as it lives, however it ends.
struct Open {
    record: Record,
    number: u64,
}

impl Open {
    fn new(record: &Record) -> Self {
        Self { number: record.opened(), record: record.clone() }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.record.closed();
    }
}

async fn connection<S>(stream: TcpStream, tls: Option<Arc<ServerConfig>>, service: S, _open: Open)
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = HangUp> + Send,
    S::Future: Send,
{
    let _ = stream.set_nodelay(true);
    match tls {
        None => http(stream, service).await,
        Some(config) => {
            if let Ok(stream) = TlsAcceptor::from(config).accept(stream).await {
                http(stream, service).await;
            }
        }
    }
}

/// How the connection ended is the client's business; what it asked for is in the record.
async fn http<S>(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, service: S)
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = HangUp> + Send,
    S::Future: Send,
{
    let _ = http1::Builder::new()
        .half_close(true)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}
