//! Many tunnels through one relay, held open.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::head::Connection;
use crate::load::{self, PATIENCE};
use crate::pattern;
use crate::relays::{Kind, Relay};

/// So many are opened at a time.
const AT_A_TIME: usize = 32;
/// What travels through a tunnel that is tried.
const MESSAGE: usize = 64;
/// A relay that has done nothing for so long has come to rest.
const REST: Duration = Duration::from_millis(150);
const LONGEST_UNREST: Duration = Duration::from_secs(3);

/// What a relay may need besides its tunnels: listeners, logs, libraries, a reserve.
const BESIDES: usize = 1000;

/// How many tunnels there is room for in the descriptors that this process and those it starts may have: a relay needs
/// two for each. Asks for more descriptors if need be, which only root is given, and not everywhere.
pub fn room_for(tunnels: usize) -> usize {
    let wanted = (tunnels * 2 + BESIDES) as u64;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return tunnels;
    }
    let more = Rlimit { current: Some(wanted), maximum: maximum.map(|maximum| maximum.max(wanted)) };
    if setrlimit(Resource::Nofile, more).is_err() {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(wanted);
    tunnels.min(usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(BESIDES) / 2)
}

/// How many tunnels a kind of relay takes before it fails.
pub fn most(kind: Kind) -> usize {
    match kind {
        Kind::Px => 200,
        // It asks select(2), which knows 1024 descriptors.
        Kind::Cntlm => 500,
        Kind::Tinyproxy => 1_900,
        Kind::Hallpass | Kind::Haproxy | Kind::HaproxySplice | Kind::Squid | Kind::Straight => usize::MAX,
    }
}

/// Tunnels to an echo.
pub struct Crowd {
    relay: SocketAddr,
    tunnels: Vec<Connection>,
}

impl Crowd {
    pub fn of(relay: &Relay) -> Self {
        Self { relay: relay.address, tunnels: Vec::new() }
    }

    /// Opens more until there are so many; something has come back through each.
    pub async fn grow(&mut self, to: usize) -> Result<()> {
        let left = Rc::new(Cell::new(to.saturating_sub(self.tunnels.len())));
        let opened = Rc::new(RefCell::new(Vec::with_capacity(left.get())));
        let workers: Vec<_> = (0..AT_A_TIME)
            .map(|_| {
                let (left, opened, relay) = (Rc::clone(&left), Rc::clone(&opened), self.relay);
                tokio::task::spawn_local(async move {
                    while let Some(next) = left.get().checked_sub(1) {
                        left.set(next);
                        let mut tunnel = timeout(PATIENCE, load::tunnel(relay, "echo.bench")).await??;
                        say(&mut tunnel, next).await?;
                        opened.borrow_mut().push(tunnel);
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        let mut outcome = Ok(());
        for worker in workers {
            outcome = outcome.and(worker.await?);
        }
        self.tunnels.append(&mut opened.borrow_mut());
        outcome.with_context(|| format!("with {} tunnels open", self.tunnels.len()))
    }

    /// Something goes through each of them and comes back.
    pub async fn all_work(&mut self) -> Result<()> {
        for (number, tunnel) in self.tunnels.iter_mut().enumerate() {
            say(tunnel, number).await.with_context(|| format!("tunnel {number}"))?;
        }
        Ok(())
    }

    /// Has every `nth` of them talk once in `every`, until that is ended.
    pub fn talk(&mut self, nth: usize, every: Duration) -> Talk {
        let stop = Rc::new(Cell::new(false));
        let (mut silent, mut talking) = (Vec::new(), Vec::new());
        for (number, mut tunnel) in std::mem::take(&mut self.tunnels).into_iter().enumerate() {
            if !number.is_multiple_of(nth) {
                silent.push(tunnel);
                continue;
            }
            let stop = Rc::clone(&stop);
            talking.push(tokio::task::spawn_local(async move {
                // Not all at once.
                sleep(every.mul_f64((number as f64 * 0.618).fract())).await;
                while !stop.get() {
                    say(&mut tunnel, number).await?;
                    sleep(every).await;
                }
                Ok(tunnel)
            }));
        }
        self.tunnels = silent;
        Talk { stop, talking }
    }
}

/// Tunnels that are in use.
pub struct Talk {
    stop: Rc<Cell<bool>>,
    talking: Vec<JoinHandle<Result<Connection>>>,
}

impl Talk {
    /// Puts them back among the others.
    pub async fn end(self, crowd: &mut Crowd) -> Result<()> {
        self.stop.set(true);
        for tunnel in self.talking {
            crowd.tunnels.push(tunnel.await??);
        }
        Ok(())
    }
}

async fn say(tunnel: &mut Connection, number: usize) -> Result<()> {
    timeout(PATIENCE, load::echo(tunnel, pattern::at(number as u64, MESSAGE))).await.map_err(|_| anyhow!("no echo"))?
}

/// Waits until the relay does nothing any more, or for as long as that makes sense.
pub async fn rest(relay: &Relay) {
    let begun = Instant::now();
    let mut used = relay.cpu();
    let mut since = Instant::now();
    while since.elapsed() < REST && begun.elapsed() < LONGEST_UNREST {
        sleep(Duration::from_millis(30)).await;
        let now = relay.cpu();
        if now != used {
            (used, since) = (now, Instant::now());
        }
    }
}
