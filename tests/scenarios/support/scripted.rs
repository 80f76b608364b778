//! Upstreams that do what a test says: taken by hand connection by connection, or answering by a function.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallpass::practice::{Account, Accounts, NtlmJudge, Verdict};
use socket2::{Domain, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::{Head, PASSWORD, Peer, soon};

/// A listener whose connections a test takes and plays itself, as soon as they say something: what was dialled ahead waits.
pub struct Scripted {
    listener: TcpListener,
    silent: AsyncMutex<JoinSet<Option<TcpStream>>>,
}

impl Scripted {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, silent: AsyncMutex::default() }
    }

    pub fn addr(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// However long that takes.
    pub async fn accept_whenever(&self) -> Peer {
        let mut silent = self.silent.lock().await;
        loop {
            tokio::select! {
                biased;
                Some(stream) = silent.join_next() => {
                    if let Some(stream) = stream.unwrap() {
                        return Peer::new(stream);
                    }
                }
                taken = self.listener.accept() => {
                    let (stream, _) = taken.unwrap();
                    silent.spawn(async move { matches!(stream.peek(&mut [0]).await, Ok(1)).then_some(stream) });
                }
            }
        }
    }

    pub async fn accept(&self) -> Peer {
        soon("a connection to the upstream", self.accept_whenever()).await
    }
}

/// A listener whose queue is full, so that nobody is answered any more.
pub struct BlackHole {
    pub addr: SocketAddr,
    _socket: Socket,
    _queue: Vec<TcpStream>,
}

impl BlackHole {
    pub async fn dig() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        let mut queue = Vec::new();
        while let Ok(Ok(stream)) = timeout(Duration::from_millis(100), TcpStream::connect(addr)).await {
            queue.push(stream);
        }
        let plain = timeout(Duration::from_millis(100), TcpStream::connect(addr)).await;
        assert!(plain.is_err(), "a plain connect must hang: {plain:?}");
        Self { addr, _socket: socket, _queue: queue }
    }
}

/// A port that refuses connections, and that nobody else can be given meanwhile.
pub struct Closed {
    pub addr: SocketAddr,
    socket: Socket,
}

impl Closed {
    pub fn reserve() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        Self { addr, socket }
    }

    pub fn open(self) -> TcpListener {
        self.socket.listen(64).unwrap();
        self.socket.set_nonblocking(true).unwrap();
        TcpListener::from_std(self.socket.into()).unwrap()
    }
}

/// One request as an [`Upstream`] heard it.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// Connections count from 1.
    pub connection: usize,
    pub head: Head,
    pub body: Vec<u8>,
}

impl Heard {
    /// The decoded token of `Proxy-Authorization`, or nothing.
    pub fn token(&self) -> Option<Vec<u8>> {
        let value = self.head.one("proxy-authorization")?;
        STANDARD.decode(value.split_once(' ')?.1).ok()
    }

    /// The type of an NTLM message in `Proxy-Authorization`; 0 without one.
    pub fn ntlm_type(&self) -> u8 {
        let token = self.token().unwrap_or_default();
        let at = token.windows(8).position(|part| part == b"NTLMSSP\0");
        at.and_then(|at| token.get(at + 8)).copied().unwrap_or(0)
    }
}

/// What an [`Upstream`] does with a request.
pub enum Say {
    /// Answer and listen for the next one.
    Answer(Vec<u8>),
    /// Answer and close.
    Last(Vec<u8>),
    HangUp,
    /// Listen on and say nothing.
    Silence,
    /// Answer, then send back whatever comes.
    Echo(Vec<u8>),
}

impl Say {
    pub fn answer(text: impl Into<Vec<u8>>) -> Self {
        Self::Answer(text.into())
    }

    pub fn last(text: impl Into<Vec<u8>>) -> Self {
        Self::Last(text.into())
    }

    /// An answer to HEAD has no body, whatever its head says.
    pub fn to(self, method: &str) -> Self {
        let cut = |mut bytes: Vec<u8>| {
            if let (true, Some(end)) = (method == "HEAD", bytes.windows(4).position(|part| part == b"\r\n\r\n")) {
                bytes.truncate(end + 4);
            }
            bytes
        };
        match self {
            Self::Answer(bytes) => Self::Answer(cut(bytes)),
            Self::Last(bytes) => Self::Last(cut(bytes)),
            Self::HangUp | Self::Silence | Self::Echo(_) => self,
        }
    }

