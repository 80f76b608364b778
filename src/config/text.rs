//! The text of what a path leads to. What is no regular file gives it once, as the pipe of `--config <(sops -d …)` does: to
//! read it again finds nothing, and nothing is a configuration, too. So it is kept for as long as the process lives.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::secret::Secret;

/// What was handed to the process under these names is read on from where it was left on some systems, files among it.
const HANDED_OVER: [&str; 2] = ["/dev/stdin", "/dev/fd"];

/// Always the same, and meant.
const NOTHING: &str = "/dev/null";

/// What was read and cannot be read again.
static KEPT: Mutex<BTreeMap<PathBuf, Secret>> = Mutex::new(BTreeMap::new());

/// Blocks, on a pipe until somebody has written it to its end.
pub fn read(path: &Path) -> io::Result<String> {
    if !is_given_once(path) {
        return fs::read_to_string(path);
    }
    if let Some(text) = kept().get(path) {
        return Ok(text.expose().to_owned());
    }
    let text = fs::read_to_string(path)?;
    if text.trim().is_empty() {
        return Err(io::Error::other(
            "it is no regular file, and nothing came out of it: what writes it may have failed",
        ));
    }
    kept().insert(path.into(), Secret::new(text.as_str()));
    Ok(text)
}

pub fn is_given_once(path: &Path) -> bool {
    let is_handed_over = || HANDED_OVER.iter().any(|place| path.starts_with(place));
    let is_stream = || fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
    path != Path::new(NOTHING) && (is_handed_over() || is_stream())
}

fn kept() -> MutexGuard<'static, BTreeMap<PathBuf, Secret>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_read_once_and_a_file_that_takes_its_place_each_time() {
        use std::process::Command;
        use std::thread;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(is_given_once(&path));
        let written = |text: &'static str| {
            let path = path.clone();
            thread::spawn(move || fs::write(path, text).unwrap())
        };
        let writer = written("\n");
        assert!(read(&path).unwrap_err().to_string().contains("nothing came out of it"));
        writer.join().unwrap();
        let writer = written("one");
        assert_eq!(read(&path).unwrap(), "one");
        writer.join().unwrap();
        // Nobody writes it: whoever opened it would wait.
        assert_eq!(read(&path).unwrap(), "one");
        fs::remove_file(&path).unwrap();
        assert!(!is_given_once(&path) && read(&path).is_err());
        for text in ["two", ""] {
            fs::write(&path, text).unwrap();
            assert_eq!(read(&path).unwrap(), text);
        }
    }

    #[test]
    fn what_is_always_the_same_may_be_read_again() {
        for path in [NOTHING, "/", "/nowhere"] {
            assert!(!is_given_once(Path::new(path)), "{path}");
        }
        assert!(is_given_once(Path::new("/dev/fd/63")) && is_given_once(Path::new("/dev/stdin")));
    }
}
