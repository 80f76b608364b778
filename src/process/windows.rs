//! Ctrl-C of a console; a service hears of its end through its manager.

use std::io;

use super::Signal;

/// Only the end of the process ends its output here.
pub fn end_stdout() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub struct Signals;

impl Signals {
    pub fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    pub async fn next(&mut self) -> Signal {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Signal::Stop
    }
}
