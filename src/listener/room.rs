//! How many clients there are descriptors for: those beyond wait in the kernel's queue until one has left.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A client's own connection and the one that is made for it.
const EACH: usize = 2;

/// What is open beside clients: listeners, logs, the runtime's own, names being resolved, log-ons under way.
const MOST_RESERVED: usize = 128;
const LEAST_RESERVED: usize = 24;

/// The log is told of the same shortage no more often than this.
const TOLD_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub struct Room {
    free: Arc<Semaphore>,
    clients: usize,
    told: Arc<Mutex<Option<Instant>>>,
}

impl Room {
    /// `limit`: of descriptors in all; `idle`: how many of them connections without a client may hold.
    pub fn new(limit: Option<usize>, idle: usize) -> Self {
        let clients = limit.map_or(Semaphore::MAX_PERMITS, |limit| clients_within(limit, idle));
        Self { free: Arc::new(Semaphore::new(clients)), clients, told: Arc::default() }
    }

    /// The next client, as soon as there is room for it. It keeps its room for as long as the permit lives.
    pub(super) async fn accept(
        &self,
        socket: &TcpListener,
    ) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        if self.free.available_permits() == 0 && self.is_to_be_told() {
            let clients = self.clients;
            tracing::warn!("{clients} clients are all that the limit of open files has room for; the next ones wait");
        }
        let room = self.free.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (stream, addr) = socket.accept().await?;
        Ok((stream, addr, room))
    }

    /// Whether it was long ago that the log was told.
    pub(super) fn is_to_be_told(&self) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = told.is_none_or(|told| told.elapsed() >= TOLD_EVERY);
        if is_news {
            *told = Some(Instant::now());
        }
        is_news
    }
}

fn clients_within(limit: usize, idle: usize) -> usize {
    let reserved = (limit / 4).clamp(LEAST_RESERVED, MOST_RESERVED);
    (limit.saturating_sub(reserved + idle) / EACH).clamp(1, Semaphore::MAX_PERMITS)
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn both_connections_of_every_client_fit_beside_what_else_is_open() {
        for limit in [32, 64, 100, 256, 1024, 4096, 20_000, 1_048_576] {
            let idle = limit / 8;
            let clients = clients_within(limit, idle);
            assert!(clients >= 1 && clients * EACH + idle + LEAST_RESERVED <= limit, "{limit}: {clients}");
        }
        assert_eq!(clients_within(0, 0), 1);
        assert_eq!(Room::new(None, 512).clients, Semaphore::MAX_PERMITS);
    }

    #[tokio::test]
    async fn who_finds_no_room_is_accepted_when_somebody_leaves() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        let room = Room::new(Some(26), 0);
        let _clients = (TcpStream::connect(addr).await.unwrap(), TcpStream::connect(addr).await.unwrap());
        let first = room.accept(&socket).await.unwrap();
        let mut second = Box::pin(room.accept(&socket));
        assert!(timeout(Duration::from_millis(50), second.as_mut()).await.is_err());
        assert!(!room.is_to_be_told(), "it was told just now");
        drop(first);
        assert!(second.await.is_ok());
    }
}
