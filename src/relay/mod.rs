//! Bytes both ways between two connections: half-close in either direction, nothing held back, no memory while
//! nothing flows.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "other.rs")]
mod imp;

mod flow;
mod splice;
mod traffic;

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, Socket};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::http1::Wire;
pub use flow::Link;
use flow::{Fault, Flow};
pub use traffic::Traffic;

/// One read's room, shared by all tunnels of a thread; what cannot be written at once is at most this much.
const SCRATCH_SIZE: usize = 256 * 1024;

/// So long without an acknowledgement, as a multiple of the keepalive time, and a peer counts as gone.
const USER_TIMEOUT_KEEPALIVES: u32 = 2;

/// The same for the first bytes on a connection that was idle. It is looked at when they are sent again, and how soon that
/// is follows the way's round trip: a slow one is not taken for dead.
const KEPT_TIMEOUT: Duration = Duration::from_millis(500);

/// By then the doubted bytes have been acknowledged or given up, also on a way with a second of round trip. Far shorter
/// than any keepalive time.
const DOUBT_ENDS: Duration = Duration::from_secs(3);

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_SIZE].into_boxed_slice());
}

#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// `None`: a silent tunnel is never cut.
    pub idle_timeout: Option<Duration>,
    /// How long one side may stay silent after the other has ended.
    pub half_close_timeout: Duration,
    /// Much goes from socket to socket within the kernel, where it can do that.
    pub splices: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Client,
    Upstream,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Both sides ended their streams.
    Done,
    /// This side ended its stream and the other was silent for too long after it.
    Closed(Side),
    Reset(Side),
    IdleTimeout,
    /// The relay is being stopped.
    Drained,
}

/// A peer that vanished is noticed although nothing is sent (keepalive) or acknowledged (user time-out). A neighbour
/// on this machine cannot vanish unnoticed, and one that only pauses would be taken for gone: the user time-out also
/// runs while it has no room for more (tcp(7)).
pub fn watch_peer(stream: &TcpStream, keepalive: Option<Duration>) {
    if !is_neighbour(stream) {
        set_user_timeout(stream, user_timeout(keepalive));
    }
}

/// Zero: as long as the system likes.
fn user_timeout(keepalive: Option<Duration>) -> Duration {
    keepalive.map_or(Duration::ZERO, |every| every * USER_TIMEOUT_KEEPALIVES)
}

/// As [`watch_peer`], on a connection that was idle: it may lead nowhere by now, and nobody has said so. For requests
/// that can be sent again on another one.
pub fn doubt_peer(stream: &TcpStream, keepalive: Option<Duration>) -> Option<Doubted> {
    if is_neighbour(stream) {
        return None;
    }
    // Without a second handle the doubt could not be ended: then there is none.
    let again = SockRef::from(stream).try_clone().ok();
    set_user_timeout(stream, if again.is_some() { KEPT_TIMEOUT } else { user_timeout(keepalive) });
    again.map(Doubted)
}

/// A connection that [`doubt_peer`] gives little time.
pub struct Doubted(Socket);

impl Doubted {
    /// Ends the doubt as soon as the first bytes must have arrived: a keepalive probe that is lost later, while an answer
    /// is silent, must not end it.
    pub async fn trust_again(&self, keepalive: Option<Duration>) -> Infallible {
        sleep(DOUBT_ENDS).await;
        if let Err(error) = imp::set_user_timeout(&self.0, user_timeout(keepalive)) {
            tracing::debug!(%error, "user time-out not set");
        }
        std::future::pending().await
    }
}

fn set_user_timeout(stream: &TcpStream, unacknowledged: Duration) {
    if let Err(error) = imp::set_user_timeout(&SockRef::from(stream), unacknowledged) {
        tracing::debug!(%error, "user time-out not set");
    }
}

fn is_neighbour(stream: &TcpStream) -> bool {
    stream.peer_addr().is_ok_and(|peer| peer.ip().to_canonical().is_loopback())
}

