//! Where configurations live on Windows, and who may touch them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::process::control::is_obeying;
use crate::service::rights::{create_file, of_secret, own_sid, program_data, strangers_at};

/// Whoever may change what is the machine's.
pub const OWNERS: &str = "administrators";

/// `%ProgramData%\hallpass\hallpass.toml`: the machine's.
pub fn machine_file(_: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    program_data().join(r"hallpass\hallpass.toml")
}

/// `%APPDATA%\hallpass\hallpass.toml`: the user's; an account without a profile has none, and neither has a service.
pub fn user_file(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let base = variable("APPDATA").map(PathBuf::from).filter(|path| path.is_absolute() && !is_obeying())?;
    Some(base.join(r"hallpass\hallpass.toml"))
}

/// What a user's state directory depends on.
pub const HOME_OF_STATE: &str = "LOCALAPPDATA";

/// `%LOCALAPPDATA%\hallpass`: not carried to other machines with the profile. A service keeps it with the machine's.
pub fn state_directory(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    if is_obeying() {
        return Some(program_data().join(r"hallpass\state"));
    }
    let base = variable("LOCALAPPDATA").map(PathBuf::from).filter(|path| path.is_absolute())?;
    Some(base.join("hallpass"))
}

/// The file or its directory can be changed by somebody who is neither an administrator nor ourselves; what cannot be
/// looked at counts as such.
pub fn others_may_write(path: &Path) -> bool {
    strangers_at(path).map_or(true, |strangers| !strangers.is_empty())
}

/// There is no policy in files here; one that is read for another system's sake is judged as the machine's file is.
pub fn others_than_root_may_write(path: &Path) -> bool {
    others_may_write(path)
}

/// The commands by which nobody else may write any more: another owner, no list but the inherited one, and for the
/// directory one of its own. What lies below it, such as the state of the service, keeps what it has. The accounts are
/// SYSTEM, Administrators and Users, whose names differ by language.
pub fn closing(path: &Path) -> String {
    let (directory, path) = (path.parent().unwrap_or(path).display(), path.display());
    format!(
        r#"as administrator: icacls "{directory}" /setowner *S-1-5-32-544; icacls "{path}" /setowner *S-1-5-32-544; icacls "{path}" /reset; icacls "{directory}" /inheritance:r /grant:r "*S-1-5-18:(OI)(CI)F" "*S-1-5-32-544:(OI)(CI)F" "*S-1-5-32-545:(OI)(CI)RX""#
    )
}

/// A new file for the user, administrators and the system, whatever its directory would give it.
pub fn create_private(path: &Path) -> io::Result<File> {
    create_file(path, &of_secret(&own_sid()?))
}
