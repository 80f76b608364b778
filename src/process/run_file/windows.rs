//! `%LOCALAPPDATA%\hallpass\run`: the user's own directory on this machine, which does not end with a log-on.

use std::path::PathBuf;

/// Where a relay with these variables leaves its file; `None` where there is no place for it.
pub fn own_run_directory(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let local = variable("LOCALAPPDATA").filter(|path| !path.is_empty())?;
    Some(PathBuf::from(local).join(r"hallpass\run"))
}

/// Where others may have left theirs.
pub fn run_directories(variable: &dyn Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    own_run_directory(variable).into_iter().collect()
}
