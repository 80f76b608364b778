//! Programs that are installed under a name, and how each is started by itself: a start through the desktop or the shell
//! loses the environment that it is to have.

#[cfg(any(target_os = "macos", test))]
mod bundle;
mod choice;
#[cfg(any(target_os = "linux", test))]
mod desktop;
#[cfg(any(target_os = "linux", test))]
mod exec_line;
#[cfg(any(windows, test))]
mod package;
#[cfg(any(windows, test))]
mod setup;
#[cfg(any(target_os = "macos", windows, test))]
mod xml;

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod imp;

pub use choice::Missing;

use std::ffi::OsString;
use std::path::PathBuf;

/// One program as the system knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Installed {
    /// What no other program is called.
    id: String,
    /// The first is the one that people see.
    names: Vec<String>,
    /// It stands in the system's menus.
    is_shown: bool,
    /// Or why it cannot be started with an environment.
    start: Result<Start, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Start {
    pub program: PathBuf,
    /// Before those of the user.
    pub arguments: Vec<OsString>,
    pub directory: Option<PathBuf>,
    /// What the user must know of this way to start it.
    pub remark: Option<String>,
    /// What to do where the system does not let us start it.
    pub if_denied: Option<&'static str>,
}

/// All that is installed, and the places that were looked through, for people.
#[derive(Debug, Default)]
struct Inventory {
    programs: Vec<Installed>,
    places: Vec<String>,
}

/// The one program of this name, whatever its case.
pub fn find(name: &str) -> Result<Start, Missing> {
    choice::choose(name, imp::inventory())
}
