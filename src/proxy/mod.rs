//! The server towards clients: read what they want, choose its room, write one audit record at its end.
//!
//! One client is one task. Each request takes the snapshot of [`Proxy`] that is current when it begins.

mod beyond;
mod connect;
mod door;
mod doubt;
mod failures;
pub mod faults;
pub mod figures;
mod forward;
mod greeting;
mod local;
mod metrics;
mod page;
mod port80;
mod pump;
mod refusals;
mod respond;
mod routing;
mod socks;
mod status;
mod tally;
mod tickets;
mod tunnel;
mod tunnels;
mod upstream_status;
mod url;
mod verbatim;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::address::{Target, is_local_ip};
use crate::audit::{Audit, End, Id, Record};
use crate::http1::{ReadError, RequestHead, ResponseHead, Wire};
use crate::listener::{Accepted, Peer, Places, Room};
use crate::network;
use crate::owner::Owner;
use crate::process::OwnerError;
use crate::relay;
use crate::route::{NoRoute, Reason, Route, Router};
use crate::sink::Lines;
use crate::upstream::{self, ConnectError, Live, Upstreams};
pub use door::Door;
use door::{Stranger, Who};
pub use doubt::{Doubt, Looks};
use failures::Failure;
use faults::Fault;
use greeting::Greeting;
pub use refusals::Refusals;
use respond::Problem;
pub use respond::chain;
pub use routing::{Decision, Wanted};
pub use status::{Configuration, PacStatus, Standing};
use tally::Kind;
pub use tally::Tally;
use tunnels::Tunnel;
pub use url::{Url, UrlError};

/// All that a request needs; a reload makes a new one.
pub struct Proxy {
    pub router: Arc<Router>,
    /// Decisions that may block are made this many at a time.
    pub decisions: Arc<Semaphore>,
    /// The place was not looked at yet with this configuration: nobody knows which way is right.
    pub provisional: bool,
    pub standing: Standing,
    pub upstreams: Arc<Upstreams>,
    /// The same for clients that did not come by loopback. `None`: this is it.
    pub for_outsiders: Option<Arc<Proxy>>,
    pub listen: Vec<SocketAddr>,
    pub local_hosts: Vec<String>,
    pub connect_ports: Option<Vec<u16>>,
    /// Where an upstream refuses a tunnel to port 80, the plain HTTP inside is forwarded.
    pub forwards_port_80: bool,
    pub head_timeout: Duration,
    pub keepalive: Option<Duration>,
    pub relay: relay::Options,
    pub max_head: usize,
    /// Tells this relay from others in `Via`.
    pub pseudonym: Arc<str>,
    pub audit: Audit,
    pub tally: Arc<Tally>,
}

/// What a client speaks that comes in by one of our ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    Http,
    Socks,
    /// Nothing to us: all that comes is for this target.
    Tunnel(Target),
}

/// Where the whole relay is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Serving,
    /// The same as before, but whoever sends clients here should stop doing so.
    Leaving,
    /// No new requests; tunnels live on.
    Draining,
    /// The grace is over.
    Ending,
}

/// What every request of one relay shares.
#[derive(Clone)]
pub struct Shared {
    pub proxies: watch::Receiver<Arc<Proxy>>,
    pub phase: watch::Receiver<Phase>,
    pub doubt: Doubt,
    pub configuration: watch::Receiver<Configuration>,
    pub kept: Kept,
    /// For clients that may come in.
    pub places: Places,
    pub room: Room,
    /// Those who came and may not.
    pub refusals: Arc<Refusals>,
}

/// What is written about requests, and where it went.
#[derive(Clone)]
pub struct Kept {
    pub records: Arc<Lines>,
    pub log: Arc<Lines>,
}

/// A client's connection and what is to be known about it.
struct Client {
    wire: Wire<TcpStream>,
    peer: Peer,
    door: Arc<Door>,
    doors: watch::Receiver<Arc<Door>>,
    /// The user behind it, where it was asked for.
    owner: Option<Result<Owner, OwnerError>>,
    /// It may not come in, and is told so once it has said what it wants.
    stranger: Option<Arc<Stranger>>,
    /// There is no place for it: it is answered once.
    is_beyond: bool,
}

