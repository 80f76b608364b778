//! CONNECT and 101: bytes both ways, each direction ending on its own.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::TcpStream;

use super::record::OpenTunnel;

/// Runs once the answer to CONNECT has been written.
pub(super) async fn run(client: OnUpgrade, mut origin: TcpStream, _open: OpenTunnel) {
    if let Ok(client) = client.await {
        copy(&mut TokioIo::new(client), &mut origin).await;
    }
}

/// Runs once both sides have switched protocols.
pub(super) async fn join(client: OnUpgrade, origin: OnUpgrade, _open: OpenTunnel) {
    if let (Ok(client), Ok(origin)) = (client.await, origin.await) {
        copy(&mut TokioIo::new(client), &mut TokioIo::new(origin)).await;
    }
}

async fn copy(client: &mut (impl AsyncRead + AsyncWrite + Unpin), origin: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let _ = copy_bidirectional(client, origin).await;
}
