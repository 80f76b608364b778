//! What systemd and launchd have in common: what root alone may do, the files that define a service, a program's place.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Output;

use nix::unistd::{Gid, Group};

use super::signed::Author;
use super::{Done, Manner, Scope, ServiceError};

const ROOT: u32 = 0;
const BY_GROUP: u32 = 0o020;
const BY_OTHERS: u32 = 0o002;
const STICKY: u32 = 0o1000;
const READ_BY_ALL: u32 = 0o444;

/// Groups of those who may do anything anyway, on Linux (Debian's staff has /usr/local) and on macOS.
const OF_ADMINISTRATORS: [&str; 3] = ["root", "wheel", if cfg!(target_os = "macos") { "admin" } else { "staff" }];

/// Where nobody but root has ever been.
const SAFE: &str = if cfg!(target_os = "macos") { "/usr/local/libexec" } else { "/usr/local/bin" };

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub fn default_scope() -> Scope {
    if is_root() { Scope::System } else { Scope::User }
}

pub fn check_rights(scope: Scope) -> Result<(), ServiceError> {
    match scope {
        Scope::System if !is_root() => Err(ServiceError::refused(
            "root alone may change services of the machine",
            "sudo hallpass service …, or --user for a service of your own",
        )),
        Scope::System | Scope::User => Ok(()),
    }
}

pub fn not_installed(scope: Scope) -> ServiceError {
    let hint = match scope {
        Scope::User => "hallpass service install --user does that",
        Scope::System => "sudo hallpass service install --system does that",
    };
    ServiceError::refused("there is no such service", hint)
}

/// With the command by which root has a copy of the program that the machine can run and nobody else may change.
pub fn wrong_place(what: String, program: &Path) -> ServiceError {
    let safe = Path::new(SAFE).join("hallpass");
    let (program, safe) = (program.display(), safe.display());
    ServiceError::refused(
        what,
        format!("sudo install -d {SAFE} && sudo install -m 755 {program} {safe}, then {safe} service install --system"),
    )
}

/// What the machine runs and others may change is theirs to choose.
pub fn check_program(program: &Path) -> Result<(), ServiceError> {
    // Where it is said to be, and where links lead from there.
    let whole = program.canonicalize().unwrap_or_else(|_| program.into());
    for place in program.ancestors().chain(whole.ancestors()) {
        let found =
            fs::metadata(place).map_err(|cause| ServiceError::File { verb: "look at", path: place.into(), cause })?;
        if may_be_changed(found.uid(), found.mode(), || is_of_administrators(found.gid())) {
            let what = format!(
                "others than root may change {}, and with it what a service of the machine runs",
                place.display()
            );
            return Err(wrong_place(what, program));
        }
    }
    Ok(())
}

/// By somebody who is not root. In a directory with the sticky bit, a group's members leave others' files alone.
fn may_be_changed(owner: u32, mode: u32, group_is_trusted: impl Fn() -> bool) -> bool {
    let by_group = mode & BY_GROUP != 0 && mode & STICKY == 0 && !group_is_trusted();
    owner != ROOT || mode & BY_OTHERS != 0 || by_group
}

fn is_of_administrators(group: u32) -> bool {
    let name = Group::from_gid(Gid::from_raw(group)).ok().flatten().map(|group| group.name);
    group == ROOT || name.is_some_and(|name| OF_ADMINISTRATORS.contains(&name.as_str()))
}

/// What stands in a definition, `None` where there is none.
pub fn read(path: &Path) -> Result<Option<String>, ServiceError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(ServiceError::File { verb: "read", path: path.into(), cause }),
    }
}

/// Nothing is to be written: the same stands there, and whoever should can read it.
pub fn is_written(path: &Path, text: &str) -> bool {
    let is_readable = fs::metadata(path).is_ok_and(|found| found.mode() & READ_BY_ALL == READ_BY_ALL);
    is_readable && fs::read_to_string(path).is_ok_and(|is| is == text)
}

