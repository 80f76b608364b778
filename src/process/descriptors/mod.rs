//! How many descriptors this process may have open.

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(not(unix), path = "other.rs")]
mod imp;

/// Raises our limit to as many as the system lets us have.
pub fn raise_limit() {
    if let Err(error) = imp::raise_limit() {
        tracing::info!(%error, "the limit of open files stays as it is");
    }
}

/// `None`: as many as there is memory for.
pub fn limit() -> Option<usize> {
    imp::limit()
}
