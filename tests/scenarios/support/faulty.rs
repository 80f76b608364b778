//! An upstream that does all right but for one fault, at one byte of one answer or of one request.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Heard, Peer, Say};

/// What a request shows of the talk it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leg {
    /// No credentials.
    Bare,
    /// A message that shows no secret.
    First,
    /// What the secret can be judged by.
    Proof,
}

impl Leg {
    pub fn of(heard: &Heard) -> Self {
        match (heard.head.has("proxy-authorization"), heard.ntlm_type()) {
            (false, _) => Self::Bare,
            (true, 1) => Self::First,
            (true, _) => Self::Proof,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The stream ends.
    Close,
    Reset,
    /// Nothing more comes, and the connection stays.
    Stall,
    /// What is no HTTP in place of the rest, then the end.
    Garbage,
}

const GARBAGE: &[u8] = b"\x00\xffgarbage\x01\r\n\x80\r\n\r\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// After this many bytes of the answer to such a leg.
    Answer { leg: Leg, at: usize, kind: Kind },
    /// After this many bytes of the request with this number, counted from 0, were read.
    Request { number: usize, at: usize, kind: Kind },
}

#[derive(Default)]
struct Told {
    heard: Vec<Heard>,
    /// What the answers were without the fault.
    answers: Vec<(Leg, Vec<u8>)>,
    fault: Option<Fault>,
    struck: bool,
    connections: usize,
    open: usize,
}

pub struct Faulty {
    pub addr: SocketAddr,
    told: Arc<Mutex<Told>>,
    task: JoinHandle<()>,
}

impl Faulty {
    pub async fn start(script: impl Fn(&Heard) -> Say + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let told = Arc::new(Mutex::new(Told::default()));
        let (script, shared) = (Arc::new(script), told.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = {
                    let mut told = shared.lock().unwrap();
                    told.connections += 1;
                    told.open += 1;
                    told.connections
                };
                let (script, shared) = (script.clone(), shared.clone());
                tokio::spawn(async move {
                    play(Peer::new(stream), number, &*script, &shared).await;
                    shared.lock().unwrap().open -= 1;
                });
            }
        });
        Self { addr, told, task }
    }

    /// From now on it strikes, once.
    pub fn arm(&self, fault: Fault) {
        let mut told = self.told.lock().unwrap();
        *told = Told { fault: Some(fault), connections: told.connections, open: told.open, ..Told::default() };
    }

    pub fn struck(&self) -> bool {
        self.told.lock().unwrap().struck
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.told.lock().unwrap().heard.clone()
    }

    pub fn answers(&self) -> Vec<(Leg, Vec<u8>)> {
        self.told.lock().unwrap().answers.clone()
    }

    /// Connections that are not over.
    pub fn open(&self) -> usize {
        self.told.lock().unwrap().open
    }

    /// Requests by which the secret could be judged.
    pub fn proofs(&self) -> usize {
        self.heard().iter().filter(|heard| Leg::of(heard) == Leg::Proof).count()
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn play(mut peer: Peer, connection: usize, script: &impl Fn(&Heard) -> Say, told: &Mutex<Told>) {
    loop {
        if let Some((_, kind)) = due_request(told, false) {
            return strike(peer, kind).await;
        }
        // One that was dialled ahead waits for its request.
        if !peer.has_begun().await {
            return;
        }
        if let Some((at, kind)) = due_request(told, true) {
            peer.take_up_to(at).await;
            return strike(peer, kind).await;
        }
        let Some(head) = peer.try_head().await else { return };
        let body = peer.body(&head).await.0;
        let heard = Heard { connection, head, body };
        let said = script(&heard).to(heard.head.method());
        let (bytes, echoes) = match said {
            Say::Answer(bytes) => (bytes, false),
            Say::Echo(bytes) => (bytes, true),
            Say::Last(_) | Say::HangUp | Say::Silence => panic!("faults are not the script's business"),
        };
        if let Some((at, kind)) = due_answer(told, &heard, &bytes) {
            peer.try_send(&bytes[..at]).await;
            return strike(peer, kind).await;
        }
        let mut bytes = bytes;
        while peer.try_send(&bytes).await && echoes {
            bytes = peer.once().await;
            if bytes.is_empty() {
                return;
            }
        }
    }
}

fn due_request(told: &Mutex<Told>, has_begun: bool) -> Option<(usize, Kind)> {
    let mut told = told.lock().unwrap();
    let Some(Fault::Request { number, at, kind }) = told.fault else { return None };
    let due = !told.struck && told.heard.len() == number && (has_begun || at == 0);
    told.struck |= due;
    due.then_some((at, kind))
}

fn due_answer(told: &Mutex<Told>, heard: &Heard, bytes: &[u8]) -> Option<(usize, Kind)> {
    let mut told = told.lock().unwrap();
    let leg = Leg::of(heard);
    told.heard.push(heard.clone());
    told.answers.push((leg, bytes.to_vec()));
    match told.fault {
        Some(Fault::Answer { leg: struck, at, kind }) if struck == leg && !told.struck => {
            told.struck = true;
            Some((at, kind))
        }
        Some(_) | None => None,
    }
}

async fn strike(mut peer: Peer, kind: Kind) {
    match kind {
        Kind::Close => {}
        Kind::Reset => peer.reset(),
        Kind::Stall => drop(peer.rest().await),
        Kind::Garbage => drop(peer.try_send(GARBAGE).await),
    }
}