/// `more`: what is better than to overwrite it.
pub fn refuse_change(path: &Path, before: Option<Author>, manner: Manner, more: &str) -> Result<(), ServiceError> {
    let what = match before {
        None | Some(Author::Us) => return Ok(()),
        Some(_) if manner.replace => return Ok(()),
        Some(Author::UsOnce) => format!("somebody has changed {}", path.display()),
        Some(Author::Another) => format!("{} is not ours", path.display()),
    };
    Err(ServiceError::refused(what, format!("--replace overwrites it{more}")))
}

/// Whole or not at all. To be read by all and written by its owner, whatever our umask is: systemctl of everybody reads
/// units, and launchd takes only what nobody else may write.
pub fn write(path: &Path, text: &str) -> Result<(), ServiceError> {
    make_directory_of(path)?;
    let written = || -> io::Result<()> {
        let unfinished = path.with_extension("new");
        fs::write(&unfinished, text)?;
        fs::set_permissions(&unfinished, Permissions::from_mode(0o644))?;
        fs::rename(&unfinished, path)
    };
    written().map_err(|cause| ServiceError::File { verb: "write", path: path.into(), cause })
}

pub fn make_directory_of(path: &Path) -> Result<(), ServiceError> {
    let Some(directory) = path.parent() else { return Ok(()) };
    fs::create_dir_all(directory).map_err(|cause| ServiceError::File { verb: "make", path: directory.into(), cause })
}

/// A file, a link or a directory with all that is in it.
pub fn remove(path: &Path, done: &mut Done) -> Result<(), ServiceError> {
    let is_directory = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    let removed = if is_directory { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(|cause| ServiceError::File { verb: "remove", path: path.into(), cause })?;
    done.push(format!("{} is removed", path.display()));
    Ok(())
}

/// `None` where no absolute path is told by this name.
pub fn told(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

pub fn no_home() -> ServiceError {
    ServiceError::refused("it is not known where your home is", "set HOME")
}

/// The last words of a program, in one line.
pub fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let text: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if text.is_empty() { output.status.to_string() } else { text.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_definition_is_for_all_to_read_whatever_our_umask_is() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/hallpass.service");
        // What another umask would make.
        fs::create_dir(home.path().join("a")).unwrap();
        let unfinished = home.path().join("a/hallpass.new");
        fs::write(&unfinished, "half of it").unwrap();
        fs::set_permissions(&unfinished, Permissions::from_mode(0o600)).unwrap();
        write(&path, "[Unit]\n").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("[Unit]\n", 0o644));
        assert!(!unfinished.exists() && is_written(&path, "[Unit]\n") && !is_written(&path, "[Service]\n"));
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(!is_written(&path, "[Unit]\n"), "what others cannot read is written again");
    }

    #[test]
    fn a_program_is_roots_where_nobody_else_may_change_it_or_its_place() {
        for (owner, mode, trusted, changeable) in [
            (0, 0o100_755, false, false),
            (0, 0o100_775, true, false),
            (0, 0o100_775, false, true),
            (0, 0o100_757, true, true),
            (501, 0o100_755, true, true),
            (0, 0o040_755, false, false),
            (0, 0o042_775, true, false),
            (0, 0o041_775, false, false),
            (0, 0o041_777, true, true),
        ] {
            assert_eq!(may_be_changed(owner, mode, || trusted), changeable, "{owner} {mode:o} {trusted}");
        }
    }

    #[test]
    fn a_program_where_others_may_change_it_is_refused_with_a_better_place() {
        assert!(check_program(Path::new("/bin/sh")).is_ok());
        let anywhere = tempfile::tempdir().unwrap();
        let program = anywhere.path().join("hallpass");
        fs::write(&program, "").unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o777)).unwrap();
        let said = check_program(&program).unwrap_err().to_string();
        let wanted = format!("sudo install -m 755 {} {SAFE}/hallpass", program.display());
        assert!(said.contains("others than root may change") && said.contains(&wanted), "{said}");
        let link = anywhere.path().join("link");
        std::os::unix::fs::symlink("/bin/sh", &link).unwrap();
        assert!(check_program(&link).is_err(), "a link can be made to lead elsewhere");
    }
}
