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
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, Socket};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    pub bytes_up: u64,
    pub bytes_down: u64,
    pub end: End,
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

/// Relays until both directions have ended, what stands in the buffers first; `stop` ends the tunnel. `traffic` tells
/// others how much it was so far.
pub async fn relay<C, U>(
    client: &mut Wire<C>,
    upstream: &mut Wire<U>,
    options: Options,
    traffic: &Traffic,
    mut stop: Pin<&mut impl Future<Output = ()>>,
) -> Outcome
where
    C: Link,
    U: Link,
{
    let splices = options.splices && client.stream.plain().is_some() && upstream.stream.plain().is_some();
    let mut up = Flow::starting_with(&std::mem::take(&mut client.buffer), splices);
    let mut down = Flow::starting_with(&std::mem::take(&mut upstream.buffer), splices);
    let (client, upstream) = (&mut client.stream, &mut upstream.stream);
    let mut silence = Silence::default();
    traffic.note(up.bytes, down.bytes);
    let end = poll_fn(|cx| {
        let before = (up.progress(), down.progress());
        let end = SCRATCH.with_borrow_mut(|scratch| poll_both(cx, client, upstream, &mut up, &mut down, scratch));
        let moved = before != (up.progress(), down.progress());
        if moved {
            traffic.note(up.bytes, down.bytes);
        }
        if end.is_ready() {
            return end;
        }
        if stop.as_mut().poll(cx).is_ready() {
            return Poll::Ready(End::Drained);
        }
        silence.poll(cx, options, &up, &down, moved)
    })
    .await;
    Outcome { bytes_up: up.bytes, bytes_down: down.bytes, end }
}

fn poll_both<C, U>(
    cx: &mut Context<'_>,
    client: &mut C,
    upstream: &mut U,
    up: &mut Flow,
    down: &mut Flow,
    scratch: &mut [u8],
) -> Poll<End>
where
    C: Link,
    U: Link,
{
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

/// The timer of a tunnel; none exists unless one can fire.
#[derive(Default)]
struct Silence {
    timer: Option<Pin<Box<Sleep>>>,
    limit: Duration,
}

impl Silence {
    fn poll(&mut self, cx: &mut Context<'_>, options: Options, up: &Flow, down: &Flow, moved: bool) -> Poll<End> {
        let (limit, end) = match (up.finished, down.finished) {
            (true, false) => (Some(options.half_close_timeout), End::Closed(Side::Client)),
            (false, true) => (Some(options.half_close_timeout), End::Closed(Side::Upstream)),
            (false, false) | (true, true) => (options.idle_timeout, End::IdleTimeout),
        };
        let Some(limit) = limit else { return Poll::Pending };
        if moved || self.timer.is_none() || self.limit != limit {
            self.limit = limit;
            let deadline = Instant::now() + limit;
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(deadline),
                None => self.timer = Some(Box::pin(sleep_until(deadline))),
            }
        }
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(cx).map(|()| end),
            None => Poll::Pending,
        }
    }
}

/// The kinds of failure that a peer's RST shows as.
pub fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe
    )
}
