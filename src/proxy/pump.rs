//! Bodies on their way: piece by piece as they come, with as much kept as may have to be sent again.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::audit::End;
use crate::http1::{Body, Fields, HttpError, ReadError, Reader, Wire};
use crate::relay::is_reset;

/// As much of a request's body is kept for a second sending.
pub const MAX_REPLAY: usize = 64 * 1024;

/// How long and how much we still listen to a client that was answered before it had finished. Clients are
/// neighbours, and the relay's own end waits for this.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1024 * 1024;

/// What was sent of a body already.
#[derive(Debug, Default)]
pub struct Replay {
    kept: Vec<u8>,
    overflown: bool,
    /// Data bytes taken from the client in all.
    pub taken: u64,
    finished: Option<Fields>,
}

impl Replay {
    /// Whether a second sending would be whole.
    pub fn is_possible(&self) -> bool {
        !self.overflown
    }

    fn keep(&mut self, data: &[u8]) {
        self.taken += data.len() as u64;
        if self.overflown || self.kept.len() + data.len() > MAX_REPLAY {
            self.overflown = true;
            self.kept = Vec::new();
        } else {
            self.kept.extend_from_slice(data);
        }
    }
}

#[derive(Debug)]
pub enum UploadError {
    Client(ReadError),
    /// It takes no more; what it says will tell why.
    Upstream,
}

/// Sends what is kept, then the rest of the body as the client sends it.
pub async fn upload<R, W>(
    from: &mut Reader<'_, R>,
    body: &mut Body,
    replay: &mut Replay,
    chunked: bool,
    to: &mut W,
) -> Result<(), UploadError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    if !replay.kept.is_empty() {
        send_data(to, &replay.kept, chunked).await.map_err(|_| UploadError::Upstream)?;
    }
    while replay.finished.is_none() {
        match from.piece(body).await.map_err(UploadError::Client)? {
            Ok(data) => {
                replay.keep(&data);
                send_data(to, &data, chunked).await.map_err(|_| UploadError::Upstream)?;
            }
            Err(trailers) => replay.finished = Some(trailers),
        }
    }
    if let (true, Some(trailers)) = (chunked, &replay.finished) {
        send_end(to, trailers).await.map_err(|_| UploadError::Upstream)?;
    }
    Ok(())
}

fn put_data(out: &mut Vec<u8>, data: &[u8], chunked: bool) {
    if chunked {
        out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
    }
    out.extend_from_slice(data);
    if chunked {
        out.extend_from_slice(b"\r\n");
    }
}

/// One piece in one write, so that an event becomes a packet.
pub async fn send_data<W: AsyncWrite + Unpin>(to: &mut W, data: &[u8], chunked: bool) -> io::Result<()> {
    if chunked {
        let mut chunk = Vec::with_capacity(data.len() + 12);
        put_data(&mut chunk, data, chunked);
        to.write_all(&chunk).await?;
    } else {
        to.write_all(data).await?;
    }
    to.flush().await
}

pub async fn send_end<W: AsyncWrite + Unpin>(to: &mut W, trailers: &Fields) -> io::Result<()> {
    let mut end = b"0\r\n".to_vec();
    for (name, value) in trailers.iter() {
        end.extend_from_slice(name.as_bytes());
        end.extend_from_slice(b": ");
        end.extend_from_slice(value);
        end.extend_from_slice(b"\r\n");
    }
    end.extend_from_slice(b"\r\n");
    to.write_all(&end).await?;
    to.flush().await
}

/// Why a body did not arrive whole.
#[derive(Debug)]
pub enum DownloadError {
    Upstream(ReadError),
    Client(io::Error),
}

impl DownloadError {
    pub fn end(&self) -> End {
        match self {
            Self::Upstream(ReadError::Io(error)) if is_reset(error) => End::UpstreamReset,
            Self::Upstream(_) => End::UpstreamClosed,
            Self::Client(error) if is_reset(error) => End::ClientReset,
            Self::Client(_) => End::ClientClosed,
        }
    }
}

/// Passes an answer on, as much of its body as came with the head in one write with it; gives the number of data bytes in
/// `sent` even when it breaks off.
pub async fn answer<R, W>(
    mut head: Vec<u8>,
    from: &mut Reader<'_, R>,
    body: &mut Body,
    chunked: bool,
    to: &mut W,
    sent: &mut u64,
) -> Result<(), DownloadError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let at_hand = from.piece_at_hand(body);
    if let Ok(Some(Ok(data))) = &at_hand {
        *sent += data.len() as u64;
        put_data(&mut head, data, chunked);
    }
    to.write_all(&head).await.map_err(DownloadError::Client)?;
    to.flush().await.map_err(DownloadError::Client)?;
    match at_hand.map_err(|error| DownloadError::Upstream(error.into()))? {
        Some(Err(trailers)) if chunked => send_end(to, &trailers).await.map_err(DownloadError::Client),
        Some(Err(_)) => Ok(()),
        Some(Ok(_)) | None => download(from, body, chunked, to, sent).await,
    }
}

/// Passes an answer's body on; gives the number of data bytes in `sent` even when it breaks off.
pub async fn download<R, W>(
    from: &mut Reader<'_, R>,
    body: &mut Body,
    chunked: bool,
    to: &mut W,
    sent: &mut u64,
) -> Result<(), DownloadError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    loop {
        match from.piece(body).await.map_err(DownloadError::Upstream)? {
            Ok(data) => {
                *sent += data.len() as u64;
                send_data(to, &data, chunked).await.map_err(DownloadError::Client)?;
            }
            Err(trailers) => {
                return if chunked { send_end(to, &trailers).await.map_err(DownloadError::Client) } else { Ok(()) };
            }
        }
    }
}

/// Reads and drops what a client still sends, for a little while.
pub async fn linger<S: AsyncRead + AsyncWrite + Unpin>(wire: &mut Wire<S>) {
    wire.buffer.clear();
    let mut room = vec![0; 4096];
    let mut left = LINGER_BYTES;
    let drain = async {
        while let Ok(n @ 1..) = wire.stream.read(&mut room).await {
            left = left.saturating_sub(n);
            if left == 0 {
                break;
            }
        }
    };
    let _ = timeout(LINGER, drain).await;
}

/// The client's own fault, if the body could not be read because of it.
pub fn malformed(error: &ReadError) -> Option<HttpError> {
    match error {
        ReadError::Http(error) => Some(*error),
        ReadError::Closed | ReadError::Truncated | ReadError::Io(_) => None,
    }
}

/// How the client left.
pub fn client_end(error: &ReadError) -> End {
    match error {
        ReadError::Io(error) if is_reset(error) => End::ClientReset,
        ReadError::Io(_) | ReadError::Closed | ReadError::Truncated | ReadError::Http(_) => End::ClientClosed,
    }
}
