//! HTTP/1.1 as a client that checks every byte.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Why an operation did not come to its end.
#[derive(Debug)]
pub enum Trouble {
    /// Something ended, failed or was refused: a fault may explain it.
    Failed(String),
    /// An answer that is none to what was asked, and its page.
    Refused(String, String),
    /// Nothing explains these.
    WrongBytes(String),
}

pub type Outcome<T = ()> = Result<T, Trouble>;

pub fn failed<T>(what: impl Into<String>) -> Outcome<T> {
    Err(Trouble::Failed(what.into()))
}

pub fn wrong<T>(what: impl Into<String>) -> Outcome<T> {
    Err(Trouble::WrongBytes(what.into()))
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.kind().to_string())
    }
}

pub struct Talk {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

pub struct Head {
    pub status: u16,
    text: String,
}

impl Head {
    fn field(&self, name: &str) -> Option<&str> {
        let fields = self.text.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }
}

impl Talk {
    pub async fn begin(relay: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(relay).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// A tunnel through the relay.
    pub async fn tunnel(relay: SocketAddr, target: &str) -> Outcome<Self> {
        let mut talk = Self::begin(relay).await?;
        talk.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes()).await?;
        let head = talk.head().await?;
        if head.status != 200 {
            return talk.refused("CONNECT", &head).await;
        }
        if !talk.buffer.is_empty() {
            return wrong("bytes behind the answer to CONNECT");
        }
        Ok(talk)
    }

    pub async fn send(&mut self, bytes: &[u8]) -> Outcome {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// False at the end of the stream.
    async fn fill(&mut self) -> Outcome<bool> {
        let mut room = [0; 16 * 1024];
        let read = self.stream.read(&mut room).await?;
        self.buffer.extend_from_slice(&room[..read]);
        Ok(read > 0)
    }

    /// What one read gives; nothing at the end.
    pub async fn some(&mut self, most: usize) -> Outcome<Vec<u8>> {
        if self.buffer.is_empty() {
            self.fill().await?;
        }
        Ok(self.buffer.drain(..self.buffer.len().min(most)).collect())
    }

    async fn line(&mut self) -> Outcome<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !self.fill().await? {
                return failed("ended within a line");
            }
        }
    }

    pub async fn head(&mut self) -> Outcome<Head> {
        let mut text = self.line().await?;
        let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
        let Some(status) = status else { return wrong(format!("no answer but {text:?}")) };
        loop {
            match self.line().await? {
                line if line.is_empty() => return Ok(Head { status, text }),
                line => text += &format!("\n{line}"),
            }
        }
    }

    /// Each piece of the body, to its end.
    pub async fn body(&mut self, head: &Head, mut each: impl FnMut(&[u8]) -> Outcome) -> Outcome {
        if head.field("transfer-encoding").is_some() {
            loop {
                let line = self.line().await?;
                let Ok(size) = usize::from_str_radix(&line, 16) else { return wrong(format!("chunk {line:?}")) };
                self.counted(size, &mut each).await?;
                if !self.line().await?.is_empty() {
                    return wrong("no line end behind a chunk");
                }
                if size == 0 {
                    return Ok(());
                }
            }
        }
        match head.field("content-length").map(str::parse) {
            Some(Ok(length)) => self.counted(length, &mut each).await,
            Some(Err(_)) => wrong("Content-Length"),
            None => failed("an answer that ends with the connection"),
        }
    }

    async fn counted(&mut self, mut left: usize, each: &mut impl FnMut(&[u8]) -> Outcome) -> Outcome {
        while left > 0 {
            let data = self.some(left).await?;
            if data.is_empty() {
                return failed("cut off");
            }
            left -= data.len();
            each(&data)?;
        }
        Ok(())
    }

    /// What an answer of another status says.
    pub async fn refused<T>(&mut self, what: &str, head: &Head) -> Outcome<T> {
        let mut page = Vec::new();
        let keep = |data: &[u8]| {
            page.extend_from_slice(data);
            Ok(())
        };
        let _ = self.body(head, keep).await;
        Err(Trouble::Refused(format!("{what} {}", head.status), String::from_utf8_lossy(&page).into_owned()))
    }

    /// With a reset.
    pub fn break_off(self) {
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO));
    }
}
