//! Where a file that is written into somebody's directory is that somebody's.

pub fn is_ours(_: &std::fs::Metadata) -> bool {
    true
}
