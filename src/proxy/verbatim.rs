//! The upstream's own answer to a CONNECT, handed on as it is.

use tokio::io::AsyncWriteExt;

use super::{Client, Next, Story, pump};
use crate::audit::End;
use crate::http1::{Body, Version};
use crate::upstream::Answer;

/// The upstream said something else than 2xx: the client sees it as it is.
pub(super) async fn pass_on(client: &mut Client, answer: Answer, version: Version, mut story: Story) -> Next {
    let Answer { mut head, mut wire, mut body, .. } = answer;
    story.answered(head.status);
    head.fields.strip_hop_by_hop();
    let chunked = matches!(body, Body::Chunked(_)) && version == Version::Http11;
    if matches!(body, Body::Chunked(_)) {
        head.fields.remove("content-length");
    }
    if chunked {
        head.fields.push("Transfer-Encoding", "chunked");
    }
    // What follows a refused CONNECT may be the first bytes of the tunnel that is not there.
    head.fields.push("Connection", "close");
    let mut sent = 0;
    let passed = async {
        client.wire.stream.write_all(&head.to_bytes()).await.map_err(pump::DownloadError::Client)?;
        pump::download(&mut wire.reader(), &mut body, chunked, &mut client.wire.stream, &mut sent).await
    };
    let end = match passed.await {
        Ok(()) => End::UpstreamRefused,
        Err(error) => error.end(),
    };
    story.record.bytes_down = sent;
    story.end(end);
    drop(wire);
    if client.wire.stream.shutdown().await.is_ok() {
        pump::linger(&mut client.wire).await;
    }
    Next::Close
}
