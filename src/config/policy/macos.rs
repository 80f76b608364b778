//! Where the policy is on macOS: the preferences that profiles of a device management install.

use std::path::PathBuf;

use super::{BUNDLE_ID, Statement, admission};
use crate::process::account;

const MANAGED: &str = "/Library/Managed Preferences";

/// Those for the user stand above those for the machine.
fn files() -> Vec<PathBuf> {
    let user = account::own().as_ref().and_then(account::name_of);
    let name = format!("{BUNDLE_ID}.plist");
    let of_user = user.map(|user| PathBuf::from(MANAGED).join(user).join(&name));
    of_user.into_iter().chain([PathBuf::from(MANAGED).join(&name)]).collect()
}

pub fn statements() -> Vec<Statement> {
    let read = |path: PathBuf| {
        Some(match admission::admitted(&path)? {
            Ok(bytes) => Statement::Plist { path, bytes },
            Err(problem) => admission::refused(&path, problem),
        })
    };
    files().into_iter().filter_map(read).collect()
}

pub fn places() -> Vec<String> {
    files().iter().map(|path| path.display().to_string()).collect()
}
