//! Signals of Unix: TERM and INT stop, HUP reloads.

use std::io;

use tokio::signal::unix::{Signal as Source, SignalKind, signal};

use super::Signal;

pub struct Signals {
    term: Source,
    int: Source,
    hup: Source,
}

impl Signals {
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.term.recv() => Signal::Stop,
            _ = self.int.recv() => Signal::Stop,
            _ = self.hup.recv() => Signal::Reload,
        }
    }
}
