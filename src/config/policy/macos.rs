//! Where the policy is on macOS: the preferences that profiles of a device management install.

use std::path::PathBuf;

use super::{BUNDLE_ID, Statement};
use crate::process::account;

const MANAGED: &str = "/Library/Managed Preferences";

/// Those for the user stand above those for the machine.
pub fn files() -> Vec<PathBuf> {
    let user = account::own().as_ref().and_then(account::name_of);
    let name = format!("{BUNDLE_ID}.plist");
    let of_user = user.map(|user| PathBuf::from(MANAGED).join(user).join(&name));
    of_user.into_iter().chain([PathBuf::from(MANAGED).join(&name)]).collect()
}

/// There is no registry.
pub fn branches() -> Vec<Statement> {
    Vec::new()
}

pub fn roots() -> Vec<String> {
    Vec::new()
}
