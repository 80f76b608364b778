//! A way to the target that is open: the client is told, then bytes until the end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::greeting::Greeting;
use super::tunnels::Tunnel as Listed;
use super::{Phase, Proxy, Story, reached};
use crate::audit::End;
use crate::http1::Wire;
use crate::listener::{Peer, Place};
use crate::relay::{self, Link, Outcome, Side, Traffic, relay, reset_on_close, watch_peer};
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
        story.record.hop = Some(tunnel.hop.to_string().into());
        story.record.scheme = tunnel.scheme;
        let footing = proxy.upstreams.live.footing(tunnel.wire.stream.tcp());
        let listed = story.opened(peer);
        let (options, keepalive) = (proxy.relay, proxy.keepalive);
        Self { upstream: tunnel.wire, greeting, story, tunnel: listed, footing, options, keepalive }
    }

    pub fn for_client(self, client: Wire<TcpStream>, phase: watch::Receiver<Phase>, places: Places) -> Box<Ready> {
        Box::new(Ready { open: self, client, phase, _places: places })
    }
}

/// What a client holds for as long as it is there.
pub(super) type Places = (Option<Place>, Option<OwnedSemaphorePermit>);

/// A tunnel and its client: all that its task holds, and in one place, since a future would keep what it is given twice.
pub(super) struct Ready {
    open: Open,
    client: Wire<TcpStream>,
    phase: watch::Receiver<Phase>,
    _places: Places,
}

impl Ready {
    pub async fn run(mut self: Box<Self>) {
        let end = self.relay().await;
        self.open.story.end(end);
    }

    async fn relay(&mut self) -> End {
        let Self { open, client, phase, .. } = self;
        let Open { upstream, greeting, story, tunnel, footing, options, keepalive } = open;
        story.answered(200);
        watch_peer(&client.stream, *keepalive);
        watch_peer(upstream.stream.tcp(), *keepalive);
        if greeting.welcome(client).await.is_err() {
            return End::ClientReset;
        }
        let outcome = relay_on(footing, client, upstream, *options, &tunnel.traffic, phase).await;
        story.record.bytes_up = outcome.bytes_up;
        story.record.bytes_down = outcome.bytes_down;
        ending(outcome.end)
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
    let outcome = {
        let stop = pin!(async {
            tokio::select! {
                () = reached(phase, Phase::Ending) => {}
                () = footing.lost() => lost = true,
            }
        });
        relay(client, upstream, options, traffic, stop).await
    };
    if !lost {
        return outcome;
    }
    reset_on_close(&client.stream);
    reset_on_close(upstream.stream.tcp());
    Outcome { end: relay::End::Reset(Side::Upstream), ..outcome }
}

impl Link for Stream {
    fn plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(stream) => Some(stream),
            Self::Tls(_) => None,
        }
    }
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

    /// The size of what a function returns, without calling it.
    fn size_of_returned<A, F>(_: impl Fn(A) -> F) -> usize {
        size_of::<F>()
    }

    /// Bytes that a silent tunnel's task may hold besides its sockets, in an unoptimised build.
    const MOST: usize = 3072;

    #[test]
    fn a_silent_tunnel_costs_bytes_not_kilobytes() {
        let task = size_of_returned(|(stream, peer, door, shared)| super::super::serve(stream, peer, door, shared));
        let tunnel = size_of::<Ready>() + size_of_returned(|ready: Box<Ready>| ready.run());
        println!("task {task}, tunnel {} and {tunnel}", size_of::<Ready>());
        assert!(task + tunnel < MOST, "task {task}, tunnel {tunnel}");
    }
}