/// What becomes of the client's connection after a request.
enum Next {
    Request,
    Close,
    /// All that went before can be forgotten: a silent tunnel costs little more than its sockets.
    Tunnel(Box<tunnel::Open>),
    /// It was told that there is a tunnel, but the plain HTTP inside is forwarded.
    Plain(Target),
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// One request on its way to its audit record.
struct Story {
    record: Record,
    kind: Kind,
    began: Instant,
    audit: Audit,
    live: Arc<Live>,
    tally: Arc<Tally>,
    /// Once it has come to one.
    tunnel: Option<Arc<Tunnel>>,
}

impl Story {
    fn new(peer: &Peer, proxy: &Proxy) -> Self {
        let id = Id { relay: proxy.pseudonym.clone(), number: NEXT_ID.fetch_add(1, Ordering::Relaxed) };
        let record = Record {
            client: Some(peer.addr),
            owner: peer.owner.clone(),
            listener: Some(peer.listener),
            ..Record::new(Timestamp::now(), id)
        };
        Self {
            record,
            kind: Kind::Unread,
            began: Instant::now(),
            audit: proxy.audit.clone(),
            live: proxy.upstreams.live.clone(),
            tally: proxy.tally.clone(),
            tunnel: None,
        }
    }

    fn of_request(peer: &Peer, proxy: &Proxy, head: &RequestHead) -> Self {
        let mut story = Self::new(peer, proxy);
        story.record.method = Some(head.method.clone().into());
        story.kind = match head.method.as_str() {
            "CONNECT" => Kind::Connect,
            _ if local::is_origin_form(head) => Kind::Page,
            _ => Kind::Forward,
        };
        story
    }

    /// One that is a CONNECT in all but its words.
    fn of_tunnel(peer: &Peer, proxy: &Proxy) -> Self {
        let mut story = Self::new(peer, proxy);
        story.record.method = Some("CONNECT".into());
        story.kind = Kind::Connect;
        story
    }

    fn routed(&mut self, target: &Target, route: &Route, proxy: &Proxy) {
        self.record.profile = proxy.standing.profile.clone();
        self.decided(target, &route.reason);
    }

    fn not_routed(&mut self, target: &Target, none: &NoRoute, proxy: &Proxy) {
        self.record.profile = proxy.standing.profile.clone();
        self.decided(target, none.reason());
    }

    fn decided(&mut self, target: &Target, reason: &Reason) {
        self.record.target = Some(target.to_string().into());
        self.record.reason = Some(reason.clone());
    }

    /// How far it came before there was no way on.
    fn failed(&mut self, error: &ConnectError) {
        self.record.hop = Some(error.hop.to_string().into());
        self.record.scheme = error.scheme();
    }

    /// It has come to a tunnel, which others can see from now on.
    fn opened(&mut self, peer: &Peer) -> Arc<Tunnel> {
        let (target, hop) = (self.record.target.clone(), self.record.hop.clone());
        let number = self.record.id.number;
        let tunnel = Arc::new(Tunnel::new(number, peer.clone(), target.unwrap_or_default(), hop.unwrap_or_default()));
        self.tally.opened(tunnel.clone());
        self.tunnel.insert(tunnel).clone()
    }

    /// Why it comes to nothing, for whoever asks how the relay stands. Strangers have a list of their own, and what is
    /// wrong with a question for our own pages is nobody else's trouble.
    fn note(&self, problem: &Problem) {
        let Fault { anchor, status, end, whose, hint, .. } = *problem.fault;
        if end != End::PeerDenied {
            let failure = Failure::new(status, end, &problem.cause, hint);
            self.note_failure(Failure { at_fault: Some(whose.to_string()), anchor: Some(anchor), ..failure });
        }
    }

    /// The upstream has said no in words of its own.
    fn note_answer(&self, head: &ResponseHead) {
        let hop = self.record.hop.as_deref().unwrap_or("the upstream");
        let reason = String::from_utf8_lossy(&head.reason);
        let cause = format!("{hop} answered {} {}", head.status, reason.escape_debug());
        let hint = "it is the upstream's own answer: the page that the client got says why";
        self.note_failure(Failure::new(head.status, End::UpstreamRefused, cause.trim(), hint));
    }

