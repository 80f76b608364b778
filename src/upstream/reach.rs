//! TCP to an upstream: what it comes to is noted for the requests after this one.

use std::net::IpAddr;

use tokio::net::TcpStream;
use tokio::time::timeout_at;

use super::Upstreams;
use super::attempts::Patience;
use super::dial::DialError;
use super::marks::Mark;
use crate::address::{Endpoint, Target};

impl Upstreams {
    pub(super) async fn reach(&self, endpoint: &Endpoint, patience: Patience) -> Result<TcpStream, DialError> {
        let marks = self.live.marks();
        let outcome = match patience {
            Patience::Full => self.reach_unmarked(endpoint).await,
            Patience::Until(until) => {
                match timeout_at(until.into(), self.dial_with_room(&endpoint.target, |_| false)).await {
                    Ok(outcome) => outcome,
                    Err(_) => match marks.of(endpoint) {
                        Some(mark) => Err(mark.into()),
                        // It has just come back.
                        None => self.reach_unmarked(endpoint).await,
                    },
                }
            }
        };
        match &outcome {
            Ok(_) => marks.up(endpoint),
            Err(error) => marks.failed(endpoint, error, &self.dialer),
        }
        outcome
    }

    /// Gives up as soon as another request has found it dead.
    async fn reach_unmarked(&self, endpoint: &Endpoint) -> Result<TcpStream, DialError> {
        let marks = self.live.marks();
        tokio::select! {
            biased;
            dialled = self.dial_with_room(&endpoint.target, |_| false) => dialled,
            mark = marks.marked(endpoint) => Err(mark.into()),
            () = self.live.left() => Err(DialError::Moved),
        }
    }

    /// What nobody uses makes room for what somebody wants.
    async fn dial_with_room(&self, target: &Target, forbids: fn(IpAddr) -> bool) -> Result<TcpStream, DialError> {
        match self.dialer.dial_unless(target, forbids).await {
            Err(error) if error.is_shortage() => {
                self.live.make_room();
                self.dialer.dial_unless(target, forbids).await
            }
            dialled => dialled,
        }
    }

    /// A target that cannot be reached says nothing about the network: there are many such.
    pub(super) async fn reach_directly(&self, target: &Target) -> Result<TcpStream, DialError> {
        tokio::select! {
            biased;
            dialled = Box::pin(self.dial_with_room(target, self.forbids)) => dialled,
            () = self.live.left() => Err(DialError::Moved),
        }
    }
}

impl From<Mark> for DialError {
    fn from(mark: Mark) -> Self {
        Self::Dead { why: mark.why.to_string(), silent: mark.silent }
    }
}
