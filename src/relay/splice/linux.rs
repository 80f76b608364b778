//! splice(2) through pooled pipes.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use rustix::process::{Resource, getrlimit};
use tokio::net::TcpStream;

/// What one pipe holds: the more at once, the fewer calls and wake-ups. It is the most that an ordinary user may have,
/// and where the user has many pipes the kernel gives less (pipe(7)); of still smaller ones none is wanted.
const CAPACITIES: [usize; 2] = [1024 * 1024, 256 * 1024];

/// Flows that are being moved at the same moment need one each, and so does a flow whose receiver is slow.
const MOST_PIPES: usize = 32;

/// One in so many descriptors may be a pipe's.
const SHARE_OF_DESCRIPTORS: u64 = 16;

/// Kept by each thread for whatever moves next; as a rule a thread moves one flow at a time.
const KEPT: usize = 2;

static OPEN: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static POOL: RefCell<Vec<Arc<Ends>>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug)]
pub struct Pipe {
    ends: Arc<Ends>,
    held: usize,
}

/// The two ends of a pipe, counted while they are open.
#[derive(Debug)]
struct Ends {
    reading: OwnedFd,
    writing: OwnedFd,
}

impl Pipe {
    /// `None`: there are as many as there may be, or the kernel will not have one of this size.
    pub fn take() -> Option<Self> {
        let kept = POOL.with_borrow_mut(Vec::pop);
        kept.or_else(|| Ends::open().map(Arc::new)).map(|ends| Self { ends, held: 0 })
    }

    /// Only into an empty pipe: then "would block" says that the socket has nothing, and nothing else. Zero is the end of
    /// the stream.
    pub fn fill(&mut self, from: &TcpStream) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        self.held = splice(from, None, &self.ends.writing, None, CAPACITIES[0], flags)?;
        Ok(self.held)
    }

    /// As much as `to` has room for. No more is asked for than there is: the kernel would hold back the last bytes for
    /// those it thinks will follow.
    pub fn drain(&mut self, to: &TcpStream) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let sent = splice(&self.ends.reading, None, to, None, self.held, flags)?;
        self.held -= sent;
        Ok(sent)
    }

    /// Filled in and not yet drained.
    pub fn held(&self) -> usize {
        self.held
    }
}

/// Kept for another flow, unless there are enough or something is still in it.
impl Drop for Pipe {
    fn drop(&mut self) {
        if self.held > 0 {
            return;
        }
        let keep = |pool: &RefCell<Vec<Arc<Ends>>>| {
            let mut pool = pool.borrow_mut();
            if pool.len() < KEPT {
                pool.push(self.ends.clone());
            }
        };
        // A thread that ends has no pool any more.
        let _kept = POOL.try_with(keep);
    }
}

impl Ends {
    fn open() -> Option<Self> {
        if OPEN.fetch_add(1, Ordering::Relaxed) >= most_pipes() {
            OPEN.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let Ok((reading, writing)) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) else {
            OPEN.fetch_sub(1, Ordering::Relaxed);
            return None;
        };
        let ends = Self { reading, writing };
        let grown = CAPACITIES.iter().any(|size| fcntl_setpipe_size(&ends.writing, *size).is_ok());
        grown.then_some(ends)
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Pipes must not take the descriptors that connections need.
fn most_pipes() -> usize {
    static MOST: OnceLock<usize> = OnceLock::new();
    *MOST.get_or_init(|| {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        usize::try_from(limit / SHARE_OF_DESCRIPTORS / 2).unwrap_or(usize::MAX).clamp(1, MOST_PIPES)
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (one, other) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (one.unwrap(), other.unwrap().0)
    }

    #[tokio::test]
    async fn a_pipe_carries_bytes_tells_nothing_from_the_end_and_is_kept_when_empty() {
        let ((mut sender, from), (to, mut receiver)) = (pair().await, pair().await);
        let mut pipe = Pipe::take().unwrap();
        assert_eq!(pipe.fill(&from).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        sender.write_all(b"through the kernel").await.unwrap();
        from.readable().await.unwrap();
        assert_eq!((pipe.fill(&from).unwrap(), pipe.held()), (18, 18));
        assert_eq!((pipe.drain(&to).unwrap(), pipe.held()), (18, 0));
        let mut heard = [0; 18];
        receiver.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"through the kernel");
        let ends = Arc::downgrade(&pipe.ends);
        drop(pipe);
        assert!(ends.upgrade().is_some(), "kept for the next flow");
        sender.shutdown().await.unwrap();
        from.readable().await.unwrap();
        assert_eq!(Pipe::take().unwrap().fill(&from).unwrap(), 0);
    }

    #[tokio::test]
    async fn a_pipe_with_something_in_it_is_never_given_to_another_flow() {
        let (mut sender, from) = pair().await;
        let mut pipe = Pipe::take().unwrap();
        sender.write_all(b"of a tunnel that ended").await.unwrap();
        from.readable().await.unwrap();
        pipe.fill(&from).unwrap();
        let ends = Arc::downgrade(&pipe.ends);
        drop(pipe);
        assert!(ends.upgrade().is_none());
    }

    #[test]
    fn there_are_only_so_many_pipes_and_a_thread_keeps_fewer() {
        let all: Vec<Pipe> = std::iter::from_fn(Pipe::take).collect();
        assert!(!all.is_empty() && all.len() <= most_pipes(), "{}", all.len());
        drop(all);
        assert_eq!(POOL.with_borrow(Vec::len), KEPT);
    }
}
