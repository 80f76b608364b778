//! CONNECT and what amounts to one: a way to the target.

use std::pin::pin;
use std::sync::Arc;

use super::greeting::Greeting;
use super::routing::{Course, Wanted};
use super::tunnel::Open;
use super::{Client, Next, Proxy, Shared, Story, faults, port80, pump, respond};
use crate::address::Target;
use crate::audit::End;
use crate::http1::{Body, Fields, ReadError, RequestHead};
use crate::upstream::{ConnectError, Connected};
use pump::client_end;
use respond::Problem;

/// What a client may send before it has its answer.
const MAX_EARLY: usize = 64 * 1024;

pub(super) async fn serve(client: &mut Client, head: &RequestHead, proxy: &Arc<Proxy>, shared: &mut Shared) -> Next {
    let story = Story::of_request(&client.peer, proxy, head);
    match target_of(head) {
        Ok(target) => open(client, Greeting::Http(head.version), target, &head.fields, story, proxy, shared).await,
        Err(problem) => {
            respond::refuse(client, story, &problem).await;
            Next::Close
        }
    }
}

/// What follows a CONNECT is the tunnel's. A body would be the tunnel's to one reader and the proxy's to another
/// (RFC 9110 §9.3.6); that there is none may be said.
fn target_of(head: &RequestHead) -> Result<Target, Problem> {
    let target = Target::parse(&head.target, None).map_err(|error| Problem::bad_target(&error))?;
    match Body::of_request(head) {
        Ok(Body::Empty) => Ok(target),
        Ok(_) => Err(Problem::new(&faults::CONNECT_WITH_BODY, "a CONNECT has no body")),
        Err(error) => Err(Problem::bad_message(error)),
    }
}

/// A port that is always one target.
pub(super) async fn serve_tunnel(client: &mut Client, target: Target, shared: &mut Shared) -> Next {
    let proxy = shared.proxies.borrow().of(&client.peer);
    let mut story = Story::of_tunnel(&client.peer, &proxy);
    if let Some(stranger) = client.stranger.clone() {
        story.record.target = Some(target.to_string().into());
        let problem = client.turned_away(&stranger, shared);
        Box::pin(Greeting::Silent.turn_away(client, story, &problem)).await;
        return Next::Close;
    }
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
        story.record.target = Some(target.to_string().into());
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
            story.record.hop = course.route.hops.first().map(|hop| hop.to_string().into());
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
                return Next::Tunnel(Box::new(Open::new(tunnel, greeting, story, &client.peer, &course.proxy)));
            }
            Ok(Ok(Connected::Answer(answer))) => {
                story.record.hop = Some(answer.hop.to_string().into());
                story.record.scheme = answer.scheme;
                if may_be_plain {
                    upstreams.note_port_80(&answer.hop, answer.head.status);
                    drop(answer);
                    return plain(client, greeting, target, story).await;
                }
                return Box::pin(greeting.pass_on(client, answer, upstreams, story)).await;
            }
            Ok(Ok(Connected::Repeated(hop, page))) => {
                story.record.hop = Some(hop.to_string().into());
                return Box::pin(greeting.repeat(client, &page, story)).await;
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
    let mut connecting = pin!(course.proxy.upstreams.tunnel(&course.route, target, fields));
    tokio::select! {
        connected = &mut connecting => Ok(connected),
        left = reader.ended(MAX_EARLY) => match left {
            // The relay finds the end again, behind all that was said.
            ReadError::Closed if greeting.may_end_before_the_welcome() => Ok(connecting.await),
            left @ (ReadError::Closed | ReadError::Truncated | ReadError::Io(_) | ReadError::Http(_)) => {
                // Impatient clients of a slow upstream must not take the verdict on a good secret away with them.
                tokio::select! {
                    _ = &mut connecting => {}
                    () = course.proxy.upstreams.live.lockout().verdict() => {}
                }
                Err(left)
            }
        },
    }
}
