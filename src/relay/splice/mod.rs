//! Bytes from one socket to another through a pipe of the kernel, without a copy to us, where the system can.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "other.rs")]
mod imp;

pub use imp::Pipe;
