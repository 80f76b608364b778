//! What becomes of memory that was let go.

#[cfg_attr(all(target_os = "linux", target_env = "gnu"), path = "linux.rs")]
#[cfg_attr(not(all(target_os = "linux", target_env = "gnu")), path = "other.rs")]
mod imp;

/// Has blocks of 128 KiB and more go back to the system as soon as they are let go.
pub fn give_large_blocks_back() {
    imp::give_large_blocks_back();
}
