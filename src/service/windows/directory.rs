//! `%ProgramData%\hallpass`: every user may put something by that name there, so what is found is looked at first.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::rights::{access_of, make_directory, of_configuration, of_state, own_sid, program_data, protect, strangers};
use super::{Done, ServiceError};

const CONFIGURATION: &str = "hallpass.toml";

/// Where the machine's configuration is, and in it what the service keeps.
pub(super) fn place() -> PathBuf {
    program_data().join("hallpass")
}

/// What the service keeps.
pub(super) fn state() -> PathBuf {
    place().join("state")
}

/// Makes both directories, or takes them away from whoever else may change them. The configuration stays as it is, and
/// is `first` where there is none.
pub fn prepare(first: Option<&Path>) -> Result<Done, ServiceError> {
    let mut done = Vec::new();
    own(&place(), &of_configuration(), &mut done)?;
    for entry in fs::read_dir(place()).map_err(file("read", &place()))?.flatten() {
        if entry.path() != state() && is_strangers(&entry.path())? {
            set_aside(&entry.path(), &mut done)?;
        }
    }
    own(&state(), &of_state(), &mut done)?;
    let configuration = place().join(CONFIGURATION);
    if let Some(first) = first.filter(|_| !configuration.exists()) {
        let text = fs::read(first).map_err(file("read", first))?;
        fs::write(&configuration, text).map_err(file("write", &configuration))?;
        done.push(format!("wrote {}", configuration.display()));
    }
    Ok(done)
}

pub fn remove_directory() -> Result<Done, ServiceError> {
    Ok(remove(&place())?.into_iter().collect())
}

/// Says so, if there was anything.
pub(super) fn remove(directory: &Path) -> Result<Option<String>, ServiceError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        removed => {
            removed.map(|()| Some(format!("removed {}", directory.display()))).map_err(file("remove", directory))
        }
    }
}

fn own(path: &Path, descriptor: &str, done: &mut Done) -> Result<(), ServiceError> {
    let is_here = fs::symlink_metadata(path).is_ok();
    if is_here && (is_strangers(path)? || !path.is_dir() || path.is_symlink()) {
        set_aside(path, done)?;
    }
    match make_directory(path, descriptor) {
        Ok(()) => {
            done.push(format!("made {}, which only administrators may change", path.display()));
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            protect(path, descriptor).map_err(file("protect", path))
        }
        Err(error) => Err(file("make", path)(error)),
    }
}

/// The owner is neither an administrator nor the system nor ourselves. What others may merely write is ours to close.
fn is_strangers(path: &Path) -> Result<bool, ServiceError> {
    let ourselves = own_sid().map_err(file("look at", path))?;
    let mut access = access_of(path).map_err(file("look at", path))?;
    access.list = Some(Vec::new());
    Ok(!strangers(&access, &ourselves).is_empty())
}

fn set_aside(path: &Path, done: &mut Done) -> Result<(), ServiceError> {
    let name = |number: u32| PathBuf::from(format!("{}.untrusted-{number}", path.display()));
    let Some(aside) = (1..).map(name).find(|aside| fs::symlink_metadata(aside).is_err()) else { return Ok(()) };
    fs::rename(path, &aside).map_err(file("move aside", path))?;
    done.push(format!("moved {} to {}: its owner is not an administrator", path.display(), aside.display()));
    Ok(())
}

fn file(verb: &'static str, path: &Path) -> impl Fn(std::io::Error) -> ServiceError {
    let path = path.to_owned();
    move |cause| ServiceError::File { verb, path: path.clone(), cause }
}
