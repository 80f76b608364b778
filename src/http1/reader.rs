//! Messages off a byte stream: heads whole, bodies piece by piece as they come, nothing held back.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};

use super::body::{Body, Piece};
use super::head::{MAX_TARGET, end_of_head, stray_line_ends};
use super::{Fields, HttpError, RequestHead, ResponseHead};

/// One read's room: large enough for speed, small enough for a waiting client.
const READ_SIZE: usize = 16 * 1024;

#[derive(Debug, Error)]
pub enum ReadError {
    /// The peer ended the stream before the first byte of a message.
    #[error("the connection was closed")]
    Closed,
    /// The peer ended the stream within a message.
    #[error("the connection was closed within a message")]
    Truncated,
    #[error("the connection failed")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Http(#[from] HttpError),
}

/// A stream with the bytes that were read from it and not yet used.
#[derive(Debug)]
pub struct Wire<S> {
    pub stream: S,
    pub buffer: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    pub fn reader(&mut self) -> Reader<'_, &mut S> {
        Reader { io: &mut self.stream, buffer: &mut self.buffer }
    }

    /// Both directions at once, for as long as the borrow lasts.
    pub fn split(&mut self) -> (Reader<'_, ReadHalf<&mut S>>, WriteHalf<&mut S>) {
        let (read, write) = tokio::io::split(&mut self.stream);
        (Reader { io: read, buffer: &mut self.buffer }, write)
    }
}

pub struct Reader<'a, R> {
    io: R,
    buffer: &'a mut BytesMut,
}

