//! The relay itself: a process of its own, watched from outside.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub const PASSWORD: &str = "corr\u{e9}ct horse";

pub struct Relay {
    child: Child,
    home: TempDir,
    pub addr: SocketAddr,
}

#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub rss_kib: u64,
    pub fds: u64,
    pub threads: u64,
}

impl Relay {
    pub fn start(upstream: SocketAddr) -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        let script = format!(
            "function FindProxyForURL(url, host) {{\n  if (dnsDomainIs(host, '.practice')) return 'PROXY {upstream}';\n  \
             return 'DIRECT';\n}}\n"
        );
        fs::write(path("proxy.pac"), script).unwrap();
        let text = format!(
            "listen = [\"127.0.0.1:0\"]\nconnect_timeout = \"15s\"\nhandshake_timeout = \"15s\"\ngrace = \"1s\"\n\
             [pac]\nurl = \"{}\"\n[upstreams.office]\nurl = \"http://{upstream}\"\n\
             [credentials.alice]\nuser = 'PRACTICE\\alice'\npassword = '{PASSWORD}'\n[audit]\nto = \"{}\"\nkeep = 2\n",
            path("proxy.pac").display(),
            path("audit.log").display(),
        );
        fs::write(path("hallpass.toml"), text).unwrap();
        fs::set_permissions(path("hallpass.toml"), fs::Permissions::from_mode(0o600)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_hallpass"))
            .env_clear()
            .env("HOME", home.path())
            .env("XDG_RUNTIME_DIR", home.path())
            .env("XDG_STATE_HOME", path("state"))
            .env("RUST_BACKTRACE", "1")
            .args(["serve", "--config"])
            .arg(path("hallpass.toml"))
            .stderr(Stdio::from(fs::File::create(path("log")).unwrap()))
            .spawn()
            .unwrap();
        let facts = home.path().join(format!("hallpass/{}.json", child.id()));
        let begun = Instant::now();
        let addr = loop {
            let text = fs::read_to_string(&facts).unwrap_or_default();
            let facts = serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default();
            if let Some(addr) = facts["listen"][0].as_str() {
                break addr.parse().unwrap();
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "the relay does not listen");
            std::thread::sleep(Duration::from_millis(10));
        };
        Self { child, home, addr }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    pub fn sample(&self) -> Sample {
        let own = PathBuf::from(format!("/proc/{}", self.child.id()));
        let status = fs::read_to_string(own.join("status")).expect("the relay is gone");
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()).and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        let fds = fs::read_dir(own.join("fd")).map_or(0, |all| all.count() as u64);
        Sample { rss_kib: number("VmRSS:"), fds, threads: number("Threads:") }
    }

    /// What it said that it should not have said.
    pub fn complaints(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let audit = fs::read_to_string(self.path("audit.log")).unwrap_or_default();
        let bad =
            |line: &&str| line.contains("panicked") || line.contains("records lost") || line.contains("not reloaded");
        let internal =
            |line: &&str| line.contains("\"end\":\"internal\"") || line.contains("\"end\":\"credential_rejected\"");
        log.lines().filter(bad).chain(audit.lines().filter(internal)).map(str::to_string).collect()
    }

    pub fn reloads(&self) -> usize {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        log.lines().filter(|line| line.contains(" reloaded")).count()
    }

    /// The exit code, if it ends in good time.
    pub fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
