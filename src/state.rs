//! Files that outlive the process: small, for nobody else's eyes, each written whole or not at all.

mod owner;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::NamedTempFile;

use owner::{give_to_owner_of, open_lock};

/// The file of [`State::generation`].
const GENERATION: &str = "generation";

/// The directory for them. Without one nothing is kept, and nothing was.
#[derive(Debug, Clone, Default)]
pub struct State {
    directory: Option<PathBuf>,
    read_only: bool,
}

impl State {
    pub fn at(directory: Option<PathBuf>) -> Self {
        Self { directory, read_only: false }
    }

    /// For whoever only looks: what is written is dropped.
    pub fn read_only(directory: Option<PathBuf>) -> Self {
        Self { directory, read_only: true }
    }

    /// What was written under this name. What cannot be read counts as not written.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.directory.as_ref()?.join(name);
        match fs::read(&path) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(%error, "cannot read {}", path.display());
                }
                None
            }
        }
    }

    /// How often a person has asked for a fresh start of what was refused. It only rises.
    pub fn generation(&self) -> u64 {
        let text = self.read(GENERATION).and_then(|bytes| String::from_utf8(bytes).ok());
        text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    pub fn raise_generation(&self) -> io::Result<()> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let generation = next_generation(self.generation(), now.as_secs());
        self.write(GENERATION, format!("{generation}\n").as_bytes())
    }

    /// Reads, changes and writes a file while no other process does the same. `None` leaves it as it is.
    pub fn update(&self, name: &str, change: &mut dyn FnMut(Option<Vec<u8>>) -> Option<Vec<u8>>) -> io::Result<()> {
        let Some(directory) = self.directory.as_ref().filter(|_| !self.read_only) else {
            change(self.read(name));
            return Ok(());
        };
        let _locked = lock(directory, name)?;
        match change(self.read(name)) {
            Some(bytes) => self.write(name, &bytes),
            None => Ok(()),
        }
    }

    /// Keeps every other process from a file until what is given back is dropped: for changes that take several steps.
    /// Without a directory there is nothing to keep anybody from, and it is refused.
    pub fn lock(&self, name: &str) -> io::Result<File> {
        lock(self.directory.as_ref().filter(|_| !self.read_only).ok_or(io::ErrorKind::NotFound)?, name)
    }

    /// What is not there is removed already.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        let Some(directory) = self.directory.as_ref().filter(|_| !self.read_only) else { return Ok(()) };
        match fs::remove_file(directory.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => sync(directory),
        }
    }

    /// A temporary file is its owner's alone from the beginning, and so is what it becomes.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let Some(directory) = self.directory.as_ref().filter(|_| !self.read_only) else { return Ok(()) };
        fs::create_dir_all(directory)?;
        let mut file = NamedTempFile::new_in(directory)?;
        file.write_all(bytes)?;
        give_to_owner_of(directory, file.as_file())?;
        file.as_file().sync_all()?;
        file.persist(directory.join(name)).map_err(|error| error.error)?;
        sync(directory)
    }
}

/// The file itself is replaced with each change: a lock on it would be a lock on what was.
fn lock(directory: &Path, name: &str) -> io::Result<File> {
    fs::create_dir_all(directory)?;
    let lock = open_lock(directory, &format!("{name}.lock"))?;
    lock.lock()?;
    Ok(lock)
}

/// A loss of power must not take back that a file came or went. Not every system lets a directory be opened.
fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory).map_or(Ok(()), |directory| directory.sync_all())
}

/// Above what it was, and by the clock above what it was before somebody removed the file: a relay that runs
/// remembers that one.
fn next_generation(before: u64, now: u64) -> u64 {
    before.saturating_add(1).max(now)
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_written_is_read_again_by_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::at(Some(directory.path().join("a/b")));
        assert_eq!(state.read("x"), None);
        state.write("x", b"1").unwrap();
        state.write("x", b"2").unwrap();
        assert_eq!(state.read("x").as_deref(), Some(b"2".as_slice()));
        #[cfg(unix)]
        {
            let mode = fs::metadata(directory.path().join("a/b/x")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(directory.path().join("a/b")).unwrap().count(), 1);
    }

    #[test]
    fn every_fresh_start_that_is_asked_for_is_seen_by_others() {
        let directory = tempfile::tempdir().unwrap();
        let (one, other) = (State::at(Some(directory.path().into())), State::read_only(Some(directory.path().into())));
        assert_eq!(other.generation(), 0);
        let mut seen = vec![0];
        for _ in 0..2 {
            one.raise_generation().unwrap();
            seen.push(other.generation());
        }
        assert!(seen.is_sorted_by(|before, after| before < after), "{seen:?}");
        other.raise_generation().unwrap();
        assert_eq!(one.generation(), seen[2], "whoever only looks asks for nothing");
    }

    #[test]
    fn a_fresh_start_is_seen_by_those_who_run_although_somebody_has_removed_the_file() {
        let seen = next_generation(0, 1000);
        assert!(next_generation(seen, 1000) > seen, "twice in a second");
        for (left, now) in [(0, 1001), (0, 5000), (seen, 500)] {
            assert!(next_generation(left, now) > seen, "{left} {now}");
        }
    }

    #[test]
    fn two_who_change_a_file_at_once_both_change_it() {
        let directory = tempfile::tempdir().unwrap();
        let count = || {
            let state = State::at(Some(directory.path().into()));
            for _ in 0..20 {
                let mut add = |bytes: Option<Vec<u8>>| Some([bytes.unwrap_or_default(), b"x".to_vec()].concat());
                state.update("count", &mut add).unwrap();
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(count))));
        let state = State::at(Some(directory.path().into()));
        assert_eq!(state.read("count").unwrap().len(), 80);
        state.update("count", &mut |_| None).unwrap();
        assert_eq!(state.read("count").unwrap().len(), 80);
    }

    #[test]
    fn a_file_is_kept_from_others_and_removed_and_gone_already() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::at(Some(directory.path().join("a")));
        let locked = state.lock("x").unwrap();
        state.write("x", b"1").unwrap();
        let other = fs::OpenOptions::new().write(true).open(directory.path().join("a/x.lock")).unwrap();
        assert!(other.try_lock().is_err());
        drop(locked);
        other.try_lock().unwrap();
        state.remove("x").unwrap();
        state.remove("x").unwrap();
        assert_eq!(state.read("x"), None);
        assert!(State::default().lock("x").is_err(), "nobody could be kept from anything");
    }

    #[test]
    fn whoever_only_looks_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        State::at(Some(directory.path().into())).write("x", b"1").unwrap();
        let state = State::read_only(Some(directory.path().into()));
        state.write("x", b"2").unwrap();
        assert_eq!(state.read("x").as_deref(), Some(b"1".as_slice()));
    }

    #[test]
    fn without_a_directory_nothing_is_kept() {
        let state = State::default();
        state.write("x", b"1").unwrap();
        assert_eq!(state.read("x"), None);
    }
}