/// When dropped, the connection breaks off instead of ending: for a peer that would take an end for the whole.
pub fn reset_on_close(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "connection ends instead of breaking off");
    }
}

/// Two connections that have become one: all that is kept of them while they are silent.
pub struct Relay<C, U> {
    pub client: C,
    pub upstream: U,
    up: Flow,
    down: Flow,
    silence: Silence,
}

impl<C: Link, U: Link> Relay<C, U> {
    /// What stands in the buffers goes first. `traffic` tells others how much it was so far.
    pub fn new(client: Wire<C>, upstream: Wire<U>, options: Options, traffic: &Traffic) -> Self {
        let splices = options.splices && client.stream.plain().is_some() && upstream.stream.plain().is_some();
        let up = Flow::starting_with(&client.buffer, splices);
        let down = Flow::starting_with(&upstream.buffer, splices);
        traffic.note(up.bytes, down.bytes);
        let (client, upstream) = (client.stream, upstream.stream);
        Self { client, upstream, up, down, silence: Silence::new(options) }
    }

    /// Relays until both directions have ended.
    pub fn poll(&mut self, cx: &mut Context<'_>, traffic: &Traffic) -> Poll<End> {
        let (progress, finished) = (self.progress(), self.finished());
        let end = SCRATCH.with_borrow_mut(|scratch| self.poll_both(cx, scratch));
        let moved = progress != self.progress();
        if moved {
            traffic.note(self.up.bytes, self.down.bytes);
        }
        if end.is_ready() {
            return end;
        }
        let ended = finished != self.finished();
        self.silence.poll(cx, self.finished(), moved || ended)
    }

    pub fn bytes_up(&self) -> u64 {
        self.up.bytes
    }

    pub fn bytes_down(&self) -> u64 {
        self.down.bytes
    }

    fn progress(&self) -> [(u64, usize); 2] {
        [self.up.progress(), self.down.progress()]
    }

    fn finished(&self) -> (bool, bool) {
        (self.up.finished, self.down.finished)
    }

    fn poll_both(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<End> {
        let Self { client, upstream, up, down, .. } = self;
        let up_done = match up.poll(cx, client, upstream, scratch) {
            Poll::Ready(Err(Fault::Reading)) => return Poll::Ready(End::Reset(Side::Client)),
            // What the upstream had to say before it stopped listening may still be on its way.
            Poll::Ready(Err(Fault::Writing)) => {
                up.abandon();
                true
            }
            Poll::Ready(Ok(())) => true,
            Poll::Pending => false,
        };
        match down.poll(cx, upstream, client, scratch) {
            Poll::Ready(Err(Fault::Reading)) => Poll::Ready(End::Reset(Side::Upstream)),
            Poll::Ready(Err(Fault::Writing)) => Poll::Ready(End::Reset(Side::Client)),
            Poll::Ready(Ok(())) if up_done => Poll::Ready(End::Done),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }
}

/// The timer of a tunnel; none exists unless one can fire.
struct Silence {
    timer: Option<Pin<Box<Sleep>>>,
    idle_timeout: Option<Duration>,
    half_close_timeout: Duration,
}

impl Silence {
    fn new(Options { idle_timeout, half_close_timeout, .. }: Options) -> Self {
        Self { timer: None, idle_timeout, half_close_timeout }
    }

    /// `finished` are the directions up and down; `broken`: something has just happened.
    fn poll(&mut self, cx: &mut Context<'_>, finished: (bool, bool), broken: bool) -> Poll<End> {
        let (limit, end) = match finished {
            (true, false) => (Some(self.half_close_timeout), End::Closed(Side::Client)),
            (false, true) => (Some(self.half_close_timeout), End::Closed(Side::Upstream)),
            (false, false) | (true, true) => (self.idle_timeout, End::IdleTimeout),
        };
        let Some(limit) = limit else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        if broken {
            timer.as_mut().reset(Instant::now() + limit);
        }
        timer.as_mut().poll(cx).map(|()| end)
    }
}

/// The kinds of failure that a peer's RST shows as.
pub fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe
    )
}
