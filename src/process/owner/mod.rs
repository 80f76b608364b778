//! Whose a connection is: the user who opened its other end, where that end is on this machine.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(windows, path = "windows.rs")]
#[cfg_attr(not(any(target_os = "linux", windows)), path = "other.rs")]
mod imp;
#[cfg_attr(not(windows), allow(dead_code, reason = "elsewhere a connection names its owner and not a process"))]
mod maker;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use thiserror::Error;
use tokio::task::spawn_blocking;

use crate::owner::Owner;

/// Why the owner of a connection is not known.
#[derive(Debug, Error)]
pub enum OwnerError {
    #[error("this system does not tell whose a connection is")]
    Unsupported,
    /// Its other end is not on this machine any more: what the system says of such ends is nobody's name.
    #[error("its other end is closed already")]
    Gone,
    /// Another one made it, left it to somebody and ended, and this one got its number.
    #[error("the process at its other end began after the connection was made, or the clock was set back")]
    Younger,
    /// The process that has it now may not be the one that made it.
    #[error("the system does not say when the connection was made, and so not by which process")]
    Undated,
    #[error("the system does not answer")]
    Query(#[source] io::Error),
}

/// Asks the system anew for each connection.
#[derive(Debug)]
pub struct Owners(imp::Owners);

impl Owners {
    /// What the system can tell at all.
    pub const SUPPORTED: bool = imp::SUPPORTED;

    /// An answer may take longer than a thread of the runtime should.
    const WAITS: bool = imp::WAITS;

    /// Tried out on a connection of our own: a sandbox may forbid the question.
    pub fn open() -> Result<Self, OwnerError> {
        let owners = Self(imp::Owners::open()?);
        let listener = TcpListener::bind("127.0.0.1:0").or_else(|_| TcpListener::bind("[::1]:0"));
        let listening = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (to, _listener) = listening.map_err(OwnerError::Query)?;
        let mut client = TcpStream::connect(to).map_err(OwnerError::Query)?;
        // Wine knows the process of an end only when something was sent by it.
        client.write_all(b"?").map_err(OwnerError::Query)?;
        owners.of(client.local_addr().map_err(OwnerError::Query)?, to)?;
        Ok(owners)
    }

    /// The same as [`Owners::of`], where nothing may wait.
    pub async fn find(self: &Arc<Self>, from: SocketAddr, to: SocketAddr) -> Result<Owner, OwnerError> {
        let owners = Arc::clone(self);
        aside(Self::WAITS, move || owners.of(from, to)).await
    }

    /// The user who opened the end `from` of the connection `from` → `to`. Takes microseconds on Linux; on Windows it may
    /// wait.
    pub fn of(&self, from: SocketAddr, to: SocketAddr) -> Result<Owner, OwnerError> {
        let canonical = |addr: SocketAddr| SocketAddr::new(addr.ip().to_canonical(), addr.port());
        self.0.of(canonical(from), canonical(to))
    }

    /// The user whose process listens on an address.
    pub fn of_listener(&self, addr: SocketAddr) -> Result<Owner, OwnerError> {
        self.0.of_listener(addr)
    }
}

/// At once, or on a thread that may wait.
async fn aside(
    waits: bool,
    ask: impl FnOnce() -> Result<Owner, OwnerError> + Send + 'static,
) -> Result<Owner, OwnerError> {
    if !waits {
        return ask();
    }
    spawn_blocking(ask).await.unwrap_or_else(|failed| Err(OwnerError::Query(io::Error::other(failed))))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// On the only thread of this runtime it would wait for ever.
    #[tokio::test]
    async fn a_question_that_waits_holds_up_nobody_else() {
        let (answer, answered) = mpsc::channel();
        let ask = move || Ok(Owner::Uid(answered.recv_timeout(Duration::from_secs(30)).unwrap_or(0)));
        let (owner, ()) = tokio::join!(aside(true, ask), async { answer.send(7).unwrap() });
        assert_eq!(owner.unwrap(), Owner::Uid(7));
    }

    #[tokio::test]
    async fn a_question_that_does_not_wait_is_asked_at_once() {
        let here = thread::current().id();
        let ask = move || Ok(Owner::Uid(u32::from(thread::current().id() == here)));
        assert_eq!(aside(false, ask).await.unwrap(), Owner::Uid(1));
    }

    #[tokio::test]
    async fn a_question_that_fails_badly_has_no_answer() {
        let owner = aside(true, || panic!("on purpose")).await;
        assert!(matches!(owner, Err(OwnerError::Query(_))), "{owner:?}");
    }
}
