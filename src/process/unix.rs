//! Signals of Unix: TERM and INT stop, HUP reloads; and how our output ends before we do.

use std::io;

use tokio::signal::unix::{Signal as Source, SignalKind, signal};

use super::Signal;

/// Whoever reads our output hears its end; what is written later goes nowhere.
pub fn end_stdout() -> io::Result<()> {
    let nowhere = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    Ok(rustix::stdio::dup2_stdout(nowhere)?)
}

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