    fn note_failure(&self, failure: Failure) {
        if self.kind == Kind::Page {
            return;
        }
        let Record { id, target, hop, .. } = &self.record;
        let (target, hop) = (target.as_deref().map(str::to_string), hop.as_deref().map(str::to_string));
        self.tally.failures.note(Failure { id: id.to_string(), target, hop, ..failure });
    }

    fn answered(&mut self, status: u16) {
        self.record.status = Some(status);
        self.record.first_ms = Some(millis(self.began));
    }

    fn end(mut self, end: End) {
        self.write(end);
    }

    fn write(&mut self, end: End) {
        self.record.total_ms = millis(self.began);
        self.record.end = Some(end);
        self.tally.ended(self.kind, end, &mut self.record, self.tunnel.take().as_deref());
        let Record { id, target, .. } = &self.record;
        tracing::debug!(id = id.to_string(), target = target.as_deref(), ?end, "request ended");
        self.audit.record(&self.record);
    }
}

/// Its task was cut off, wherever it was: only the end of the relay does that, or a mistake of ours.
impl Drop for Story {
    fn drop(&mut self) {
        if self.record.end.is_none() {
            self.write(if std::thread::panicking() { End::Internal } else { End::Drained });
        }
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Serves one client until it or the relay ends. Of all that its beginning needs, nothing is left while a tunnel is silent.
pub fn serve(
    client: Accepted,
    doors: watch::Receiver<Arc<Door>>,
    shared: Shared,
) -> impl Future<Output = ()> + Send + use<> {
    let begun = Box::pin(begin(client, doors, shared));
    async move {
        let Some(tunnel) = begun.await else { return };
        tunnel.await;
    }
}

/// All that a client asks for before it has a tunnel, and whether it comes to one.
async fn begin(
    client: Accepted,
    mut doors: watch::Receiver<Arc<Door>>,
    mut shared: Shared,
) -> Option<tunnel::Relaying> {
    let Accepted { stream, peer, room } = client;
    let proxy = shared.proxies.borrow().clone();
    upstream::tune(&stream, proxy.keepalive);
    let door = doors.borrow_and_update().clone();
    let way = door.way.clone();
    let owner = door.owner(&peer).await;
    let stranger = door.stranger(&peer, owner.as_ref()).map(Arc::new);
    let peer = Peer { owner: owner.as_ref().and_then(|owner| owner.as_ref().ok().cloned()), ..peer };
    let mut client = Client { wire: Wire::new(stream), peer, door, doors, owner, stranger, is_beyond: false };
    // A crowd of strangers must not take the places of those who are served.
    let place = match client.stranger {
        Some(_) => shared.refusals.hear(),
        None => shared.places.take(),
    };
    if let (Some(stranger), None) = (client.stranger.clone(), &place) {
        let (story, problem) = (Story::new(&client.peer, &proxy), client.turned_away(&stranger, &shared));
        Box::pin(Greeting::Silent.turn_away(&mut client, story, &problem)).await;
        return None;
    }
    let Some(place) = place else {
        let proxy = proxy.of(&client.peer);
        if way == Way::Http {
            Box::pin(beyond::serve(&mut client, proxy, &mut shared)).await;
        } else {
            // Before a word of theirs, nobody else can be told.
            let story = Story::new(&client.peer, &proxy);
            Box::pin(Greeting::Silent.refuse(&mut client, story, &Problem::too_many())).await;
        }
        return None;
    };
    drop(proxy);
    let begun = match way {
        Way::Http => Next::Request,
        Way::Socks => Box::pin(socks::serve(&mut client, &mut shared)).await,
        Way::Tunnel(target) => Box::pin(connect::serve_tunnel(&mut client, target, &mut shared)).await,
    };
    let next = match begun {
        Next::Request => Box::pin(requests(&mut client, &mut shared, None)).await,
        Next::Plain(target) => Box::pin(requests(&mut client, &mut shared, Some(target))).await,
        Next::Tunnel(_) | Next::Close => begun,
    };
    match next {
        Next::Tunnel(tunnel) => Box::pin(tunnel.welcome(client.wire, (place, room))).await,
        Next::Request | Next::Plain(_) | Next::Close => None,
    }
}

/// One request after the other, until the connection is something else or no more; `inside`: of what the client takes
/// for a tunnel.
async fn requests(client: &mut Client, shared: &mut Shared, mut inside: Option<Target>) -> Next {
    let mut pin = None;
    loop {
        let next = next_request(client, shared, &mut pin, inside.as_ref()).await;
        let Some((head, proxy)) = next else { return Next::Close };
        client.look_again();
        if let Some(problem) = client.objection(&head, inside.is_some(), shared) {
            let story = Story::of_request(&client.peer, &proxy, &head);
            Box::pin(respond::refuse(client, story, &problem)).await;
            return Next::Close;
        }
        let next = match &inside {
            Some(target) => Box::pin(port80::serve(client, head, target, &proxy, shared, &mut pin)).await,
            None => dispatch(client, head, &proxy, shared, &mut pin).await,
        };
        match next {
            Next::Request => {}
            Next::Plain(target) => inside = Some(target),
            Next::Close | Next::Tunnel(_) => return next,
        }
    }
}

/// `None`: the client went, was too slow, or asked for nothing that can be answered further.
async fn next_request(
    client: &mut Client,
    shared: &mut Shared,
    pin: &mut Option<forward::Pin>,
    inside: Option<&Target>,
) -> Option<(RequestHead, Arc<Proxy>)> {
    let (max_head, head_timeout) = {
        let proxy = shared.proxies.borrow();
        (proxy.max_head, proxy.head_timeout)
    };
    // Between requests a client may be silent for as long as it likes, unless it takes the place of one who may come in.
    if client.wire.buffer.is_empty() {
        tokio::select! {
            // In this order, so that what was asked before a drain is answered.
            biased;
            begun = begun(&mut client.wire) => begun.ok()?,
            () = draining(&mut shared.phase) => return None,
            () = forward::pin_lost(pin) => return None,
            () = shared.room.is_wanted() => return None,
            () = sleep(head_timeout), if client.stranger.is_some() => return None,
        }
    }
    let mut reader = client.wire.reader();
    let read = tokio::select! {
        biased;
        read = timeout(head_timeout, reader.request(max_head)) => read,
        // What has not been asked by now is not asked of us any more.
        () = draining(&mut shared.phase) => return None,
    };
    let proxy = shared.proxies.borrow().of(&client.peer);
    let problem = match read {
        Ok(Ok(head)) => return Some((head, proxy)),
        Ok(Err(ReadError::Closed | ReadError::Io(_) | ReadError::Truncated)) => return None,
        Ok(Err(ReadError::Http(_))) if inside.is_some() => Problem::only_plain_http(),
        Ok(Err(ReadError::Http(error))) => Problem::bad_message(error),
        Err(_) if client.wire.buffer.is_empty() => return None,
        Err(_) => Problem::slow_head(),
    };
    let mut story = Story::new(&client.peer, &proxy);
    story.record.target = inside.map(|target| target.to_string().into());
    respond::refuse(client, story, &problem).await;
    None
}

/// Waits for the first bytes, or the end, of what the client says; one that is silent holds no memory.
async fn begun(wire: &mut Wire<TcpStream>) -> io::Result<()> {
    wire.buffer = BytesMut::new();
    wire.reader().fill().await.map(drop)
}

/// Hands the request to its room.
async fn dispatch(
    client: &mut Client,
    head: RequestHead,
    proxy: &Arc<Proxy>,
    shared: &mut Shared,
    pin: &mut Option<forward::Pin>,
) -> Next {
    if head.method == "CONNECT" {
        Box::pin(connect::serve(client, &head, proxy, shared)).await
    } else if local::is_origin_form(&head) {
        Box::pin(local::serve(client, &head, proxy, shared)).await
    } else {
        Box::pin(forward::serve(client, head, proxy, shared, pin)).await
    }
}

impl Client {
    /// Who may come in is decided for each request by what counts then.
    fn look_again(&mut self) {
        if self.doors.has_changed().unwrap_or(false) {
            self.door = self.doors.borrow_and_update().clone();
            self.stranger = self.door.stranger(&self.peer, self.owner.as_ref()).map(Arc::new);
        }
    }

    /// Why a request of this client is not for us, whatever it asks for. What stands inside a tunnel is meant for another
    /// server, and knows of no token.
    fn objection(&self, head: &RequestHead, is_inside: bool, shared: &Shared) -> Option<Problem> {
        let is_page = !is_inside && local::is_origin_form(head);
        match &self.stranger {
            Some(stranger) if !(is_page && local::is_for_stranger(head, stranger, &self.door, &self.peer)) => {
                Some(self.turned_away(stranger, shared))
            }
            Some(_) => None,
            None => {
                let is_open = is_inside || is_page || self.door.is_opened_by(&head.fields);
                (!is_open).then(Problem::token_wanted)
            }
        }
    }

    /// What a stranger is told; others are told that it came.
    fn turned_away(&self, stranger: &Stranger, shared: &Shared) -> Problem {
        if stranger.who != Who::Nobody {
            shared.refusals.note(stranger, &self.peer, self.door.interface.as_deref());
        }
        stranger.problem()
    }
}

/// Waits until no new requests are taken.
async fn draining(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase >= Phase::Draining).await;
}

impl Proxy {
    /// As this client is served.
    fn of(self: &Arc<Self>, peer: &Peer) -> Arc<Self> {
        self.for_outsiders.as_ref().filter(|_| peer.is_outsider()).unwrap_or(self).clone()
    }

