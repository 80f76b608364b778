//! `/ws`: a WebSocket (RFC 6455) that sends every message back.

use futures_util::{SinkExt, StreamExt};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::body::{self, Body};
use super::tasks::Tasks;

pub(super) fn accept(request: &mut Request<Incoming>, tasks: &Tasks) -> Response<Body> {
    let key = request.headers().get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    let mut response = Response::new(body::empty());
    let Some(Ok(accept)) = key.map(HeaderValue::try_from) else {
        *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
        return response;
    };
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
    tasks.spawn(echo(hyper::upgrade::on(request)));
    response
}

async fn echo(client: OnUpgrade) {
    let Ok(client) = client.await else { return };
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(client), Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        // Pings and closes are answered by the library.
        let data = message.is_text() || message.is_binary();
        if data && socket.send(message).await.is_err() {
            return;
        }
    }
}
