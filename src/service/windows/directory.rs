//! `%ProgramData%\hallpass`: every user may put something by that name there, so what is found is looked at first.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::rights::{
    Held, make_directory, of_configuration, of_run, of_state, own_sid, program_data, strangers, strangers_at,
};
use super::{Done, ServiceError};

/// Somebody who puts something in our place again and again is not waited for.
const ATTEMPTS: usize = 16;

const STRANGERS: &str = "its owner is not an administrator";

/// What was set aside has this and a number behind its name.
const ASIDE: &str = "untrusted-";

const CONFIGURATION: &str = "hallpass.toml";

/// Where the machine's configuration is, and in it what the service keeps.
pub(super) fn place() -> PathBuf {
    program_data().join("hallpass")
}

/// What the service keeps.
pub(super) fn state() -> PathBuf {
    place().join("state")
}

/// Where the service says that it listens, for other commands.
pub(super) fn run() -> PathBuf {
    place().join("run")
}

/// Where nobody but the service and administrators may have written.
pub fn run_of_machine() -> Option<PathBuf> {
    let is_trusted = strangers_at(&run()).is_ok_and(|strangers| strangers.is_empty());
    is_trusted.then(run)
}

/// Makes the directories, or takes them away from whoever else may change them. The configuration stays as it is, and
/// is `first` where there is none.
pub fn prepare(first: Option<&Path>) -> Result<Done, ServiceError> {
    let mut done = Vec::new();
    own(&place(), &of_configuration(), &mut done)?;
    own(&state(), &of_state(), &mut done)?;
    own(&run(), &of_run(), &mut done)?;
    take(&place(), &mut done)?;
    let configuration = place().join(CONFIGURATION);
    if let Some(first) = first.filter(|_| fs::symlink_metadata(&configuration).is_err()) {
        let text = fs::read(first).map_err(file("read", first))?;
        let made = OpenOptions::new().write(true).create_new(true).open(&configuration);
        made.and_then(|mut made| made.write_all(&text)).map_err(file("write", &configuration))?;
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

/// Of what the service has made: where it said that it listens, and if it is to be purged what it keeps. What cannot be
/// removed is told, and is no reason to leave the rest.
pub(super) fn clear(purge: bool) -> Done {
    // That nobody is told any more where it listened is not worth a word.
    let run = remove_own(&run()).map(|_removed| None);
    let state = if purge { remove_own(&state()) } else { Ok(None) };
    [run, state].into_iter().filter_map(|removed| removed.unwrap_or_else(|error| Some(warning(&error)))).collect()
}

/// What somebody else has put there stays, and what it leads to: an administrator's deletion would reach anything.
fn remove_own(directory: &Path) -> Result<Option<String>, ServiceError> {
    for path in [&place(), directory] {
        match looked_at(path)? {
            Found::Directory(_) => {}
            Found::Nothing => return Ok(None),
            Found::OfOurs => return Err(not_removed(path, "it is no directory")),
            Found::Strangers => return Err(not_removed(path, STRANGERS)),
        }
    }
    remove(directory)
}

fn not_removed(path: &Path, why: &str) -> ServiceError {
    file("remove", path)(std::io::Error::other(why))
}

fn warning(error: &ServiceError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("warning: {error}{cause}")
}

/// Between a look and a deed there may be another thing by that name: what was looked at is what is protected, and
/// afterwards it is looked at again.
fn own(path: &Path, descriptor: &str, done: &mut Done) -> Result<(), ServiceError> {
    for _ in 0..ATTEMPTS {
        match make_directory(path, descriptor) {
            Ok(()) => {
                done.push(format!("made {}, which only administrators may change", path.display()));
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(file("make", path)(error)),
        }
        match looked_at(path)? {
            Found::Nothing => {}
            Found::Directory(found) => {
                found.protect(descriptor).map_err(file("protect", path))?;
                if is_closed(path) {
                    return Ok(());
                }
            }
            Found::OfOurs => set_aside(path, "it is no directory", done)?,
            Found::Strangers => set_aside(path, STRANGERS, done)?,
        }
    }
    Err(ServiceError::refused(
        format!("others can still change {} after it was taken from them", path.display()),
        "find out who puts something there; the directory above it is for everybody, and on a disk with access lists",
    ))
}

/// What strangers have put in there while they could is set aside, however deep; what was set aside before stays there.
fn take(directory: &Path, done: &mut Done) -> Result<(), ServiceError> {
    for entry in fs::read_dir(directory).map_err(file("read", directory))?.flatten() {
        let path = entry.path();
        if is_aside(&path) {
            continue;
        }
        match looked_at(&path)? {
            Found::Nothing | Found::OfOurs => {}
            Found::Directory(_) => take(&path, done)?,
            Found::Strangers => set_aside(&path, STRANGERS, done)?,
        }
    }
    Ok(())
}

/// What stands somewhere: a directory or something else, a link included, whose owner is an administrator, the system,
/// our service or ourselves; or somebody else's. What others may merely write is ours to close.
enum Found {
    Nothing,
    Directory(Held),
    OfOurs,
    Strangers,
}

fn looked_at(path: &Path) -> Result<Found, ServiceError> {
    let wrong = file("look at", path);
    let held = match Held::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        // Administrators can look at what is theirs.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(Found::Strangers),
        opened => opened.map_err(&wrong)?,
    };
    let mut access = held.access().map_err(&wrong)?;
    access.list = Some(Vec::new());
    if !strangers(&access, &own_sid().map_err(&wrong)?).is_empty() {
        return Ok(Found::Strangers);
    }
    Ok(if held.is_directory().map_err(&wrong)? { Found::Directory(held) } else { Found::OfOurs })
}

fn is_closed(path: &Path) -> bool {
    let closed = || {
        let held = Held::open(path)?;
        Ok::<_, std::io::Error>(held.is_directory()? && strangers(&held.access()?, &own_sid()?).is_empty())
    };
    closed().unwrap_or(false)
}

/// Nobody reads what has such a name.
fn is_aside(path: &Path) -> bool {
    let number = path.extension().and_then(|kind| kind.to_str()?.strip_prefix(ASIDE));
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

/// By a name that is free; what is gone meanwhile needs none.
fn set_aside(path: &Path, why: &str, done: &mut Done) -> Result<(), ServiceError> {
    let name = |number: u32| PathBuf::from(format!("{}.{ASIDE}{number}", path.display()));
    let Some(aside) = (1..).map(name).find(|aside| fs::symlink_metadata(aside).is_err()) else { return Ok(()) };
    match fs::rename(path, &aside) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        moved => moved.map_err(file("move aside", path))?,
    }
    done.push(format!("moved {} to {}: {why}", path.display(), aside.display()));
    Ok(())
}

fn file(verb: &'static str, path: &Path) -> impl Fn(std::io::Error) -> ServiceError {
    let path = path.to_owned();
    move |cause| ServiceError::File { verb, path: path.clone(), cause }
}
