//! The files of tools on disk: read, replaced whole, and the journal by which all is taken back.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use thiserror::Error;

use super::change::{self, ChangeError, Kept, Setting};
use super::owner;
use super::syntax::Syntax;

/// In the state directory.
const JOURNAL: &str = "tools.json";

#[derive(Debug, Error)]
pub enum FileError {
    #[error("{} is not touched", .0.display())]
    Content(PathBuf, #[source] ChangeError),
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("cannot write {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
    #[error("{} is a link to nothing: make what it points to, or take the link away", .0.display())]
    Dangling(PathBuf),
    #[error("{} belongs to another user: run this as that user", .0.display())]
    Foreign(PathBuf),
    #[error("nothing can be kept for --undo: set HOME or XDG_STATE_HOME")]
    Nowhere,
    #[error("the journal {} cannot be understood: what it knows is needed for --undo, so nothing is written", .0.display())]
    Journal(PathBuf, #[source] serde_json::Error),
}

/// One file that was written for a tool.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    tool: String,
    /// Where it really is.
    path: PathBuf,
    /// Those that were made for it, the outermost first.
    directories: Vec<PathBuf>,
    kept: Kept,
}

/// What `--write` did, or would do.
#[derive(Debug)]
pub struct Outcome {
    pub path: PathBuf,
    pub changed: bool,
    /// Keys, and what somebody else had set there.
    pub replaced: Vec<(String, String)>,
}

/// What `--undo` did.
#[derive(Debug)]
pub struct Restored {
    pub path: PathBuf,
    /// By us: a file that somebody has taken away meanwhile stays away.
    pub removed: bool,
    /// Keys that stay because somebody has changed them since.
    pub left: Vec<String>,
}

/// Where the journal is.
#[derive(Debug, Clone)]
pub struct Journal(PathBuf);

impl Journal {
    pub fn in_directory(state: Option<&Path>) -> Result<Self, FileError> {
        state.map(|directory| Self(directory.join(JOURNAL))).ok_or(FileError::Nowhere)
    }

    fn read(&self) -> Result<Vec<Entry>, FileError> {
        match read(&self.0)? {
            None => Ok(Vec::new()),
            Some(text) => serde_json::from_slice(&text).map_err(|error| FileError::Journal(self.0.clone(), error)),
        }
    }

    fn write(&self, entries: &[Entry]) -> Result<(), FileError> {
        let text = serde_json::to_vec(entries).map_err(|error| FileError::Journal(self.0.clone(), error))?;
        write_private(&self.0, &text).map_err(|error| FileError::Write(self.0.clone(), error))
    }

    /// Nobody else changes the journal or a tool's file meanwhile, unless it is no hallpass.
    fn alone(&self) -> Result<fs::File, FileError> {
        let failed = |error| FileError::Write(self.0.clone(), error);
        make_directories(&self.0).map_err(failed)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(self.0.with_extension("lock"));
        let lock = lock.map_err(failed)?;
        lock.lock().map_err(failed)?;
        Ok(lock)
    }

    /// What would be written, and nothing is.
    pub fn plan(&self, path: &Path, syntax: Syntax, settings: &[Setting]) -> Result<Outcome, FileError> {
        let path = real(path)?;
        let entries = self.read()?;
        let current = read(&path)?;
        let kept = entries.iter().find(|entry| entry.path == path).map(|entry| &entry.kept);
        let written = change::write(syntax, settings, current.as_deref(), kept);
        let written = written.map_err(|error| FileError::Content(path.clone(), error))?;
        let changed = current.as_ref() != Some(&written.bytes);
        Ok(Outcome { path, changed, replaced: written.replaced })
    }

    /// Writes the settings. What stands in the journal first can be taken back even if we are killed in between.
    pub fn apply(&self, tool: &str, path: &Path, syntax: Syntax, settings: &[Setting]) -> Result<Outcome, FileError> {
        let _alone = self.alone()?;
        let path = real(path)?;
        let mut entries = self.read()?;
        let current = read(&path)?;
        let at = entries.iter().position(|entry| entry.path == path);
        let kept = at.and_then(|at| entries.get(at)).map(|entry| &entry.kept);
        let written = change::write(syntax, settings, current.as_deref(), kept);
        let written = written.map_err(|error| FileError::Content(path.clone(), error))?;
        let changed = current.as_ref() != Some(&written.bytes);
        if changed && fs::metadata(&path).is_ok_and(|file| !owner::is_ours(&file)) {
            return Err(FileError::Foreign(path));
        }
        match at.and_then(|at| entries.get_mut(at)) {
            Some(entry) => entry.kept = written.kept,
            None if changed => entries.push(Entry {
                tool: tool.into(),
                path: path.clone(),
                directories: missing_directories(&path),
                kept: written.kept,
            }),
            // It was so before we came.
            None => return Ok(Outcome { path, changed, replaced: written.replaced }),
        }
        self.write(&entries)?;
        if changed {
            replace(&path, &written.bytes).map_err(|error| FileError::Write(path.clone(), error))?;
        }
        Ok(Outcome { path, changed, replaced: written.replaced })
    }

    /// Takes back what was written for the tool, file by file.
    pub fn undo(&self, tool: &str, syntax: Syntax) -> Result<Vec<Restored>, FileError> {
        let _alone = self.alone()?;
        let mut entries = self.read()?;
        let mut restored = Vec::new();
        while let Some(at) = entries.iter().position(|entry| entry.tool == tool) {
            let entry = entries[at].clone();
            restored.push(take_back(&entry, syntax)?);
            entries.remove(at);
            self.write(&entries)?;
        }
        Ok(restored)
    }
}

fn take_back(entry: &Entry, syntax: Syntax) -> Result<Restored, FileError> {
    let path = entry.path.clone();
    let current = read(&path)?;
    let undone = change::undo(syntax, current.as_deref(), &entry.kept);
    let undone = undone.map_err(|error| FileError::Content(path.clone(), error))?;
    let is_gone = undone.bytes.is_none();
    let done = match &undone.bytes {
        Some(bytes) if current.as_ref() == Some(bytes) => Ok(()),
        Some(bytes) => replace(&path, bytes),
        None if current.is_none() => Ok(()),
        None => fs::remove_file(&path),
    };
    done.map_err(|error| FileError::Write(path.clone(), error))?;
    if is_gone {
        for directory in entry.directories.iter().rev() {
            // One in which somebody has put something is theirs.
            let _in_use = fs::remove_dir(directory);
        }
    }
    Ok(Restored { path, removed: is_gone && current.is_some(), left: undone.left })
}

/// Behind links, which stay.
fn real(path: &Path) -> Result<PathBuf, FileError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => fs::canonicalize(path).map_err(|_| FileError::Dangling(path.into())),
        Ok(_) | Err(_) => Ok(path.into()),
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::Read(path.into(), error)),
    }
}

/// The outermost first.
fn missing_directories(path: &Path) -> Vec<PathBuf> {
    let mut missing: Vec<PathBuf> =
        path.ancestors().skip(1).take_while(|directory| !directory.exists()).map(Path::to_path_buf).collect();
    missing.retain(|directory| !directory.as_os_str().is_empty());
    missing.reverse();
    missing
}

fn make_directories(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// Whole or not at all, with the mode of what was there.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    make_directories(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.hallpass-{}", std::process::id()));
    let written = draft_of(&draft, path, bytes).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        let _never_made = fs::remove_file(&draft);
    }
    written
}

fn draft_of(draft: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(draft)?;
    match fs::metadata(path) {
        Ok(before) => file.set_permissions(before.permissions())?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// For nobody else's eyes: a file of a tool may hold its secrets.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    make_directories(path)?;
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
