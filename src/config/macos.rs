//! Where configurations live on macOS.

use std::path::PathBuf;

/// The machine's.
pub fn machine_file(_: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    "/Library/Application Support/hallpass/hallpass.toml".into()
}

/// The user's; without a home there is none.
pub fn user_file(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let home = variable("HOME").map(PathBuf::from).filter(|home| home.is_absolute())?;
    Some(home.join("Library/Application Support/hallpass/hallpass.toml"))
}

/// What a user's state directory depends on.
pub const HOME_OF_STATE: &str = "HOME";

/// Without a home there is none.
pub fn state_directory(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let home = variable("HOME").map(PathBuf::from).filter(|home| home.is_absolute())?;
    Some(home.join("Library/Application Support/hallpass/state"))
}
