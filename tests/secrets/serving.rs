//! A relay in a home of its own, whose words are all kept.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Far more than anything here needs.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Home(TempDir);

impl Home {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        self.write_with_mode(name, text, 0o600);
    }

    pub fn write_with_mode(&self, name: &str, text: &str, mode: u32) {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hallpass"));
        command.env_clear().env("HOME", self.path()).env("XDG_RUNTIME_DIR", self.path()).env("PATH", "/usr/bin:/bin");
        command.current_dir(self.path()).stdin(Stdio::null()).args(arguments);
        command
    }

    /// All that the command says, and at the end its exit code.
    pub fn hallpass(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.command(arguments).output().unwrap();
        let code = output.status.code().unwrap();
        [output.stdout, output.stderr, format!("exit {code}").into_bytes()].concat()
    }

    /// The names and the content of all that lies there.
    pub fn all_files_but(&self, names: &[&str]) -> Vec<u8> {
        let mut all = Vec::new();
        let mut directories = vec![self.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else if !names.iter().any(|name| path.ends_with(name)) {
                    all.extend(path.display().to_string().into_bytes());
                    all.extend(fs::read(path).unwrap());
                }
            }
        }
        all
    }
}

pub struct Serving {
    child: Child,
    addr: SocketAddr,
    log: std::path::PathBuf,
}

impl Serving {
    /// With the configuration `hallpass.toml` there.
    pub fn start(home: &Home) -> Self {
        let log = home.path().join("printed");
        let [out, error] = [0, 1].map(|_| fs::OpenOptions::new().create(true).append(true).open(&log).unwrap());
        let mut command = home.command(&["serve", "--config", "hallpass.toml", "--listen", "127.0.0.1:0"]);
        let child = command.stdout(out).stderr(error).spawn().unwrap();
        let mut serving = Self { child, addr: SocketAddr::from(([127, 0, 0, 1], 0)), log };
        let line = serving.says("listening on ");
        let addr = line.split("listening on ").nth(1).unwrap();
        let end = addr.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').unwrap_or(addr.len());
        serving.addr = addr[..end].parse().unwrap();
        serving
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line with these words.
    pub fn says(&mut self, words: &str) -> String {
        let began = Instant::now();
        loop {
            let text = String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned();
            if let Some(line) = text.lines().find(|line| line.contains(words)) {
                return line.to_owned();
            }
            assert!(self.child.try_wait().unwrap().is_none() && began.elapsed() < PATIENCE, "no {words:?} in {text}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// All that comes back until the end.
    pub fn ask(&self, request: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _reset_after_the_answer = stream.read_to_end(&mut answer);
        answer
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Ends it as a service manager does.
    pub fn end(mut self) -> Vec<u8> {
        self.signal("TERM");
        let began = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        fs::read(&self.log).unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
