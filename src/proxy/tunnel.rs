//! A way to the target that is open: the client is told, then bytes until the end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::greeting::Greeting;
use super::tunnels::Tunnel as Listed;
use super::{Proxy, Story};
use crate::audit::End;
use crate::http1::Wire;
use crate::listener::{Peer, Place};
use crate::relay::{self, Link, Relay, Side, Traffic, reset_on_close, watch_peer};
use crate::upstream::{Footing, Loss, Stream, Tunnel};

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

    /// Tells the client. `None`: it did not wait for that.
    pub async fn welcome(mut self: Box<Self>, mut client: Wire<TcpStream>, held: Held) -> Option<Relaying> {
        self.story.answered(200);
        watch_peer(&client.stream, self.keepalive);
        watch_peer(self.upstream.stream.tcp(), self.keepalive);
        if self.greeting.welcome(&mut client).await.is_err() {
            self.story.end(End::ClientReset);
            return None;
        }
        let Self { upstream, story, tunnel, footing, options, .. } = *self;
        let relay = Relay::new(client, upstream, options, &tunnel.traffic);
        Some(Relaying { relay, footing, story, tunnel, _held: held })
    }
}

/// What a client holds for as long as it is there: a place among the clients, and its descriptors.
pub(super) type Held = (Place, Option<OwnedSemaphorePermit>);

/// A tunnel and its client: all that its task holds, and in one place, since an `async fn` would keep what it is given
/// twice.
pub(super) struct Relaying {
    relay: Relay<TcpStream, Stream>,
    footing: Footing,
    story: Story,
    tunnel: Arc<Listed>,
    _held: Held,
}

impl Future for Relaying {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { relay, footing, story, tunnel, .. } = self.get_mut();
        let end = ready!(poll_relay(relay, footing, &tunnel.traffic, cx));
        story.carried(relay);
        story.write(ending(end));
        Poll::Ready(())
    }
}

impl Story {
    pub(super) fn carried<C: Link>(&mut self, relay: &Relay<C, Stream>) {
        self.record.bytes_up += relay.bytes_up();
        self.record.bytes_down += relay.bytes_down();
    }
}

/// Relays until both sides, the relay's life or the address that the upstream's connection leaves from come to an end.
pub(super) fn poll_relay<C: Link>(
    relay: &mut Relay<C, Stream>,
    footing: &mut Footing,
    traffic: &Traffic,
    cx: &mut Context<'_>,
) -> Poll<relay::End> {
    if let Poll::Ready(end) = relay.poll(cx, traffic) {
        return Poll::Ready(end);
    }
    match ready!(footing.poll_lost(cx)) {
        Loss::Relay => Poll::Ready(relay::End::Drained),
        Loss::Address => {
            relay.client.plain().into_iter().chain([relay.upstream.tcp()]).for_each(reset_on_close);
            Poll::Ready(relay::End::Reset(Side::Upstream))
        }
    }
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

    /// Bytes of a silent tunnel's task and of what is told of it: all that we hold for it besides its two sockets and the
    /// names of target and hop.
    const MOST: usize = 1024;

    #[test]
    fn a_silent_tunnel_costs_bytes_not_kilobytes() {
        let task = size_of_returned(|(client, doors, shared)| super::super::serve(client, doors, shared));
        let (tunnel, listed) = (size_of::<Relaying>(), size_of::<Listed>());
        println!(
            "task {task}, of it the tunnel {tunnel}: relay {}, story {}; listed {listed}",
            size_of::<Relay<TcpStream, Stream>>(),
            size_of::<Story>()
        );
        assert!(task + listed <= MOST, "task {task}, listed {listed}");
    }
}
