//! Heads of requests and answers, read as cheaply as can be: the generator must not be what is measured.

use std::str;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const LONGEST: usize = 64 * 1024;

/// A connection and what was read of it too much.
pub struct Connection {
    pub stream: TcpStream,
    pub read: BytesMut,
}

impl Connection {
    pub fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: BytesMut::with_capacity(4096) })
    }

    /// The next head, or `None` at the end of the connection.
    pub async fn head(&mut self) -> Result<Option<Head>> {
        let mut searched = 0_usize;
        loop {
            if let Some(at) = find(&self.read[searched..], b"\r\n\r\n") {
                let bytes = self.read.split_to(searched + at + 4);
                return Ok(Some(Head { bytes }));
            }
            searched = self.read.len().saturating_sub(3);
            ensure!(searched < LONGEST, "a head without an end");
            if self.stream.read_buf(&mut self.read).await? == 0 {
                ensure!(self.read.is_empty(), "ended within a head: {:?}", String::from_utf8_lossy(&self.read));
                return Ok(None);
            }
        }
    }

    /// Exactly so many bytes.
    pub async fn body(&mut self, length: usize) -> Result<BytesMut> {
        self.fill(length).await?;
        Ok(self.read.split_to(length))
    }

    /// The body that a head speaks of, whichever way it is framed.
    pub async fn body_of(&mut self, head: &Head) -> Result<BytesMut> {
        if head.has("transfer-encoding", "chunked") {
            return self.chunked().await;
        }
        match head.length()? {
            Some(length) => self.body(length).await,
            None => bail!("a body without a length: {head:?}"),
        }
    }

    async fn chunked(&mut self) -> Result<BytesMut> {
        let mut body = BytesMut::new();
        loop {
            let length = self.chunk_length().await?;
            let mut chunk = self.body(length + 2).await?;
            ensure!(chunk.ends_with(b"\r\n"), "a chunk that does not end");
            chunk.truncate(length);
            if length == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk);
        }
    }

    pub async fn chunk_length(&mut self) -> Result<usize> {
        loop {
            if let Some(at) = find(&self.read, b"\r\n") {
                let line = self.read.split_to(at);
                self.read.advance(2);
                return usize::from_str_radix(str::from_utf8(&line)?.trim(), 16).context("a chunk's length");
            }
            self.fill(self.read.len() + 1).await?;
        }
    }

    async fn fill(&mut self, length: usize) -> Result<()> {
        while self.read.len() < length {
            ensure!(
                self.stream.read_buf(&mut self.read).await? > 0,
                "ended after {} of {length} bytes",
                self.read.len()
            );
        }
        Ok(())
    }
}

/// A head as it came, its last empty line included.
pub struct Head {
    bytes: BytesMut,
}

impl Head {
    pub fn line(&self) -> &str {
        let end = find(&self.bytes, b"\r\n").unwrap_or(self.bytes.len());
        str::from_utf8(&self.bytes[..end]).unwrap_or_default()
    }

    /// Of an answer.
    pub fn status(&self) -> u16 {
        self.line().split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_default()
    }

    /// Of a request: its method and its target.
    pub fn request(&self) -> (&str, &str) {
        let mut words = self.line().split(' ');
        (words.next().unwrap_or_default(), words.next().unwrap_or_default())
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        let lines = self.bytes[..].split(|byte| *byte == b'\n').skip(1);
        lines
            .filter_map(|line| str::from_utf8(line).ok()?.split_once(':'))
            .find_map(|(field, value)| field.eq_ignore_ascii_case(name).then(|| value.trim()))
    }

    pub fn has(&self, name: &str, word: &str) -> bool {
        self.field(name).is_some_and(|value| value.eq_ignore_ascii_case(word))
    }

    pub fn length(&self) -> Result<Option<usize>> {
        self.field("content-length").map(|value| value.parse().context("a length")).transpose()
    }
}

impl std::fmt::Debug for Head {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?}", String::from_utf8_lossy(&self.bytes))
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