    /// Why a target is not for us at all, before any route is asked for.
    fn objection(&self, target: &Target) -> Option<Problem> {
        let own = |own: &SocketAddr| {
            let by_name = target.host.is_local() && own.port() == target.port && !is_elsewhere(own.ip());
            by_name || target.host.ip().is_some_and(|ip| leads_to(&(ip, target.port).into(), own))
        };
        if self.listen.iter().any(own) {
            return Some(Problem::proxy_loop(target));
        }
        let is_here = || target.host.is_local() || target.host.ip().is_some_and(is_this_machine);
        (self.for_outsiders.is_none() && is_here()).then(|| Problem::not_for_outsiders(target))
    }
}

/// Whether a connection to `addr` ends where somebody listens on `own`, which may be all addresses of this machine.
pub fn leads_to(addr: &SocketAddr, own: &SocketAddr) -> bool {
    let (ip, own_ip) = (addr.ip().to_canonical(), own.ip());
    // What is unspecified is loopback to whoever connects to it.
    let is_same = own_ip == ip || (ip.is_unspecified() && !is_elsewhere(own_ip));
    addr.port() == own.port() && (is_same || (own_ip.is_unspecified() && network::is_own_address(ip)))
}

/// What only programs of this machine may be led to: loopback, link-local and the addresses of its interfaces.
pub fn is_this_machine(ip: IpAddr) -> bool {
    is_local_ip(ip) || network::is_own_address(ip.to_canonical())
}

/// An address that loopback does not lead to.
fn is_elsewhere(own: IpAddr) -> bool {
    !own.is_loopback() && !own.is_unspecified()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::audit::Keeper;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Keeper for Heard {
        fn is_open(&self) -> bool {
            true
        }

        fn keep(&self, line: &str) {
            self.0.lock().unwrap().push(line.into());
        }
    }

    #[tokio::test]
    async fn what_a_mistake_of_ours_ends_is_recorded_as_that() {
        let heard = Arc::new(Heard::default());
        let audit = Audit::to(heard.clone());
        let story = move || Story {
            record: Record::new(Timestamp::now(), Id { relay: "relay".into(), number: 0 }),
            kind: Kind::Connect,
            began: Instant::now(),
            audit: audit.clone(),
            live: Arc::default(),
            tally: Arc::default(),
            tunnel: None,
        };
        let (failing, cut_off) = (story(), story());
        let failed = tokio::spawn(async move {
            let _story = failing;
            panic!("a mistake");
        });
        assert!(failed.await.unwrap_err().is_panic());
        drop(cut_off);
        let lines = heard.0.lock().unwrap().clone();
        assert!(lines[0].contains("\"end\":\"internal\"") && lines[1].contains("\"end\":\"drained\""), "{lines:?}");
    }
}
