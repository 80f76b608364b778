//! Directories in which tools keep what belongs to the person.

use std::path::PathBuf;

use super::{Asked, Cannot};

impl Asked<'_> {
    /// A variable that names a place; an empty one names none.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        (self.variable)(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    pub(super) fn is_windows(&self) -> bool {
        self.system == "windows"
    }

    pub(super) fn is_macos(&self) -> bool {
        self.system == "macos"
    }

    pub(super) fn home(&self) -> Result<PathBuf, Cannot> {
        let name = if self.is_windows() { "USERPROFILE" } else { "HOME" };
        self.path(name).ok_or(Cannot::NoPlace(name))
    }

    /// Of Windows.
    pub(super) fn app_data(&self) -> Result<PathBuf, Cannot> {
        self.path("APPDATA").ok_or(Cannot::NoPlace("APPDATA"))
    }

    /// By the XDG specification.
    pub(super) fn config(&self) -> Result<PathBuf, Cannot> {
        match self.path("XDG_CONFIG_HOME").filter(|path| path.is_absolute()) {
            Some(path) => Ok(path),
            None => Ok(self.home()?.join(".config")),
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.relay)
    }

    pub(super) fn combined(&self) -> Option<String> {
        self.trust.map(|trust| trust.combined.to_string_lossy().into_owned())
    }
}
