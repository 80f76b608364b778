//! One direction of a tunnel: what is read is written, and nothing more is read before it is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::splice::Pipe;

/// A read that fills this much is one of many: what follows goes by splicing.
const MUCH: usize = 64 * 1024;

/// With less at once there is nothing left to gain by it.
const LITTLE: usize = 16 * 1024;

/// After so much at a time others have their turn on the thread.
const TURN: u64 = 4 * 1024 * 1024;

/// One side of a tunnel.
pub trait Link: AsyncRead + AsyncWrite + Unpin {
    /// The socket itself, where bytes go through it as they are.
    fn plain(&self) -> Option<&TcpStream>;
}

impl Link for TcpStream {
    fn plain(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

impl<L: Link> Link for &mut L {
    fn plain(&self) -> Option<&TcpStream> {
        (**self).plain()
    }
}

/// Which of the two sockets failed.
pub(super) enum Fault {
    Reading,
    Writing,
}

#[derive(Default)]
pub(super) struct Flow {
    /// Read and not yet written; empty unless the receiver is slow.
    waiting: Vec<u8>,
    written: usize,
    /// There is one only while something is in it.
    pipe: Option<Pipe>,
    /// Much comes at once: it is worth a pipe, or else the whole buffer.
    much: bool,
    splices: bool,
    pub bytes: u64,
    ended: bool,
    pub finished: bool,
    unflushed: bool,
}

impl Flow {
    pub fn starting_with(early: &[u8], splices: bool) -> Self {
        Self { waiting: early.to_vec(), bytes: early.len() as u64, splices, ..Self::default() }
    }

    /// Nobody listens any more: what is left is for nobody.
    pub fn abandon(&mut self) {
        (self.waiting, self.written, self.pipe) = (Vec::new(), 0, None);
        self.finished = true;
    }

    /// Changes with every byte that is read or written: a slow receiver is not silent.
    pub fn progress(&self) -> (u64, usize) {
        let in_pipe = self.pipe.as_ref().map_or(0, Pipe::held);
        (self.bytes, self.waiting.len() - self.written + in_pipe)
    }

    pub fn poll<R: Link, W: Link>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
        scratch: &mut [u8],
    ) -> Poll<Result<(), Fault>> {
        let until = self.bytes + TURN;
        while !self.finished {
            ready!(self.poll_write_waiting(cx, to))?;
            if let Some(to) = to.plain() {
                ready!(self.poll_drain(cx, to))?;
            }
            if self.ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(|_| Fault::Writing)?;
                self.finished = true;
                break;
            }
            if self.bytes >= until {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let pipe = if self.much && self.splices { Pipe::take() } else { None };
            match (pipe, from.plain(), to.plain()) {
                (Some(pipe), Some(from), Some(to)) => ready!(self.poll_fill(cx, pipe, from, to))?,
                _ => ready!(self.poll_copy(cx, from, to, scratch))?,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_copy<R: Link, W: Link>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
        scratch: &mut [u8],
    ) -> Poll<Result<(), Fault>> {
        let room = if self.much { scratch.len() } else { MUCH.min(scratch.len()) };
        let mut buffer = ReadBuf::new(&mut scratch[..room]);
        match Pin::new(&mut *from).poll_read(cx, &mut buffer) {
            Poll::Pending => {
                if self.unflushed {
                    ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(|_| Fault::Writing)?;
                    self.unflushed = false;
                }
                Poll::Pending
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(Fault::Reading)),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                self.ended = true;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(())) => {
                let data = buffer.filled();
                self.bytes += data.len() as u64;
                self.much = data.len() >= if self.much { LITTLE } else { MUCH };
                let sent = match Pin::new(&mut *to).poll_write(cx, data) {
                    Poll::Ready(Ok(sent)) => sent,
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Fault::Writing)),
                    Poll::Pending => 0,
                };
                self.unflushed = true;
                self.waiting.extend_from_slice(&data[sent..]);
                Poll::Ready(Ok(()))
            }
        }
    }

    /// From the socket into a pipe, which the next round empties. What has nowhere to go stays where it is.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        mut pipe: Pipe,
        from: &TcpStream,
        to: &TcpStream,
    ) -> Poll<Result<(), Fault>> {
        ready!(from.poll_read_ready(cx)).map_err(|_| Fault::Reading)?;
        ready!(to.poll_write_ready(cx)).map_err(|_| Fault::Writing)?;
        match from.try_io(Interest::READABLE, || pipe.fill(from)) {
            Ok(count) => {
                self.bytes += count as u64;
                self.ended = count == 0;
                self.much = count >= LITTLE;
                self.pipe = Some(pipe);
            }
            // The next round waits until there is more.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // A socket that cannot be spliced from.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.splices = false,
            Err(_) => return Poll::Ready(Err(Fault::Reading)),
        }
        Poll::Ready(Ok(()))
    }

    /// An empty pipe is let go.
    fn poll_drain(&mut self, cx: &mut Context<'_>, to: &TcpStream) -> Poll<Result<(), Fault>> {
        while let Some(pipe) = self.pipe.as_mut().filter(|pipe| pipe.held() > 0) {
            ready!(to.poll_write_ready(cx)).map_err(|_| Fault::Writing)?;
            match to.try_io(Interest::WRITABLE, || pipe.drain(to)) {
                Ok(0) => return Poll::Ready(Err(Fault::Writing)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(Err(Fault::Writing)),
            }
        }
        self.pipe = None;
        Poll::Ready(Ok(()))
    }

    fn poll_write_waiting<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
    ) -> Poll<Result<(), Fault>> {
        while self.written < self.waiting.len() {
            let sent =
                ready!(Pin::new(&mut *to).poll_write(cx, &self.waiting[self.written..])).map_err(|_| Fault::Writing)?;
            if sent == 0 {
                return Poll::Ready(Err(Fault::Writing));
            }
            self.written += sent;
            self.unflushed = true;
        }
        if self.written > 0 {
            self.waiting = Vec::new();
            self.written = 0;
        }
        Poll::Ready(Ok(()))
    }
}
