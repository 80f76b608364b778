//! This process among others: its signals, its service manager, what it leaves when it crashes, the file that says where
//! it listens, who holds a port or a connection.

pub mod account;
pub mod apart;
pub mod control;
pub mod descriptors;
mod held;
pub mod identity;
pub mod installed;
pub mod memory;
mod notify;
mod owner;
mod ports;
mod run_file;
pub mod running;
mod started;
#[cfg(windows)]
mod tcp_table;
pub mod tree;

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(not(unix), path = "windows.rs")]
mod signals;

pub use notify::{State, alive, describe, notify, watchdog};
pub use owner::{OwnerError, Owners};
pub use ports::{holder_of, program_of, programs_of};
pub use run_file::{RunFile, own_run_directory, run_directories, running_relays};
pub use signals::{Signals, end_stdout, leave_no_core, terminal_height};
pub use started::is_machines_service;

/// What somebody outside wants of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Stop,
    Reload,
}
