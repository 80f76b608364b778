//! By the number of the user.

use std::os::unix::fs::MetadataExt;

pub fn is_ours(file: &std::fs::Metadata) -> bool {
    file.uid() == rustix::process::geteuid().as_raw()
}
