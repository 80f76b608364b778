//! Somebody who is shown what is said on the way to a tunnel: for those who record it.

use std::fmt;
use std::net::SocketAddr;

use super::stream::Stream;

/// Hears of the heads of log-ins, as they are on the wire. Credentials stand in them: what is kept of them is the
/// witness's care.
pub trait Witness: fmt::Debug + Send + Sync {
    fn sent(&self, connection: Connection, head: &[u8]);
    /// Also what turns out to be no head that can be read.
    fn received(&self, connection: Connection, head: &[u8]);
}

/// Tells connections apart: our own end of one. Unknown where the connection is gone already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection(Option<SocketAddr>);

impl Connection {
    pub(super) fn of(stream: &Stream) -> Self {
        Self(stream.tcp().local_addr().ok())
    }
}
