//! `<pid>.json` while we run: `{pid, listen, config}` for scripts and other commands.

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(not(unix), path = "windows.rs")]
mod imp;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::identity;
use super::signals::let_all_read;

pub use imp::{own_run_directory, run_directories};

/// Removed when dropped.
#[derive(Debug)]
pub struct RunFile(PathBuf);

impl RunFile {
    /// In [`own_run_directory`]. What relays that were killed have left there goes.
    pub fn write(directory: &Path, listen: &[SocketAddr], config: &[PathBuf]) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        sweep(directory);
        let file = Self(directory.join(format!("{}.json", std::process::id())));
        file.say(listen, config)?;
        Ok(file)
    }

    /// The file appears, or becomes another one, whole or not at all.
    pub fn say(&self, listen: &[SocketAddr], config: &[PathBuf]) -> io::Result<()> {
        let listen: Vec<String> = listen.iter().map(ToString::to_string).collect();
        let text = json!({ "pid": std::process::id(), "listen": listen, "config": config }).to_string();
        let unfinished = self.0.with_extension("json.new");
        fs::write(&unfinished, text + "\n")?;
        // Who may come into the directory may know where we listen.
        let_all_read(&unfinished)?;
        fs::rename(&unfinished, &self.0)
    }
}

/// Where the relays of this user say that they listen, the newest first. One that was killed left its file behind.
pub fn running_relays(directory: &Path) -> Vec<SocketAddr> {
    let mut files: Vec<_> =
        files(directory).map(|path| (fs::metadata(&path).and_then(|file| file.modified()).ok(), path)).collect();
    files.sort();
    files.iter().rev().flat_map(|(_, path)| addrs_in(path)).collect()
}

fn files(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|kind| kind == "json"))
}

fn sweep(directory: &Path) {
    for file in files(directory) {
        let pid = file.file_stem().and_then(|name| name.to_str()?.parse().ok());
        if pid.is_some_and(|pid| !identity::may_run(pid)) {
            // Another relay that begins may have been faster.
            let _gone_already = fs::remove_file(&file);
        }
    }
}

fn addrs_in(path: &Path) -> Vec<SocketAddr> {
    let run: serde_json::Value =
        fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let listen = run["listen"].as_array().into_iter().flatten();
    listen.filter_map(|addr| addr.as_str()?.parse().ok()).collect()
}

impl Drop for RunFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::debug!(%error, "run file not removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_where_we_listen_and_goes_with_us() {
        let dir = tempfile::tempdir().unwrap();
        let file = RunFile::write(dir.path(), &["127.0.0.1:3128".parse().unwrap()], &["/etc/x.toml".into()]).unwrap();
        let text = fs::read_to_string(&file.0).unwrap();
        assert!(
            text.contains(r#""listen":["127.0.0.1:3128"]"#) && text.contains(r#""config":["/etc/x.toml"]"#),
            "{text}"
        );
        assert_eq!(running_relays(dir.path()), ["127.0.0.1:3128".parse().unwrap()]);
        let words: &[&str] = if cfg!(windows) { &["ping", "-n", "30", "127.0.0.1"] } else { &["sleep", "30"] };
        let mut command = std::process::Command::new(words[0]);
        let mut living = command.args(&words[1..]).stdout(std::process::Stdio::null()).spawn().unwrap();
        let other = dir.path().join(format!("{}.json", living.id()));
        let left = dir.path().join(format!("{}.json", u32::MAX / 2));
        fs::write(&other, "{}").unwrap();
        fs::write(&left, "{}").unwrap();
        sweep(dir.path());
        assert!(other.exists() && !left.exists(), "only a process that has ended leaves anything");
        living.kill().unwrap();
        living.wait().unwrap();
        file.say(&["127.0.0.1:3129".parse().unwrap()], &[]).unwrap();
        assert_eq!(running_relays(dir.path()), ["127.0.0.1:3129".parse().unwrap()]);
        let path = file.0.clone();
        drop(file);
        assert!(running_relays(dir.path()).is_empty());
        assert!(!path.exists());
    }
}
