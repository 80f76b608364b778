//! CONNECT and what amounts to one: a way to the target, one short answer, then bytes.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::greeting::Greeting;
use super::routing::{Course, Wanted};
use super::{Client, Next, Phase, Proxy, Shared, Story, port80, pump, reached, respond};
use crate::address::Target;
use crate::audit::End;
use crate::http1::{Body, Fields, ReadError, RequestHead, Version, Wire};
use crate::relay::{self, Outcome, Side, relay, reset_on_close, watch_peer};
use crate::upstream::{Answer, ConnectError, Connected, Footing, Stream, Tunnel};
use pump::client_end;
use respond::Problem;

/// What a client may send before it has its answer.
const MAX_EARLY: usize = 64 * 1024;

pub(super) async fn serve(client: &mut Client, head: &RequestHead, proxy: &Arc<Proxy>, shared: &mut Shared) -> Next {
    let story = Story::of_request(&client.peer, proxy, head);
    match Target::parse(&head.target, None) {
        Ok(target) => open(client, Greeting::Http(head.version), target, &head.fields, story, proxy, shared).await,
        Err(error) => {
            respond::refuse(client, story, &Problem::bad_target(&error)).await;
            Next::Close
        }
    }
}

/// A port that is always one target.
pub(super) async fn serve_tunnel(client: &mut Client, target: Target, shared: &mut Shared) -> Next {
    let proxy = shared.proxies.borrow().clone();
    let story = Story::of_tunnel(&client.peer, &proxy);
    open(client, Greeting::Silent, target, &Fields::default(), story, &proxy, shared).await
}

/// Target → route → tunnel, however the client asked for it. `fields` are those of a CONNECT.
pub(super) async fn open(
    client: &mut Client,
    greeting: Greeting,
    target: Target,
    fields: &Fields,
    mut story: Story,
    proxy: &Arc<Proxy>,
    shared: &mut Shared,
) -> Next {
    if let Some(problem) = objection(&target, greeting, proxy) {
        story.record.target = Some(target.to_string());
        Box::pin(greeting.refuse(client, story, &problem)).await;
        return Next::Close;
    }
    let wanted = Wanted::tunnel(&target);
    let mut course = match Course::find(&wanted, &client.peer, proxy, shared).await {
        Ok(course) => course,
        Err((none, proxy)) => {
            story.not_routed(&target, &none, &proxy);
            Box::pin(greeting.refuse(client, story, &Problem::of_no_route(&none, &target))).await;
            return Next::Close;
        }
    };
    loop {
        story.routed(&target, &course.route, &course.proxy);
        let upstreams = &course.proxy.upstreams;
        let may_be_plain = course.proxy.forwards_port_80 && target.port == port80::PORT;
        if may_be_plain && upstreams.refuses_port_80(&course.route) {
            story.record.hop = course.route.hops.first().map(ToString::to_string);
            return plain(client, greeting, target, story).await;
        }
        match Box::pin(connect(client, greeting, &target, fields, &course)).await {
            Err(left) => {
                story.end(client_end(&left));
                return Next::Close;
            }
            Ok(Ok(Connected::Tunnel(tunnel))) => {
                if may_be_plain {
                    upstreams.note_port_80(&tunnel.hop, 200);
                }
                return Next::Tunnel(Box::new(Open::new(tunnel, greeting, story, &course.proxy)));
            }
            Ok(Ok(Connected::Answer(answer))) => {
                story.record.hop = Some(answer.hop.to_string());
                story.record.scheme = answer.scheme.map(|scheme| scheme.to_string());
                if may_be_plain {
                    upstreams.note_port_80(&answer.hop, answer.head.status);
                    drop(answer);
                    return plain(client, greeting, target, story).await;
                }
                return Box::pin(greeting.pass_on(client, *answer, story)).await;
            }
            Ok(Err(error)) if course.find_again(&error, &wanted, &client.peer, shared).await => {}
            Ok(Err(error)) => {
                story.failed(&error);
                Box::pin(greeting.refuse(client, story, &Problem::of_connect(&error))).await;
                return Next::Close;
            }
        }
    }
}

/// The ports are for those who name one; a tunnel's own target was named by whoever configured it.
fn objection(target: &Target, greeting: Greeting, proxy: &Proxy) -> Option<Problem> {
    if let Some(problem) = proxy.objection(target) {
        return Some(problem);
    }
    let denied = greeting != Greeting::Silent && proxy.forbids_port(target.port);
    denied.then(|| Problem::port_denied(target.port))
}

/// The CONNECT is done with; each request inside has its own record.
async fn plain(client: &mut Client, greeting: Greeting, target: Target, mut story: Story) -> Next {
    story.answered(200);
    match greeting.welcome(&mut client.wire).await {
        Ok(()) => {
            story.end(End::Done);
            Next::Plain(target)
        }
        Err(_) => {
            story.end(End::ClientReset);
            Next::Close
        }
    }
}

/// `Err`: the client left in the meantime, and what was begun for it is dropped.
async fn connect(
    client: &mut Client,
    greeting: Greeting,
    target: &Target,
    fields: &Fields,
    course: &Course,
) -> Result<Result<Connected, ConnectError>, ReadError> {
    let mut reader = client.wire.reader();
    let connecting = course.proxy.upstreams.tunnel(&course.route, target, fields);
    tokio::pin!(connecting);
    tokio::select! {
        connected = &mut connecting => Ok(connected),
        left = reader.ended(MAX_EARLY) => match left {
            // The relay finds the end again, behind all that was said.
            ReadError::Closed if greeting.may_end_before_the_welcome() => Ok(connecting.await),
            left @ (ReadError::Closed | ReadError::Truncated | ReadError::Io(_) | ReadError::Http(_)) => Err(left),
        },
    }
}

/// A way to the target that the client has not been told of yet.
pub(super) struct Open {
    upstream: Wire<Stream>,
    greeting: Greeting,
    story: Story,
    footing: Footing,
    options: relay::Options,
    keepalive: Option<Duration>,
}

impl Open {
    fn new(tunnel: Tunnel, greeting: Greeting, mut story: Story, proxy: &Proxy) -> Self {
        story.record.hop = Some(tunnel.hop.to_string());
        story.record.scheme = tunnel.scheme.map(|scheme| scheme.to_string());
        let footing = proxy.upstreams.live.footing(tunnel.wire.stream.tcp());
        Self { upstream: tunnel.wire, greeting, story, footing, options: proxy.relay, keepalive: proxy.keepalive }
    }

    pub async fn run(self, mut client: Wire<TcpStream>, mut phase: watch::Receiver<Phase>) {
        let Self { mut upstream, greeting, mut story, mut footing, options, keepalive } = self;
        story.answered(200);
        watch_peer(&client.stream, keepalive);
        watch_peer(upstream.stream.tcp(), keepalive);
        if greeting.welcome(&mut client).await.is_err() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Way;

    /// The size of what an async fn returns, without calling it.
    fn size_of_future<A, F>(_: impl Fn(A) -> F) -> usize {
        size_of::<F>()
    }

    /// Bytes that a silent tunnel's task may hold besides its sockets, in an unoptimised build.
    const MOST: usize = 4096;

    #[test]
    fn a_silent_tunnel_costs_bytes_not_kilobytes() {
        let task = size_of_future(|(stream, peer, shared)| super::super::serve(stream, peer, Way::Http, shared));
        let tunnel = size_of_future(|(open, client, phase): (Open, _, _)| open.run(client, phase));
        assert!(task + tunnel < MOST, "task {task}, tunnel {tunnel}");
    }
}
