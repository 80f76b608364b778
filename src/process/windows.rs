//! Ctrl-C of a console, the orders of whoever calls us, and what a crash tells.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use windows_sys::Win32::System::ErrorReporting::{WER_FAULT_REPORTING_FLAG_NOHEAP, WerSetFlags};

use super::{Signal, control};

/// Only the end of the process ends its output here.
pub fn end_stdout() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A console is not asked.
pub fn terminal_height<T>(_: T) -> Option<usize> {
    None
}

/// A report of a crash to Windows Error Reporting goes without our heap, which holds secrets.
#[expect(unsafe_code, reason = "Windows has no other way to say so")]
pub fn leave_no_core() {
    // SAFETY: a call without pointers, which changes a flag of this process.
    let failed = unsafe { WerSetFlags(WER_FAULT_REPORTING_FLAG_NOHEAP) };
    if failed < 0 {
        tracing::debug!(failed, "cannot keep the heap out of crash reports");
    }
}

/// A file has the access that its directory gives it.
pub fn let_all_read(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Orders on their way, and those who wait for them.
struct Orders {
    /// Given before anybody listened.
    early: Vec<Signal>,
    listeners: Vec<UnboundedSender<Signal>>,
}

static ORDERS: Mutex<Orders> = Mutex::new(Orders { early: Vec::new(), listeners: Vec::new() });

/// An order that comes by another way than the console.
pub(super) fn raise(signal: Signal) {
    let mut orders = ORDERS.lock().unwrap_or_else(PoisonError::into_inner);
    orders.listeners.retain(|listener| listener.send(signal).is_ok());
    if orders.listeners.is_empty() {
        orders.early.push(signal);
    }
}

pub struct Signals(UnboundedReceiver<Signal>);

impl Signals {
    pub fn listen() -> io::Result<Self> {
        let (sender, receiver) = unbounded_channel();
        let mut orders = ORDERS.lock().unwrap_or_else(PoisonError::into_inner);
        for signal in orders.early.drain(..) {
            // The receiver is here.
            let _ = sender.send(signal);
        }
        orders.listeners.push(sender);
        Ok(Self(receiver))
    }

    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            Some(order) = self.0.recv() => order,
            () = interrupted() => Signal::Stop,
        }
    }
}

/// Ctrl-C. A service has no console, and whoever listens to one is told when any user logs off.
async fn interrupted() {
    if control::is_obeying() || tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
