//! What the desktop's menus know: entries below the data directories of the XDG Base Directory Specification.

use std::collections::HashSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Inventory, desktop};

/// Where nothing else is said.
const USUAL: &str = "/usr/local/share:/usr/share";

/// Flatpak and snap put theirs here; a shell outside the desktop may not have been told.
const OF_STORES: [&str; 2] = ["/var/lib/flatpak/exports/share", "/var/lib/snapd/desktop"];
const OF_USERS_FLATPAK: &str = ".local/share/flatpak/exports/share";

pub fn inventory() -> Inventory {
    let directories = directories(|name| env::var_os(name).filter(|value| !value.is_empty()));
    let (mut known, mut programs) = (HashSet::new(), Vec::new());
    for directory in &directories {
        let mut files = Vec::new();
        collect(directory, "", &mut files);
        files.sort();
        for (id, file) in files {
            // The user's own entry stands in for the system's, also to hide it.
            let Ok(bytes) = fs::read(&file) else { continue };
            if known.insert(id.clone()) {
                programs.extend(desktop::installed(&id, &file, &String::from_utf8_lossy(&bytes), is_there));
            }
        }
    }
    Inventory { programs, places: directories.iter().map(|directory| directory.display().to_string()).collect() }
}

/// Those of the user first.
fn directories(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let home = variable("HOME").map(PathBuf::from);
    let of_user = variable("XDG_DATA_HOME").map(PathBuf::from).or(home.as_ref().map(|home| home.join(".local/share")));
    let of_system = variable("XDG_DATA_DIRS").unwrap_or_else(|| USUAL.into());
    let of_stores = home.map(|home| home.join(OF_USERS_FLATPAK)).into_iter().chain(OF_STORES.map(PathBuf::from));
    let mut all: Vec<PathBuf> = Vec::new();
    for directory in of_user.into_iter().chain(env::split_paths(&of_system)).chain(of_stores) {
        let directory = directory.join("applications");
        if directory.is_absolute() && !all.contains(&directory) {
            all.push(directory);
        }
    }
    all
}

/// Each entry and its id, in which directories are told by dashes. Links to directories may lead in circles.
fn collect(directory: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), &format!("{prefix}{name}-"), files);
        } else if let Some(id) = name.strip_suffix(".desktop") {
            files.push((format!("{prefix}{id}"), entry.path()));
        }
    }
}

fn is_there(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    match program.contains('/') {
        true => Path::new(program).is_file(),
        false => env::split_paths(&path).any(|directory| directory.join(program).is_file()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_the_users_then_the_systems_then_those_of_stores_each_once() {
        let found = |pairs: &[(&str, &str)]| -> Vec<String> {
            let all = directories(|name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()));
            all.iter().map(|directory| directory.to_string_lossy().replace("/applications", "")).collect()
        };
        let stores = ["/var/lib/flatpak/exports/share", "/var/lib/snapd/desktop"];
        assert_eq!(found(&[]), [&["/usr/local/share", "/usr/share"], &stores[..]].concat());
        assert_eq!(
            found(&[("HOME", "/h"), ("XDG_DATA_DIRS", "relative:/var/lib/snapd/desktop:/usr/share:/usr/share")]),
            ["/h/.local/share", stores[1], "/usr/share", "/h/.local/share/flatpak/exports/share", stores[0]]
        );
        assert_eq!(found(&[("XDG_DATA_HOME", "/d"), ("XDG_DATA_DIRS", "/e")]), [&["/d", "/e"], &stores[..]].concat());
    }
}
