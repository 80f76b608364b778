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
    /// `runtime_dir` is `$XDG_RUNTIME_DIR`. The file appears whole or not at all.
    pub fn write(runtime_dir: &Path, listen: &[SocketAddr], config: &[PathBuf]) -> io::Result<Self> {
        let directory = runtime_dir.join("hallpass");
        fs::create_dir_all(&directory)?;
        let pid = std::process::id();
        let path = directory.join(format!("{pid}.json"));
        let listen: Vec<String> = listen.iter().map(ToString::to_string).collect();
        let text = json!({ "pid": pid, "listen": listen, "config": config }).to_string();
        let unfinished = directory.join(format!("{pid}.json.new"));
        fs::write(&unfinished, text + "\n")?;
        fs::rename(&unfinished, &path)?;
        Ok(Self(path))
    }
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
        let path = file.0.clone();
        drop(file);
        assert!(!path.exists());
    }
}
