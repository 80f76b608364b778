//! The way from the relay to the corporate proxy: most connections pass, some are cut, reset or held up at a random byte.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::random::Random;
use crate::strikes::Strikes;

/// Longer than the relay's `handshake_timeout`.
const LONG_PAUSE: Duration = Duration::from_secs(18);

pub struct Wire {
    pub addr: SocketAddr,
    pub open: Arc<AtomicU64>,
    /// Before that, all is well.
    pub armed: Arc<AtomicBool>,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Close,
    Reset,
    Pause(Duration),
}

/// What becomes of one connection.
struct Fate {
    fault: Option<Fault>,
    /// After this many bytes of one direction.
    at: u64,
    upwards: bool,
    worker: u64,
    strikes: Arc<Strikes>,
}

impl Wire {
    /// `proxy` may be another one by the next connection.
    pub async fn lay(proxy: Arc<RwLock<SocketAddr>>, strikes: Arc<Strikes>, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let open = Arc::new(AtomicU64::new(0));
        let armed = Arc::new(AtomicBool::new(false));
        let (count, is_armed) = (open.clone(), armed.clone());
        tokio::spawn(async move {
            let mut number = 0;
            loop {
                let Ok((relay, _)) = listener.accept().await else { continue };
                number += 1;
                let to = *proxy.read().unwrap();
                let random = is_armed.load(Ordering::Relaxed).then(|| Random::new(seed, 1_000_000 + number));
                let (strikes, count) = (strikes.clone(), count.clone());
                tokio::spawn(async move {
                    count.fetch_add(1, Ordering::Relaxed);
                    let _ = carry(relay, to, strikes, random).await;
                    count.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self { addr, open, armed }
    }
}

async fn carry(mut relay: TcpStream, to: SocketAddr, strikes: Arc<Strikes>, random: Option<Random>) -> io::Result<()> {
    let mut first = vec![0; 16 * 1024];
    let read = relay.read(&mut first).await?;
    let Some(worker) = worker_of(&first[..read]) else { return Ok(()) };
    let fate = match random {
        Some(mut random) => Fate {
            fault: draw(&mut random, worker),
            at: random.size(1, 1 << 22),
            upwards: random.one_in(3),
            worker,
            strikes,
        },
        None => Fate { fault: None, at: 0, upwards: false, worker, strikes },
    };
    let mut proxy = TcpStream::connect(to).await?;
    relay.set_nodelay(true)?;
    proxy.set_nodelay(true)?;
    proxy.write_all(&first[..read]).await?;
    let (mut from_relay, mut to_relay) = relay.into_split();
    let (mut from_proxy, mut to_proxy) = proxy.into_split();
    // Who ends the connection ends both of its directions.
    let cut = Notify::new();
    let ended = tokio::select! {
        ended = async {
            tokio::join!(
                pump(&mut from_relay, &mut to_proxy, &fate, fate.upwards, &cut),
                pump(&mut from_proxy, &mut to_relay, &fate, !fate.upwards, &cut),
            )
        } => Some(ended),
        () = cut.notified() => None,
    };
    if ended.is_none() && matches!(fate.fault, Some(Fault::Reset)) {
        SockRef::from(to_relay.as_ref()).set_linger(Some(Duration::ZERO))?;
    }
    Ok(())
}

async fn pump(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    fate: &Fate,
    struck: bool,
    cut: &Notify,
) -> io::Result<()> {
    let (mut room, mut passed) = (vec![0; 16 * 1024], 0);
    let mut fault = fate.fault.filter(|_| struck);
    loop {
        let most = if fault.is_some() { room.len().min((fate.at - passed) as usize) } else { room.len() };
        let read = match from.read(&mut room[..most]).await {
            Ok(0) => return to.shutdown().await,
            Ok(read) => read,
            // A reset on one side is one on the other.
            Err(error) => {
                SockRef::from((*to).as_ref()).set_linger(Some(Duration::ZERO))?;
                cut.notify_one();
                return Err(error);
            }
        };
        to.write_all(&room[..read]).await?;
        passed += read as u64;
        match fault {
            Some(fault) if passed == fate.at => strike(fault, fate, cut).await,
            Some(_) | None => continue,
        }
        fault = None;
    }
}

async fn strike(fault: Fault, fate: &Fate, cut: &Notify) {
    match fault {
        Fault::Close => fate.strikes.hit(fate.worker, "close"),
        Fault::Reset => fate.strikes.hit(fate.worker, "reset"),
        Fault::Pause(time) => {
            fate.strikes.hit(fate.worker, if time == LONG_PAUSE { "long pause" } else { "pause" });
            tokio::time::sleep(time).await;
            // Its time-out is met at its end.
            return fate.strikes.hit(fate.worker, "end of a pause");
        }
    }
    cut.notify_one();
    std::future::pending().await
}

fn draw(random: &mut Random, worker: u64) -> Option<Fault> {
    // Those that are silent for long are to live long.
    let rate = if worker >= crate::SILENT { 40 } else { 10 };
    if !random.one_in(rate) {
        return None;
    }
    Some(match random.between(0, 10) {
        0..4 => Fault::Close,
        4..8 => Fault::Reset,
        8 => Fault::Pause(Duration::from_millis(random.between(20, 1500))),
        _ => Fault::Pause(LONG_PAUSE),
    })
}

/// The number in `w17.web.practice`.
fn worker_of(head: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    let name = line.split([' ', '/', ':']).find(|part| part.ends_with(".practice"))?;
    name.strip_prefix('w')?.split('.').next()?.parse().ok()
}
