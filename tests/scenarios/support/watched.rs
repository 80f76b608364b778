//! An upstream that is watched from its door: who came, who waits without a word, and how late it answers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{Heard, Peer, Say};

/// What becomes of those who wait when it is given; who comes later is welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    SendAway,
    /// With their first word.
    CutShort,
}

#[derive(Default)]
struct Book {
    came: usize,
    silent: usize,
    heard: Vec<Heard>,
    ended: Vec<usize>,
}

pub struct Watched {
    pub addr: SocketAddr,
    book: Arc<Mutex<Book>>,
    orders: watch::Sender<Option<Order>>,
    door: JoinHandle<()>,
}

impl Watched {
    /// Every answer comes so late.
    pub async fn start(late: Duration, script: impl Fn(&Heard) -> Say + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (book, script, orders) = (Arc::<Mutex<Book>>::default(), Arc::new(script), watch::Sender::new(None));
        let (shared, given) = (book.clone(), orders.clone());
        let door = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = {
                    let mut book = shared.lock().unwrap();
                    book.came += 1;
                    book.silent += 1;
                    book.came
                };
                let (script, book, orders) = (script.clone(), shared.clone(), given.subscribe());
                tokio::spawn(async move {
                    let mut peer = Peer::new(stream);
                    let begun = tokio::select! {
                        begun = peer.has_begun() => begun && !orders.has_changed().unwrap_or(true),
                        () = sent_away(orders.clone()) => false,
                    };
                    book.lock().unwrap().silent -= 1;
                    if begun {
                        play(&mut peer, number, late, &*script, &book).await;
                    }
                    book.lock().unwrap().ended.push(number);
                });
            }
        });
        Self { addr, book, orders, door }
    }

    /// All connections there ever were.
    pub fn came(&self) -> usize {
        self.book.lock().unwrap().came
    }

    /// Those that have said nothing and are there.
    pub fn silent(&self) -> usize {
        self.book.lock().unwrap().silent
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.book.lock().unwrap().heard.clone()
    }

    /// The open connections whose last word was the first of a log-in by NTLM.
    pub fn half_done(&self) -> Vec<usize> {
        let book = self.book.lock().unwrap();
        let first = |heard: &&Heard| heard.ntlm_type() == 1 && !book.ended.contains(&heard.connection);
        let is_last = |one: &&Heard| book.heard.iter().rfind(|heard| heard.connection == one.connection) == Some(*one);
        book.heard.iter().filter(first).filter(is_last).map(|heard| heard.connection).collect()
    }

    /// How many requests carried this type of NTLM message.
    pub fn count(&self, ntlm_type: u8) -> usize {
        self.heard().iter().filter(|heard| heard.ntlm_type() == ntlm_type).count()
    }

    pub fn order(&self, order: Order) {
        self.orders.send_replace(Some(order));
    }

    /// Nobody comes in any more.
    pub fn close(&self) {
        self.door.abort();
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.close();
    }
}

async fn sent_away(mut orders: watch::Receiver<Option<Order>>) {
    while orders.changed().await.is_ok() {
        if *orders.borrow() == Some(Order::SendAway) {
            return;
        }
    }
    std::future::pending().await
}

async fn play(peer: &mut Peer, connection: usize, late: Duration, script: &impl Fn(&Heard) -> Say, book: &Mutex<Book>) {
    while peer.has_begun().await {
        let Some(head) = peer.try_head().await else { return };
        let body = peer.body(&head).await.0;
        let heard = Heard { connection, head, body };
        book.lock().unwrap().heard.push(heard.clone());
        let said = script(&heard).to(heard.head.method());
        sleep(late).await;
        let is_sent = match &said {
            Say::Answer(bytes) | Say::Last(bytes) | Say::Echo(bytes) => peer.try_send(bytes).await,
            Say::HangUp => false,
            Say::Silence => true,
        };
        if !is_sent || matches!(said, Say::Last(_)) {
            return;
        }
        if matches!(said, Say::Echo(_)) {
            // A tunnel is as long as its client likes.
            while peer.has_begun().await && !peer.once().await.is_empty() {}
            return;
        }
    }
}
