//! `$XDG_RUNTIME_DIR/hallpass/<pid>.json` while we run: `{pid, listen, config}` for scripts and other commands.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::json;

/// Removed when dropped.
#[derive(Debug)]
pub struct RunFile(PathBuf);

impl RunFile {
    /// `runtime_dir` is `$XDG_RUNTIME_DIR`.
    pub fn write(runtime_dir: &Path, listen: &[SocketAddr], config: &[PathBuf]) -> io::Result<Self> {
        let directory = runtime_dir.join("hallpass");
        fs::create_dir_all(&directory)?;
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
        fs::rename(&unfinished, &self.0)
    }
}

/// Where the relays of this user say that they listen, the newest first. One that was killed left its file behind.
pub fn running_relays(runtime_dir: &Path) -> Vec<SocketAddr> {
    let entries = fs::read_dir(runtime_dir.join("hallpass")).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|kind| kind == "json"));
    let mut files: Vec<_> =
        files.map(|path| (fs::metadata(&path).and_then(|file| file.modified()).ok(), path)).collect();
    files.sort();
    files.iter().rev().flat_map(|(_, path)| addrs_in(path)).collect()
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
        file.say(&["127.0.0.1:3129".parse().unwrap()], &[]).unwrap();
        assert_eq!(running_relays(dir.path()), ["127.0.0.1:3129".parse().unwrap()]);
        let path = file.0.clone();
        drop(file);
        assert!(running_relays(dir.path()).is_empty());
        assert!(!path.exists());
    }
}
