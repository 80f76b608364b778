//! This process among others: its signals, its service manager, what it leaves when it crashes, the file that says where
//! it listens, who holds a port or a connection.

pub mod account;
pub mod apart;
pub mod descriptors;
pub mod identity;
pub mod installed;
pub mod memory;
mod owner;
mod ports;
mod run_file;
pub mod running;
#[cfg(windows)]
mod tcp_table;
pub mod tree;

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "other.rs")]
mod imp;

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(not(unix), path = "windows.rs")]
mod signals;

pub use owner::{OwnerError, Owners};
pub use ports::{holder_of, program_of, programs_of};
pub use run_file::{RunFile, run_directory, running_relays};
pub use signals::{Signals, end_stdout, leave_no_core, terminal_height};

/// What a service manager wants to know of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Ready,
    Reloading,
    Stopping,
}

/// Tells the service manager, if one asked for it.
pub fn notify(state: State) {
    if let Err(error) = imp::notify(state) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

/// What somebody outside wants of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Stop,
    Reload,
}