    /// What a CONNECT or a GET is answered with when all is well.
    pub fn welcome(heard: &Heard) -> Self {
        match heard.head.method() {
            "CONNECT" => Self::Echo(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
            "HEAD" => Self::answer("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"),
            _ => Self::answer("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nthanks"),
        }
    }
}

/// An upstream that answers by a function and remembers what it heard.
pub struct Upstream {
    pub addr: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    task: JoinHandle<()>,
}

impl Upstream {
    pub async fn start(script: impl Fn(&Heard) -> Say + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), script)
    }

    pub fn on(listener: TcpListener, script: impl Fn(&Heard) -> Say + Send + Sync + 'static) -> Self {
        let addr = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (script, record) = (Arc::new(script), heard.clone());
        let task = tokio::spawn(async move {
            let mut connection = 0;
            while let Ok((stream, _)) = listener.accept().await {
                connection += 1;
                tokio::spawn(play(Peer::new(stream), connection, script.clone(), record.clone()));
            }
        });
        Self { addr, heard, task }
    }

    /// Demands NTLM and really verifies it. `shape` makes the 407 out of the value of the challenge; it is told
    /// whether the request came without credentials.
    pub async fn ntlm(shape: impl Fn(&str, bool) -> Say + Send + Sync + 'static) -> Self {
        let guard = Guard::new("NTLM");
        Self::start(move |heard| match guard.challenge(heard) {
            None => Say::welcome(heard),
            Some(value) => shape(&value, heard.ntlm_type() == 0).to(heard.head.method()),
        })
        .await
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.heard().iter().map(|heard| heard.connection).max().unwrap_or(0)
    }

    /// The NTLM message types of all requests, in order.
    pub fn types(&self) -> Vec<u8> {
        self.heard().iter().map(Heard::ntlm_type).collect()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn play(mut peer: Peer, connection: usize, script: Arc<impl Fn(&Heard) -> Say>, record: Arc<Mutex<Vec<Heard>>>) {
    while let Some(head) = peer.try_head().await {
        // Whoever waits to be asked for the body is never asked.
        let body = if head.has("expect") { Vec::new() } else { peer.body(&head).await.0 };
        let heard = Heard { connection, head, body };
        record.lock().unwrap().push(heard.clone());
        match script(&heard) {
            Say::Answer(bytes) => {
                if !peer.try_send(&bytes).await {
                    return;
                }
            }
            Say::Last(bytes) => {
                peer.try_send(&bytes).await;
                let _ = peer.stream.shutdown().await;
                return;
            }
            Say::HangUp => return,
            Say::Silence => {}
            Say::Echo(bytes) => {
                let mut bytes = bytes;
                while peer.try_send(&bytes).await {
                    bytes = peer.once().await;
                    if bytes.is_empty() {
                        return;
                    }
                }
                return;
            }
        }
    }
}

/// Judges NTLM for an upstream, connection by connection.
pub struct Guard {
    scheme: &'static str,
    accounts: Accounts,
    judges: Mutex<Vec<(usize, NtlmJudge, bool)>>,
}

impl Guard {
    pub fn new(scheme: &'static str) -> Self {
        let accounts = Accounts::new([Account::new("PRACTICE", "alice", PASSWORD)]);
        Self { scheme, accounts, judges: Mutex::default() }
    }

    /// The value of the challenge this request is to get; `None` for who has proved himself.
    pub fn challenge(&self, heard: &Heard) -> Option<String> {
        self.step(heard).map(|token| match token {
            Some(token) => format!("{} {}", self.scheme, STANDARD.encode(token)),
            None => self.scheme.to_string(),
        })
    }

    /// The bare type 2, where one is due.
    pub fn step(&self, heard: &Heard) -> Option<Option<Vec<u8>>> {
        let mut judges = self.judges.lock().unwrap();
        if !judges.iter().any(|(connection, ..)| *connection == heard.connection) {
            judges.push((heard.connection, NtlmJudge::default(), false));
        }
        let (_, judge, proved) = judges.iter_mut().find(|(connection, ..)| *connection == heard.connection).unwrap();
        let Some(token) = heard.token() else { return if *proved { None } else { Some(None) } };
        let at = token.windows(8).position(|part| part == b"NTLMSSP\0").unwrap_or(0);
        match judge.step(&self.accounts, "PRACTICE", None, &token[at..]) {
            Verdict::Challenge(message) => Some(Some(message)),
            Verdict::Accept(_) => {
                *proved = true;
                None
            }
            Verdict::Reject(_) | Verdict::OutOfOrder => Some(None),
        }
    }
}
