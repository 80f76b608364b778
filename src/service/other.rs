//! Systems where a package makes the directories, and whoever wants a relay to end sends it a signal.

use std::io;
use std::path::{Path, PathBuf};

use super::{Done, Scope, ServiceError};

pub(super) fn prepare(_: Option<&Path>) -> Result<Done, ServiceError> {
    Err(elsewhere())
}

pub(super) fn remove_directory() -> Result<Done, ServiceError> {
    Err(elsewhere())
}

pub(super) fn resume(_: Scope, _: &Path) -> Result<Option<Done>, ServiceError> {
    Err(elsewhere())
}

fn elsewhere() -> ServiceError {
    ServiceError::refused("an installer does this on Windows only", "elsewhere packages do it their way")
}

pub(super) fn run_of_machine() -> Option<PathBuf> {
    None
}

pub(super) fn listen_unseen() -> io::Result<bool> {
    Ok(true)
}
