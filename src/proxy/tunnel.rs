//! A way to the target that is open: the client is told, then bytes until the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::greeting::Greeting;
use super::tunnels::Tunnel as Listed;
use super::{Phase, Proxy, Story, reached};
use crate::audit::End;
use crate::http1::Wire;
use crate::listener::Peer;
use crate::relay::{self, Outcome, Side, Traffic, relay, reset_on_close, watch_peer};
use crate::upstream::{Footing, Stream, Tunnel};

/// A way to the target that the client has not been told of yet.
pub(super) struct Open {
    upstream: Wire<Stream>,
    greeting: Greeting,
    story: Story,
    tunnel: Arc<Listed>,
    footing: Footing,
    options: relay::Options,
    keepalive: Option<Duration>,
}

impl Open {
    pub fn new(tunnel: Tunnel, greeting: Greeting, mut story: Story, peer: &Peer, proxy: &Proxy) -> Self {
        story.record.hop = Some(tunnel.hop.to_string());
        story.record.scheme = tunnel.scheme.map(|scheme| scheme.to_string());
        let footing = proxy.upstreams.live.footing(tunnel.wire.stream.tcp());
        let listed = story.opened(peer);
        let (options, keepalive) = (proxy.relay, proxy.keepalive);
        Self { upstream: tunnel.wire, greeting, story, tunnel: listed, footing, options, keepalive }
    }

    pub async fn run(self, mut client: Wire<TcpStream>, mut phase: watch::Receiver<Phase>) {
        let Self { mut upstream, greeting, mut story, tunnel, mut footing, options, keepalive } = self;
        story.answered(200);
        watch_peer(&client.stream, keepalive);
        watch_peer(upstream.stream.tcp(), keepalive);
        if greeting.welcome(&mut client).await.is_err() {
            return story.end(End::ClientReset);
        }
        let traffic = &tunnel.traffic;
        let outcome = relay_on(&mut footing, &mut client, &mut upstream, options, traffic, &mut phase).await;
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
    traffic: &Traffic,
    phase: &mut watch::Receiver<Phase>,
) -> Outcome {
    let mut lost = false;
    let stop = async {
        tokio::select! {
            () = reached(phase, Phase::Ending) => {}
            () = footing.lost() => lost = true,
        }
    };
    let outcome = relay(client, upstream, options, traffic, stop).await;
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
        let task = size_of_future(|(stream, peer, door, shared)| super::super::serve(stream, peer, door, shared));
        let tunnel = size_of_future(|(open, client, phase): (Open, _, _)| open.run(client, phase));
        assert!(task + tunnel < MOST, "task {task}, tunnel {tunnel}");
    }
}