impl<R: AsyncRead + Unpin> Reader<'_, R> {
    pub async fn request(&mut self, max_head: usize) -> Result<RequestHead, ReadError> {
        match self.head(max_head).await {
            Ok(head) => Ok(RequestHead::parse(&head)?),
            // What is too long may be its first line alone (RFC 9112 §3).
            Err(ReadError::Http(HttpError::HeadTooLarge)) if has_long_target(self.buffer) => {
                Err(HttpError::TargetTooLong.into())
            }
            Err(error) => Err(error),
        }
    }

    pub async fn response(&mut self, max_head: usize) -> Result<ResponseHead, ReadError> {
        self.response_shown(max_head, |_| {}).await
    }

    /// The bytes of the head are shown before they are read: they may be what is odd.
    pub async fn response_shown(
        &mut self,
        max_head: usize,
        show: impl FnOnce(&[u8]),
    ) -> Result<ResponseHead, ReadError> {
        let head = self.head(max_head).await?;
        show(&head);
        Ok(ResponseHead::parse(&head)?)
    }

    async fn head(&mut self, max: usize) -> Result<Bytes, ReadError> {
        let mut seen = 0;
        loop {
            if seen == 0 {
                let stray = stray_line_ends(self.buffer);
                let _ = self.buffer.split_to(stray);
            }
            if self.buffer.first().is_some_and(|first| !may_begin_a_head(*first)) {
                return Err(HttpError::Malformed.into());
            }
            if let Some(end) = end_of_head(self.buffer, seen) {
                return if end > max {
                    Err(HttpError::HeadTooLarge.into())
                } else {
                    Ok(self.buffer.split_to(end).freeze())
                };
            }
            if self.buffer.len() > max {
                return Err(HttpError::HeadTooLarge.into());
            }
            seen = self.buffer.len();
            if self.fill().await? == 0 {
                return Err(if self.buffer.is_empty() { ReadError::Closed } else { ReadError::Truncated });
            }
        }
    }

    /// Waits for the first byte of a message, or the end of the stream.
    pub async fn begun(&mut self) -> Result<(), ReadError> {
        loop {
            let stray = stray_line_ends(self.buffer);
            let _ = self.buffer.split_to(stray);
            if !self.buffer.is_empty() {
                return Ok(());
            }
            if self.fill().await? == 0 {
                return Err(ReadError::Closed);
            }
        }
    }

    /// The next data of a body, or its trailers at the end.
    pub async fn piece(&mut self, body: &mut Body) -> Result<Result<Bytes, Fields>, ReadError> {
        loop {
            if let Some(piece) = self.piece_at_hand(body)? {
                return Ok(piece);
            }
            if self.fill().await? == 0 {
                return if body.ends_at_close() { Ok(Err(Fields::default())) } else { Err(ReadError::Truncated) };
            }
        }
    }

    /// The same of what was read already; `None` where that is not enough.
    pub fn piece_at_hand(&mut self, body: &mut Body) -> Result<Option<Result<Bytes, Fields>>, HttpError> {
        match body.next(self.buffer)? {
            Piece::Data(range) => {
                let mut data = self.buffer.split_to(range.end);
                let _ = data.split_to(range.start);
                Ok(Some(Ok(data.freeze())))
            }
            Piece::End { consumed, trailers } => {
                let _ = self.buffer.split_to(consumed);
                Ok(Some(Err(trailers)))
            }
            Piece::More { consumed } => {
                let _ = self.buffer.split_to(consumed);
                Ok(None)
            }
        }
    }

    /// Reads a body to its end and drops it; false if it is longer than `most`, and then it is not at its end.
    pub async fn skip(&mut self, body: &mut Body, most: usize) -> Result<bool, ReadError> {
        let mut skipped = 0;
        while let Ok(data) = self.piece(body).await? {
            skipped += data.len();
            if skipped > most {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether there are bytes that were read and not yet used.
    pub fn has_bytes(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Waits until the peer has ended its stream, and says how; reads ahead no further than `limit`, and then waits
    /// for ever.
    pub async fn ended(&mut self, limit: usize) -> ReadError {
        while self.buffer.len() < limit {
            match self.fill().await {
                Ok(0) => return ReadError::Closed,
                Ok(_) => {}
                Err(error) => return error.into(),
            }
        }
        std::future::pending().await
    }

    /// Reads once; nothing at the end. Where there is no room yet, none is made before something is there, and then as
    /// much as that needs: a head is short, and whoever waits for one holds no memory.
    pub async fn fill(&mut self) -> io::Result<usize> {
        if self.buffer.try_reclaim(READ_SIZE) {
            self.io.read_buf(self.buffer).await
        } else {
            poll_fn(|cx| self.poll_fill(cx)).await
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut room = [MaybeUninit::uninit(); READ_SIZE];
        let mut read = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
        self.buffer.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }
}

fn has_long_target(head: &[u8]) -> bool {
    let mut words = head.split(|byte| byte.is_ascii_whitespace()).skip(1);
    words.next().is_some_and(|target| target.len() > MAX_TARGET)
}

/// False for the first byte of a TLS or SOCKS hello, which would never come to the end of a head. A line end may be
/// half of a stray one.
fn may_begin_a_head(first: u8) -> bool {
    first.is_ascii_graphic() || matches!(first, b' ' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn read(pieces: &[&[u8]], max: usize) -> Result<RequestHead, String> {
        let mut io = tokio_test_stream(pieces);
        let mut buffer = BytesMut::new();
        Reader { io: &mut io, buffer: &mut buffer }.request(max).await.map_err(|e| e.to_string())
    }

    /// A stream that gives its pieces one read at a time.
    fn tokio_test_stream<'a>(pieces: &'a [&'a [u8]]) -> impl AsyncRead + Unpin + 'a {
        pieces.iter().fold(Box::new(tokio::io::empty()) as Box<dyn AsyncRead + Unpin + 'a>, |before, piece| {
            Box::new(before.chain(*piece))
        })
    }

    #[tokio::test]
    async fn a_head_is_the_same_cut_at_every_byte_and_no_prefix_is_one() {
        let wire = b"\r\nCONNECT Example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nProxy-Connection: close\r\n\r\n";
        let whole = read(&[wire], 1024).await.unwrap();
        for cut in 0..wire.len() {
            assert_eq!(read(&[&wire[..cut], &wire[cut..]], 1024).await.as_ref(), Ok(&whole), "cut at {cut}");
            assert!(read(&[&wire[..cut]], 1024).await.is_err(), "prefix of {cut}");
        }
        let bytes: Vec<&[u8]> = wire.chunks(1).collect();
        assert_eq!(read(&bytes, 1024).await, Ok(whole));
    }

    #[tokio::test]
    async fn who_waits_holds_no_memory_and_a_long_body_makes_room_once() {
        let (mut client, mut io) = tokio::io::duplex(1024 * 1024);
        let mut buffer = BytesMut::new();
        let mut reader = Reader { io: &mut io, buffer: &mut buffer };
        assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut std::pin::pin!(reader.fill())).poll(cx).is_pending())).await);
        assert_eq!(reader.buffer.capacity(), 0);
        let sent: Vec<u8> = (0..10 * READ_SIZE).map(|n| u8::try_from(n % 251).unwrap()).collect();
        client.write_all(&sent).await.unwrap();
        let mut got = Vec::new();
        let mut rooms = std::collections::HashSet::new();
        while got.len() < sent.len() {
            assert_eq!(reader.fill().await.unwrap(), READ_SIZE);
            rooms.insert(reader.buffer.as_ptr());
            got.extend_from_slice(&reader.buffer.split());
        }
        assert_eq!((got == sent, rooms.len()), (true, 1));
        drop(client);
        assert_eq!(reader.fill().await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_head_over_the_limit_is_refused_even_when_it_never_ends() {
        let flood = [b"GET http://h/ HTTP/1.1\r\nA: ".as_slice(), &[b'a'; 4096]].concat();
        assert_eq!(read(&[&flood], 1024).await, Err(HttpError::HeadTooLarge.to_string()));
    }
    #[tokio::test]
    async fn another_protocol_is_refused_at_its_first_byte() {
        for hello in [b"\x16\x03\x01\x02", b"\x05\x01\x00\x00", b"\x80\x2e\x01\x00"] {
            let (mut client, mut io) = tokio::io::duplex(64);
            client.write_all(hello).await.unwrap();
            let answer = Reader { io: &mut io, buffer: &mut BytesMut::new() }.request(1024).await;
            assert!(matches!(answer, Err(ReadError::Http(HttpError::Malformed))), "{answer:?}");
        }
    }
}
