//! Signals of Unix: TERM and INT stop, HUP reloads; how our output ends before we do; that a crash writes no secrets to
//! disk; and who may read a file.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal as Source, SignalKind, signal};

use super::Signal;

/// Whoever reads our output hears its end; what is written later goes nowhere.
pub fn end_stdout() -> io::Result<()> {
    let nowhere = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    Ok(rustix::stdio::dup2_stdout(nowhere)?)
}

/// In lines, where this is a terminal.
pub fn terminal_height(output: impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(output).ok()?;
    Some(usize::from(size.ws_row)).filter(|rows| *rows > 0)
}

/// A crash leaves no file with our memory, which holds secrets. One byte and not zero: with zero Linux would still
/// hand the memory to a program that collects dumps (core(5)). Only the soft limit, which children may raise again.
pub fn leave_no_core() {
    let limit = Rlimit { current: Some(1), ..getrlimit(Resource::Core) };
    if let Err(error) = setrlimit(Resource::Core, limit) {
        tracing::debug!(%error, "cannot forbid core dumps");
    }
}

/// Whatever our umask is.
pub fn let_all_read(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o644))
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
