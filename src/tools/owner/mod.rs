//! Whose a file is: what root replaces in somebody's home would be root's.

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(not(unix), path = "other.rs")]
mod imp;

/// It can be replaced by this process without becoming another user's.
pub fn is_ours(file: &std::fs::Metadata) -> bool {
    imp::is_ours(file)
}
