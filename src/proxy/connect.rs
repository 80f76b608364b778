//! CONNECT: a way to the target, one short answer, then bytes.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::{Client, Next, Phase, Proxy, Shared, Story, pump, reached, respond};
use crate::address::Target;
use crate::audit::End;
use crate::http1::{Body, RequestHead, Wire};
use crate::relay::{self, Side, relay, watch_peer};
use crate::route::Route;
use crate::upstream::{Answer, ConnectError, Connected, Tunnel};
use respond::Problem;

/// Exactly this and in one write: clients were seen to choke on anything more.
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// What a client may send before it has its answer.
const MAX_EARLY: usize = 64 * 1024;

/// `Some`: the client may ask again on its connection.
pub(super) async fn serve(
    mut client: Client,
    head: RequestHead,
    proxy: &Arc<Proxy>,
    shared: &mut Shared,
) -> Option<Client> {
    let mut story = Story::of_request(&client.peer, proxy, &head);
    let target = match admit(&head, proxy) {
        Ok(target) => target,
        Err(problem) => {
            respond::refuse(&mut client, proxy, story, &problem).await;
            return None;
        }
    };
    let route = proxy.route(&target);
    story.routed(&target, &route);
    let connected = match Box::pin(connect(&mut client, &head, &target, &route, proxy)).await {
        None => {
            story.end(proxy, End::ClientClosed);
            return None;
        }
        Some(Ok(connected)) => connected,
        Some(Err(error)) => {
            story.record.hop = Some(error.hop.to_string());
            respond::refuse(&mut client, proxy, story, &Problem::of_connect(&error)).await;
            return None;
        }
    };
    drop(head);
    match connected {
        Connected::Tunnel(tunnel) => {
            Box::pin(run(client.wire, tunnel, story, proxy, &mut shared.phase)).await;
            None
        }
        Connected::Answer(answer) => match Box::pin(pass_on(&mut client, *answer, story, proxy)).await {
            Next::Request => Some(client),
            Next::Close => None,
        },
    }
}

fn admit(head: &RequestHead, proxy: &Proxy) -> Result<Target, Problem> {
    let target = Target::parse(&head.target, None).map_err(|error| Problem::bad_target(&error))?;
    if let Some(problem) = proxy.objection(&target) {
        return Err(problem);
    }
    match &proxy.connect_ports {
        Some(ports) if !ports.contains(&target.port) => Err(Problem::port_denied(target.port)),
        Some(_) | None => Ok(target),
    }
}

/// `None`: the client left in the meantime, and what was begun for it is dropped.
async fn connect(
    client: &mut Client,
    head: &RequestHead,
    target: &Target,
    route: &Route,
    proxy: &Proxy,
) -> Option<Result<Connected, ConnectError>> {
    let mut reader = client.wire.reader();
    tokio::select! {
        connected = proxy.upstreams.tunnel(route, target, &head.fields) => Some(connected),
        () = reader.ended(MAX_EARLY) => None,
    }
}

async fn run(
    client: Wire<TcpStream>,
    tunnel: Tunnel,
    mut story: Story,
    proxy: &Arc<Proxy>,
    phase: &mut watch::Receiver<Phase>,
) {
    story.record.hop = Some(tunnel.hop.to_string());
    story.record.scheme = tunnel.scheme.map(|scheme| scheme.to_string());
    story.answered(200);
    let (mut stream, early_up) = (client.stream, client.buffer);
    let (mut upstream, early_down) = (tunnel.wire.stream, tunnel.wire.buffer);
    watch_peer(&stream, proxy.keepalive);
    watch_peer(upstream.tcp(), proxy.keepalive);
    if stream.write_all(ESTABLISHED).await.is_err() {
        story.end(proxy, End::ClientReset);
        return;
    }
    let stop = reached(phase, Phase::Ending);
    let outcome = relay(&mut stream, &mut upstream, early_up, early_down, proxy.relay, stop).await;
    story.record.bytes_up = outcome.bytes_up;
    story.record.bytes_down = outcome.bytes_down;
    story.end(proxy, ending(outcome.end));
}

pub(super) fn ending(end: relay::End) -> End {
    match end {
        relay::End::Done => End::Done,
        relay::End::Closed(Side::Client) => End::ClientClosed,
        relay::End::Closed(Side::Upstream) => End::UpstreamClosed,
        relay::End::Reset(Side::Client) => End::ClientReset,
        relay::End::Reset(Side::Upstream) => End::UpstreamReset,
        relay::End::IdleTimeout => End::IdleTimeout,
        relay::End::Drained => End::Drained,
    }
}

/// The upstream said something else than 2xx: the client sees it as it is.
async fn pass_on(client: &mut Client, answer: Answer, mut story: Story, proxy: &Proxy) -> Next {
    let Answer { mut head, mut wire, mut body, hop, scheme } = answer;
    story.record.hop = Some(hop.to_string());
    story.record.scheme = scheme.map(|scheme| scheme.to_string());
    story.answered(head.status);
    head.fields.strip_hop_by_hop();
    let chunked = matches!(body, Body::Chunked(_));
    if chunked {
        head.fields.remove("content-length");
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
        Err(pump::DownloadError::Upstream(_)) => End::UpstreamClosed,
        Err(pump::DownloadError::Client(_)) => End::ClientReset,
    };
    story.record.bytes_down = sent;
    story.end(proxy, end);
    drop(wire);
    if client.wire.stream.shutdown().await.is_ok() {
        pump::linger(&mut client.wire).await;
    }
    Next::Close
}
