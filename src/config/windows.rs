//! Where configurations live on Windows, and who may touch them.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Where `%ProgramData%` is unless somebody moved it.
const PROGRAM_DATA: &str = r"C:\ProgramData";

/// `%ProgramData%\hallpass\hallpass.toml`: the machine's.
pub fn machine_file(variable: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    let base = variable("ProgramData").map(PathBuf::from).filter(|path| path.is_absolute());
    base.unwrap_or_else(|| PROGRAM_DATA.into()).join(r"hallpass\hallpass.toml")
}

/// `%APPDATA%\hallpass\hallpass.toml`: the user's; an account without a profile has none.
pub fn user_file(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let base = variable("APPDATA").map(PathBuf::from).filter(|path| path.is_absolute())?;
    Some(base.join(r"hallpass\hallpass.toml"))
}

/// `%LOCALAPPDATA%\hallpass`: not carried to other machines with the profile.
pub fn state_directory(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let base = variable("LOCALAPPDATA").map(PathBuf::from).filter(|path| path.is_absolute())?;
    Some(base.join("hallpass"))
}

/// Not known: access control lists are not read, so nothing is refused for them. Whoever may create a directory in
/// `%ProgramData%`, which every user may, could be the one who wrote the file.
pub fn others_may_write(_: &Path) -> bool {
    false
}

/// There is no policy in files here; one that is read for another system's sake is judged as the machine's file is.
pub fn others_than_root_may_write(path: &Path) -> bool {
    others_may_write(path)
}

/// A new file with the access that its directory gives it: in a profile, the user's own and the system's.
pub fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}
