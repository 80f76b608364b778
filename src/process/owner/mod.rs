//! Whose a connection is: the user who opened its other end, where that end is on this machine.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(windows, path = "windows.rs")]
#[cfg_attr(not(any(target_os = "linux", windows)), path = "other.rs")]
mod imp;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use thiserror::Error;

use crate::owner::Owner;

/// Why the owner of a connection is not known.
#[derive(Debug, Error)]
pub enum OwnerError {
    #[error("this system does not tell whose a connection is")]
    Unsupported,
    /// Its other end is not on this machine any more: what the system says of such ends is nobody's name.
    #[error("its other end is closed already")]
    Gone,
    #[error("the system does not answer")]
    Query(#[source] io::Error),
}

/// Answers with one question to the system for each connection, in microseconds.
#[derive(Debug)]
pub struct Owners(imp::Owners);

impl Owners {
    /// What the system can tell at all.
    pub const SUPPORTED: bool = imp::SUPPORTED;

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

    /// The user who opened the end `from` of the connection `from` → `to`. Never waits.
    pub fn of(&self, from: SocketAddr, to: SocketAddr) -> Result<Owner, OwnerError> {
        let canonical = |addr: SocketAddr| SocketAddr::new(addr.ip().to_canonical(), addr.port());
        self.0.of(canonical(from), canonical(to))
    }

    /// The user whose process listens on an address.
    pub fn of_listener(&self, addr: SocketAddr) -> Result<Owner, OwnerError> {
        self.0.of_listener(addr)
    }
}
