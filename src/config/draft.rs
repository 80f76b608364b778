//! A configuration is written beside its place and moved there.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::create_private;

/// Writes a file that only its owner can read, whole or not at all. An existing one is replaced only on demand.
pub fn write_private(path: &Path, text: &str, replace: bool) -> io::Result<()> {
    if !replace && path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::create_dir_all(directory)?;
    }
    let draft = path.with_extension(format!("toml.{}", std::process::id()));
    let mut file = create_private(&draft)?;
    let written =
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        let _already_gone = fs::remove_file(&draft);
    }
    written
}
