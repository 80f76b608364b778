//! The upstream's own answer to a CONNECT, handed on as it is.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::{Client, Next, Story, pump};
use crate::audit::End;
use crate::http1::{Body, Fields, ReadError, ResponseHead, Version};
use crate::upstream::{Answer, MAX_PAGE, Page, Upstreams};
use pump::DownloadError;

/// How long a page may take to be whole before the client gets what is there. Most come with their head.
const WHOLE_WITHIN: Duration = Duration::from_millis(500);

/// How much there was to be read at once.
pub(super) enum Gathered {
    Whole(Arc<Page>),
    /// It is long or slow, or it broke off.
    Part {
        answer: Box<Answer>,
        head: ResponseHead,
        data: Vec<u8>,
        broken: Option<ReadError>,
    },
}

/// Reads the page before anybody hears of it: once it is whole, the next try can do without a log-in, and clients try
/// again at once.
pub(super) async fn gather(mut answer: Box<Answer>, upstreams: &Upstreams) -> Gathered {
    // Its length is told before any of it is read.
    let head = neighbourless(&answer);
    let mut data = Vec::new();
    let trailers = match timeout(WHOLE_WITHIN, read(&mut answer, &mut data)).await {
        Ok(Ok(Some(trailers))) => trailers,
        Ok(Ok(None)) | Err(_) => return Gathered::Part { answer, head, data, broken: None },
        Ok(Err(error)) => return Gathered::Part { answer, head, data, broken: Some(error) },
    };
    let chunked = matches!(answer.body, Body::Chunked(_));
    let page = Arc::new(Page { head, data, trailers: chunked.then_some(trailers) });
    upstreams.keep_refusal(answer, &page);
    Gathered::Whole(page)
}

/// `None`: it is longer than what is kept.
async fn read(answer: &mut Answer, data: &mut Vec<u8>) -> Result<Option<Fields>, ReadError> {
    let mut reader = answer.wire.reader();
    while data.len() <= MAX_PAGE {
        match reader.piece(&mut answer.body).await? {
            Ok(piece) => data.extend_from_slice(&piece),
            Err(trailers) => return Ok(Some(trailers)),
        }
    }
    Ok(None)
}

/// The upstream said something else than 2xx: the client sees it as it is.
pub(super) async fn pass_on(
    client: &mut Client,
    answer: Box<Answer>,
    version: Version,
    upstreams: &Upstreams,
    mut story: Story,
) -> Next {
    let (mut answer, own, data, broken) = match gather(answer, upstreams).await {
        Gathered::Whole(page) => return repeat(client, &page, version, story).await,
        Gathered::Part { answer, head, data, broken } => (answer, head, data, broken),
    };
    story.answered(answer.head.status);
    story.note_answer(&answer.head);
    let chunked = matches!(answer.body, Body::Chunked(_)) && version == Version::Http11;
    let mut message = head(own, chunked);
    put(&mut message, &data, chunked).await;
    let mut sent = data.len() as u64;
    let passed = async {
        client.wire.stream.write_all(&message).await.map_err(DownloadError::Client)?;
        match broken {
            Some(error) => Err(DownloadError::Upstream(error)),
            None => {
                let from = &mut answer.wire.reader();
                pump::download(from, &mut answer.body, chunked, &mut client.wire.stream, &mut sent).await
            }
        }
    };
    // A page is the upstream's own: no origin makes it wait.
    let end = match timeout(upstreams.handshake_timeout, passed).await {
        Ok(Ok(())) => End::UpstreamRefused,
        Ok(Err(error)) => error.end(),
        Err(_) => End::HandshakeTimeout,
    };
    story.record.bytes_down = sent;
    drop(answer);
    finish(client, story, end).await
}

/// Says a whole page, for the first time or again.
pub(super) async fn repeat(client: &mut Client, page: &Page, version: Version, mut story: Story) -> Next {
    story.answered(page.head.status);
    story.note_answer(&page.head);
    let trailers = page.trailers.as_ref().filter(|_| version == Version::Http11);
    let mut message = head(page.head.clone(), trailers.is_some());
    put(&mut message, &page.data, trailers.is_some()).await;
    if let Some(trailers) = trailers {
        let _ = pump::send_end(&mut message, trailers).await;
    }
    let end = match client.wire.stream.write_all(&message).await {
        Ok(()) => End::UpstreamRefused,
        Err(error) => DownloadError::Client(error).end(),
    };
    story.record.bytes_down = page.data.len() as u64;
    finish(client, story, end).await
}

/// Without what belongs to the upstream's connection.
fn neighbourless(answer: &Answer) -> ResponseHead {
    let mut head = answer.head.clone();
    head.fields.strip_hop_by_hop();
    // What sends the page on says whether that is in chunks.
    answer.body.declare(&mut head, false);
    head
}

fn head(mut head: ResponseHead, chunked: bool) -> Vec<u8> {
    if chunked {
        head.fields.push("Transfer-Encoding", "chunked");
    }
    // What follows a refused CONNECT may be the first bytes of the tunnel that is not there.
    head.fields.push("Connection", "close");
    head.to_bytes()
}

/// Writing to memory does not fail.
async fn put(message: &mut Vec<u8>, data: &[u8], chunked: bool) {
    if !data.is_empty() {
        let _ = pump::send_data(message, data, chunked).await;
    }
}

async fn finish(client: &mut Client, story: Story, end: End) -> Next {
    story.end(end);
    if client.wire.stream.shutdown().await.is_ok() {
        pump::linger(&mut client.wire).await;
    }
    Next::Close
}
