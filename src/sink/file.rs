//! Files of lines: those that grow and are followed by others, and those that are no real ones.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::system::append_private;
use super::{Output, Rotation};

/// A pipe or a device: to open it can take for ever.
pub fn may_block(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// `audit.log`, `audit.log.1` … `audit.log.<keep>`, the newest first.
pub struct Rotating {
    to: Rotation,
    file: File,
    size: u64,
    /// When the file is too old.
    until: Option<Instant>,
    torn: bool,
}

impl Rotating {
    pub fn open(to: Rotation) -> io::Result<Self> {
        let file = append_private(&to.path)?;
        let found = file.metadata()?;
        // The wall clock is asked once, so that a jump of it rotates one file too early or too late.
        let begun = found.created().or_else(|_| found.modified());
        let age = begun.ok().and_then(|begun| SystemTime::now().duration_since(begun).ok()).unwrap_or_default();
        let age = if found.len() == 0 { Duration::ZERO } else { age };
        let until = to.max_age.and_then(|max| Instant::now().checked_add(max.saturating_sub(age)));
        Ok(Self { to, file, size: found.len(), until, torn: false })
    }

    fn is_over(&self, line: &str) -> bool {
        let too_old = self.until.is_some_and(|until| Instant::now() >= until);
        self.size > 0 && (too_old || self.size + line.len() as u64 > self.to.max_size)
    }

    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |n: usize| PathBuf::from(format!("{}.{n}", self.to.path.display()));
        for n in (1..self.to.keep).rev() {
            rename_if_there(&numbered(n), &numbered(n + 1))?;
        }
        if self.to.keep > 0 {
            rename_if_there(&self.to.path, &numbered(1))?;
        } else {
            fs::remove_file(&self.to.path)?;
        }
        self.reopen()
    }

    /// What was written of the last line must not run into the next one; and it may be another disk by now.
    fn mend(&mut self) -> io::Result<()> {
        let whole = self.size;
        self.reopen()?;
        if self.size > 0 && self.size != whole {
            self.torn = true;
            self.file.write_all(b"\n")?;
        }
        Ok(())
    }

    /// What is worth more than the size of a file is what stands in it.
    fn go_on_in_the_old_file(&mut self, error: &io::Error) {
        tracing::error!(%error, "cannot begin another file after {}: it grows on", self.to.path.display());
        self.size = 0;
        self.until = self.to.max_age.and_then(|max| Instant::now().checked_add(max));
    }
}

impl Output for Rotating {
    fn write(&mut self, line: &str) -> io::Result<()> {
        if self.is_over(line)
            && let Err(error) = self.rotate()
        {
            self.go_on_in_the_old_file(&error);
        }
        if self.torn {
            self.mend()?;
        }
        self.torn = true;
        self.file.write_all(line.as_bytes())?;
        self.torn = false;
        self.size += line.len() as u64;
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        *self = Self::open(self.to.clone())?;
        Ok(())
    }
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A pipe or a device, opened when there is something to say.
pub struct Plain {
    path: PathBuf,
    file: Option<File>,
}

impl Plain {
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }
}

impl Output for Plain {
    fn write(&mut self, line: &str) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => append_private(&self.path)?,
        };
        // After a failure it is opened again: a pipe may have another reader then.
        file.write_all(line.as_bytes())?;
        self.file = Some(file);
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotation(directory: &Path) -> Rotation {
        Rotation { path: directory.join("audit.log"), max_size: 200, max_age: None, keep: 2 }
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_file_is_rotated_and_the_oldest_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = Rotating::open(rotation(dir.path())).unwrap();
        for n in 0..12 {
            file.write(&format!("{n:>79}\n")).unwrap();
        }
        assert_eq!(names(dir.path()), ["audit.log", "audit.log.1", "audit.log.2"]);
        let texts: Vec<String> =
            names(dir.path()).iter().map(|name| fs::read_to_string(dir.path().join(name)).unwrap()).collect();
        let words: Vec<Vec<&str>> = texts.iter().map(|text| text.split_whitespace().collect()).collect();
        assert_eq!(words, [["10", "11"], ["8", "9"], ["6", "7"]]);
    }

    #[test]
    fn an_old_file_is_rotated_even_if_nobody_wrote_much() {
        let dir = tempfile::tempdir().unwrap();
        let max_age = Some(Duration::from_millis(1));
        let mut file = Rotating::open(Rotation { max_age, ..rotation(dir.path()) }).unwrap();
        file.write("one\n").unwrap();
        std::thread::sleep(Duration::from_millis(2));
        file.write("two\n").unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("audit.log.1")).unwrap(), "one\n");
        assert_eq!(fs::read_to_string(dir.path().join("audit.log")).unwrap(), "two\n");
    }

    #[test]
    fn the_age_of_a_file_counts_from_before_the_relay_was_started() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("audit.log"), "old\n").unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let max_age = Some(Duration::from_millis(10));
        let mut file = Rotating::open(Rotation { max_age, ..rotation(dir.path()) }).unwrap();
        file.write("new\n").unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("audit.log.1")).unwrap(), "old\n");
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew_when_it_is_reopened() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = Rotating::open(rotation(dir.path())).unwrap();
        file.write("one\n").unwrap();
        fs::rename(dir.path().join("audit.log"), dir.path().join("moved")).unwrap();
        file.write("two\n").unwrap();
        file.reopen().unwrap();
        file.write("three\n").unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("moved")).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(dir.path().join("audit.log")).unwrap(), "three\n");
    }

    #[test]
    fn where_no_other_file_can_be_begun_the_old_one_grows_on() {
        let dir = tempfile::tempdir().unwrap();
        // No file can take this name.
        fs::create_dir_all(dir.path().join("audit.log.1/full")).unwrap();
        let mut file = Rotating::open(Rotation { keep: 1, ..rotation(dir.path()) }).unwrap();
        for n in 0..5 {
            file.write(&format!("{n:>79}\n")).unwrap();
        }
        assert_eq!(fs::read_to_string(dir.path().join("audit.log")).unwrap().lines().count(), 5);
    }

    #[test]
    fn half_a_line_does_not_spoil_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = Rotating::open(rotation(dir.path())).unwrap();
        file.file.write_all(b"hal").unwrap();
        file.torn = true;
        file.write("whole\n").unwrap();
        file.write("next\n").unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("audit.log")).unwrap(), "hal\nwhole\nnext\n");
    }
}
