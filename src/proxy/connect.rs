//! CONNECT: a way to the target, one short answer, then bytes.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::{Client, Next, Phase, Proxy, Story, pump, reached, respond};
use crate::address::Target;
use crate::audit::End;
use crate::http1::{Body, ReadError, RequestHead, Version, Wire};
use crate::relay::{self, Outcome, Side, relay, reset_on_close, watch_peer};
use crate::route::Route;
use crate::upstream::{Answer, ConnectError, Connected, Footing, Stream, Tunnel};
use pump::client_end;
use respond::Problem;

/// Exactly this and in one write: clients were seen to choke on anything more.
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// What a client may send before it has its answer.
const MAX_EARLY: usize = 64 * 1024;

pub(super) async fn serve(client: &mut Client, head: &RequestHead, proxy: &Arc<Proxy>) -> Next {
    let mut story = Story::of_request(&client.peer, proxy, head);
    let target = match admit(head, proxy) {
        Ok(target) => target,
        Err(problem) => {
            respond::refuse(client, story, &problem).await;
            return Next::Close;
        }
    };
    let route = proxy.route(&target);
    story.routed(&target, &route);
    match Box::pin(connect(client, head, &target, &route, proxy)).await {
        Err(left) => {
            story.end(client_end(&left));
            Next::Close
        }
        Ok(Ok(Connected::Tunnel(tunnel))) => Next::Tunnel(Box::new(Open::new(tunnel, story, proxy))),
        Ok(Ok(Connected::Answer(answer))) => Box::pin(pass_on(client, *answer, head.version, story)).await,
        Ok(Err(error)) => {
            story.failed(&error);
            respond::refuse(client, story, &Problem::of_connect(&error)).await;
            Next::Close
        }
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

/// `Err`: the client left in the meantime, and what was begun for it is dropped.
async fn connect(
    client: &mut Client,
    head: &RequestHead,
    target: &Target,
    route: &Route,
    proxy: &Proxy,
) -> Result<Result<Connected, ConnectError>, ReadError> {
    let mut reader = client.wire.reader();
    tokio::select! {
        connected = proxy.upstreams.tunnel(route, target, &head.fields) => Ok(connected),
        left = reader.ended(MAX_EARLY) => Err(left),
    }
}

/// A way to the target that the client has not been told of yet.
pub(super) struct Open {
    upstream: Wire<Stream>,
    story: Story,
    footing: Footing,
    options: relay::Options,
    keepalive: Option<Duration>,
}

impl Open {
    fn new(tunnel: Tunnel, mut story: Story, proxy: &Proxy) -> Self {
        story.record.hop = Some(tunnel.hop.to_string());
        story.record.scheme = tunnel.scheme.map(|scheme| scheme.to_string());
        let footing = proxy.upstreams.live.footing(tunnel.wire.stream.tcp());
        Self { upstream: tunnel.wire, story, footing, options: proxy.relay, keepalive: proxy.keepalive }
    }

    pub async fn run(self, mut client: Wire<TcpStream>, mut phase: watch::Receiver<Phase>) {
        let Self { mut upstream, mut story, mut footing, options, keepalive } = self;
        story.answered(200);
        watch_peer(&client.stream, keepalive);
        watch_peer(upstream.stream.tcp(), keepalive);
        if client.stream.write_all(ESTABLISHED).await.is_err() {
            return story.end(End::ClientReset);
        }
        let outcome = relay_on(&mut footing, &mut client, &mut upstream, options, &mut phase).await;
        story.record.bytes_up = outcome.bytes_up;
        story.record.bytes_down = outcome.bytes_down;
        story.end(ending(outcome.end));
    }
}

/// Relays until both sides, the relay's life or the address that the upstream's connection leaves from come to an end.
pub(super) async fn relay_on(
    footing: &mut Footing,
    client: &mut Wire<TcpStream>,
    upstream: &mut Wire<Stream>,
    options: relay::Options,
    phase: &mut watch::Receiver<Phase>,
) -> Outcome {
    let mut lost = false;
    let stop = async {
        tokio::select! {
            () = reached(phase, Phase::Ending) => {}
            () = footing.lost() => lost = true,
        }
    };
    let outcome = relay(client, upstream, options, stop).await;
    if !lost {
        return outcome;
    }
    reset_on_close(&client.stream);
    reset_on_close(upstream.stream.tcp());
    Outcome { end: relay::End::Reset(Side::Upstream), ..outcome }
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
async fn pass_on(client: &mut Client, answer: Answer, version: Version, mut story: Story) -> Next {
    let Answer { mut head, mut wire, mut body, hop, scheme } = answer;
    story.record.hop = Some(hop.to_string());
    story.record.scheme = scheme.map(|scheme| scheme.to_string());
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of what an async fn returns, without calling it.
    fn size_of_future<A, F>(_: impl Fn(A) -> F) -> usize {
        size_of::<F>()
    }

    /// Bytes that a silent tunnel's task may hold besides its sockets, in an unoptimised build.
    const MOST: usize = 4096;

    #[test]
    fn a_silent_tunnel_costs_bytes_not_kilobytes() {
        let task = size_of_future(|(stream, peer, shared)| super::super::serve(stream, peer, shared));
        let tunnel = size_of_future(|(open, client, phase): (Open, _, _)| open.run(client, phase));
        assert!(task + tunnel < MOST, "task {task}, tunnel {tunnel}");
    }
}
