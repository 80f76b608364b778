//! One end of a TCP connection, client or server, that says and hears exact bytes.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Far more than anything here needs: what has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(15);

/// Waits for a fact.
pub async fn soon<T>(what: &str, fact: impl Future<Output = T>) -> T {
    timeout(PATIENCE, fact).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Waits for a fact that can only be looked at.
pub async fn until(what: &str, mut fact: impl FnMut() -> bool) {
    let looking = async {
        while !fact() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    soon(what, looking).await;
}

/// A head as text: the start line and the fields, each line with its end, and the empty line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head(pub String);

impl Head {
    pub fn line(&self) -> &str {
        self.0.lines().next().unwrap_or_default()
    }

    pub fn status(&self) -> u16 {
        self.line().split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{self:?}"))
    }

    pub fn method(&self) -> &str {
        self.line().split(' ').next().unwrap_or_default()
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.0.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// The one value of a field, or nothing; more than one is a failure.
    pub fn one(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} more than once: {self:?}");
        all.first().copied()
    }

    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub head: Head,
    pub body: Vec<u8>,
    /// As they stood behind the last chunk.
    pub trailers: String,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

#[derive(Debug)]
pub struct Peer {
    pub stream: TcpStream,
    /// Read and not yet looked at.
    buffer: Vec<u8>,
}

impl Peer {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    pub async fn connect(address: SocketAddr) -> Self {
        Self::new(soon("connecting", TcpStream::connect(address)).await.unwrap())
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon("sending", self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Writes until nothing is taken any more; gives how much was, and fails at `bound`.
    pub async fn flood(&mut self, bound: usize) -> usize {
        let block = vec![b'x'; 64 * 1024];
        let (mut written, mut since) = (0, Instant::now());
        while since.elapsed() < Duration::from_millis(300) {
            match self.stream.try_write(&block) {
                Ok(taken) => {
                    written += taken;
                    since = Instant::now();
                    assert!(written < bound, "somebody holds more than {bound} bytes");
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => sleep(Duration::from_millis(2)).await,
                Err(error) => panic!("{error}"),
            }
            tokio::task::yield_now().await;
        }
        written
    }

    /// False if the other side is gone.
    pub async fn try_send(&mut self, bytes: &[u8]) -> bool {
        soon("sending", self.stream.write_all(bytes)).await.is_ok()
    }

    /// False at the end of the stream; a reset counts as one.
    async fn fill(&mut self) -> bool {
        let mut room = [0; 16 * 1024];
        let read = soon("a byte or the end", self.stream.read(&mut room)).await.unwrap_or(0);
        self.buffer.extend_from_slice(&room[..read]);
        read > 0
    }

    /// What one read gives.
    pub async fn once(&mut self) -> Vec<u8> {
        if self.buffer.is_empty() {
            self.fill().await;
        }
        std::mem::take(&mut self.buffer)
    }

    pub async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.fill().await, "ended after {} of {count} bytes: {:?}", self.buffer.len(), self.shown());
        }
        self.buffer.drain(..count).collect()
    }

    /// Less if the stream ends before.
    pub async fn take_up_to(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count && self.fill().await {}
        let count = count.min(self.buffer.len());
        self.buffer.drain(..count).collect()
    }

    /// Everything up to the end of the stream.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.buffer)
    }

    /// The stream is at its end, and nothing came before it.
    pub async fn ended(&mut self) {
        let rest = self.rest().await;
        assert!(rest.is_empty(), "more came: {:?}", String::from_utf8_lossy(&rest));
    }

    /// True if nothing at all comes for a little while. Only for what must not happen.
    pub async fn silent(&mut self) -> bool {
        self.buffer.is_empty() && timeout(Duration::from_millis(100), self.stream.peek(&mut [0])).await.is_err()
    }

    pub async fn finish(&mut self) {
        soon("ending the stream", self.stream.shutdown()).await.unwrap();
    }

    /// Closes with a reset, as a program that was killed does.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// However long that takes. False if the stream ended first.
    pub async fn has_begun(&self) -> bool {
        !self.buffer.is_empty() || matches!(self.stream.peek(&mut [0]).await, Ok(1))
    }

    /// `None`: the stream ended first.
    pub async fn try_head(&mut self) -> Option<Head> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return Some(Head(head.iter().map(|byte| char::from(*byte)).collect()));
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    pub async fn head(&mut self) -> Head {
        match self.try_head().await {
            Some(head) => head,
            None => panic!("no head, only {:?}", self.shown()),
        }
    }

    /// The body of a message with this head.
    pub async fn body(&mut self, head: &Head) -> (Vec<u8>, String) {
        if head.has("transfer-encoding") {
            return self.chunks().await;
        }
        match head.one("content-length") {
            Some(length) => (self.take(length.parse().unwrap()).await, String::new()),
            None if head.0.starts_with("HTTP/") => (self.rest().await, String::new()),
            None => (Vec::new(), String::new()),
        }
    }

    async fn chunks(&mut self) -> (Vec<u8>, String) {
        let mut data = Vec::new();
        loop {
            let line = self.text_line().await;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16).unwrap();
            if size == 0 {
                break;
            }
            data.extend(self.take(size).await);
            assert_eq!(self.take(2).await, b"\r\n");
        }
        let mut trailers = String::new();
        loop {
            match self.text_line().await {
                line if line.is_empty() => return (data, trailers),
                line => trailers += &format!("{line}\n"),
            }
        }
    }

    async fn text_line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(self.take(1).await);
        }
        String::from_utf8_lossy(&line[..line.len() - 2]).into_owned()
    }

    /// The next answer, to a request that was not `HEAD`; interim ones are left out.
    pub async fn answer(&mut self) -> Answer {
        loop {
            let head = self.head().await;
            match head.status() {
                100..200 => {}
                204 | 304 => return Answer { head, body: Vec::new(), trailers: String::new() },
                _ => {
                    let (body, trailers) = self.body(&head).await;
                    return Answer { head, body, trailers };
                }
            }
        }
    }

    pub async fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request).await;
        self.answer().await
    }

    pub async fn ask_head(&mut self, request: impl AsRef<[u8]>) -> Head {
        self.send(request).await;
        self.head().await
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.buffer[..self.buffer.len().min(400)]).into_owned()
    }
}
