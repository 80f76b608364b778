//! Whether a WebSocket opens: a real upgrade (RFC 6455 §4), and what an answer that is none says about the way.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::http::Response;

/// What came of the wish for an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Upgrade {
    Open,
    /// The far end got our wish and answered otherwise: it wants a log-in, or knows no such page.
    Answered(u16),
    /// The request arrived without its wish: somebody who reads it takes out what he does not know.
    Stripped {
        by: Option<String>,
    },
    Broken(String),
}

pub(super) async fn upgrade<S>(url: &str, stream: S) -> Upgrade
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match client_async(url, stream).await {
        Ok(_) => Upgrade::Open,
        Err(Error::Http(response)) => answered(&response),
        Err(error) => Upgrade::Broken(error.to_string()),
    }
}

/// 426 says that there was no wish (RFC 9110 §15.5.22). Whoever forwards says so in Via.
fn answered(response: &Response<Option<Vec<u8>>>) -> Upgrade {
    let via = response.headers().get("via").map(|via| String::from_utf8_lossy(via.as_bytes()).into_owned());
    match response.status().as_u16() {
        426 => Upgrade::Stripped { by: via },
        status => Upgrade::Answered(status),
    }
}
