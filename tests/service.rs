//! `hallpass serve` as systemd starts it, with systemd played: what it is told, what it hands over. The real one is in tests/real.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::io::{FdFlags, fcntl_setfd};
use tempfile::TempDir;

/// Far more than anything here needs.
const PATIENCE: Duration = Duration::from_secs(20);

struct Manager {
    home: TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new(config: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("hallpass.toml"), config).unwrap();
        let socket = UnixDatagram::bind(home.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { home, socket }
    }

    fn configure(&self, config: &str) {
        fs::write(self.home.path().join("hallpass.toml"), config).unwrap();
    }

    /// The way systemd does: sockets from number 3 on, and the process's own number in the environment.
    fn start(&self, listener: Option<&TcpListener>, variables: &[(&str, &str)]) -> Unit {
        let (mut redirect, mut count) = (String::new(), 0);
        if let Some(listener) = listener {
            fcntl_setfd(listener, FdFlags::empty()).unwrap();
            (redirect, count) = (format!("3<&{}", listener.as_raw_fd()), 1);
        }
        let script = format!("export LISTEN_PID=$$ LISTEN_FDS={count} WATCHDOG_PID=$$; exec \"$@\" {redirect}");
        let child = Command::new("sh")
            .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_hallpass"), "serve", "--config"])
            .arg(self.home.path().join("hallpass.toml"))
            .env_clear()
            .env("HOME", self.home.path())
            .env("NOTIFY_SOCKET", self.home.path().join("notify"))
            .envs(variables.iter().copied())
            .stderr(fs::OpenOptions::new().create(true).append(true).open(self.log()).unwrap())
            .spawn()
            .unwrap();
        Unit(child)
    }

    fn log(&self) -> std::path::PathBuf {
        self.home.path().join("log")
    }

    /// The next message that has these words; those before it are dropped.
    fn hears(&self, words: &str) -> String {
        let began = Instant::now();
        let mut room = [0; 1000];
        loop {
            let count = self.socket.recv(&mut room).unwrap_or_else(|error| panic!("{words}: {error}: {}", self.said()));
            let message = String::from_utf8(room[..count].to_vec()).unwrap();
            if message.contains(words) {
                return message;
            }
            assert!(began.elapsed() < PATIENCE, "{words} did not come: {}", self.said());
        }
    }

    fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }
}

struct Unit(Child);

impl Unit {
    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status().unwrap().success());
    }

    fn ends(&mut self) -> Option<i32> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it did not end");
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn healthz(addr: SocketAddr) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

const ELSEWHERE: &str = "listen = \"127.0.0.1:0\"\n";

#[test]
fn systemd_hears_what_the_relay_does_until_its_end() {
    let manager = Manager::new(&format!("{ELSEWHERE}grace = \"7s\"\n"));
    let mut unit = manager.start(None, &[]);
    manager.hears("READY=1");
    let status = manager.hears("STATUS=listening on 127.0.0.1:");
    assert_eq!(status.lines().count(), 1, "{status}");
    unit.signal("HUP");
    manager.hears("RELOADING=1\nMONOTONIC_USEC=");
    manager.hears("READY=1");
    manager.configure(&format!(
        "{ELSEWHERE}grace = \"7s\"\ndrain_delay = \"100ms\"\nprofile = \"home\"\n[profiles.home]\n"
    ));
    unit.signal("HUP");
    assert!(manager.hears(", profile home").starts_with("STATUS=listening on 127.0.0.1:"));
    unit.signal("TERM");
    assert_eq!(manager.hears("STOPPING=1"), "STOPPING=1\nEXTEND_TIMEOUT_USEC=12100000");
    assert_eq!(unit.ends(), Some(0));
}

/// Three within the time that the watchdog waits.
#[test]
fn a_relay_that_works_gives_signs_of_life_and_one_that_hangs_gives_none() {
    let manager = Manager::new(ELSEWHERE);
    let unit = manager.start(None, &[("WATCHDOG_USEC", "600000")]);
    manager.hears("READY=1");
    let began = Instant::now();
    for _ in 0..10 {
        assert_eq!(manager.hears("WATCHDOG=1"), "WATCHDOG=1");
    }
    assert!(began.elapsed() > Duration::from_millis(1500), "they came at once: {:?}", began.elapsed());
    unit.signal("STOP");
    manager.socket.set_read_timeout(Some(Duration::from_millis(1200))).unwrap();
    let mut room = [0; 100];
    // One may have been on its way.
    let heard = (0..3).take_while(|_| manager.socket.recv(&mut room).is_ok()).count();
    assert!(heard < 2, "{heard} signs of life from a process that stands still");
}

#[test]
fn a_socket_that_is_handed_over_outlives_restarts_and_reloads() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let manager = Manager::new(&format!("listen = \"{addr}\"\n"));
    let mut unit = manager.start(Some(&listener), &[]);
    manager.hears(&format!("STATUS=listening on {addr}"));
    assert!(healthz(addr).contains("alive"));
    unit.signal("TERM");
    assert_eq!(unit.ends(), Some(0));
    // Nobody is there, and whoever comes waits.
    let early = std::thread::spawn(move || healthz(addr));
    manager.configure(ELSEWHERE);
    let unit = manager.start(Some(&listener), &[]);
    assert!(early.join().unwrap().contains("alive"), "who came while nobody was there");
    let status = manager.hears("STATUS=");
    assert!(status.contains(&addr.to_string()), "what nothing is configured for is served, too: {status}");
    manager.configure(&format!("listen = \"{addr}\"\n"));
    unit.signal("HUP");
    assert_eq!(manager.hears("STATUS="), format!("STATUS=listening on {addr}"));
    assert!(healthz(addr).contains("alive"));
    manager.configure(&format!("{ELSEWHERE}# a\n"));
    unit.signal("HUP");
    manager.hears("STATUS=listening on 127.0.0.1:");
    assert!(healthz(addr).contains("alive"), "what systemd listens on is left to nobody");
}

#[test]
fn a_socket_beyond_loopback_that_nobody_spoke_of_is_refused() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let manager = Manager::new(ELSEWHERE);
    let mut unit = manager.start(Some(&listener), &[]);
    assert_eq!(unit.ends(), Some(1));
    assert!(manager.said().contains(&format!("a socket at {addr} was handed over")), "{}", manager.said());
    manager.configure(&format!("{ELSEWHERE}[access]\nallow = [\"192.0.2.0/24\"]\n"));
    let _unit = manager.start(Some(&listener), &[]);
    assert!(manager.hears("STATUS=").contains(&addr.to_string()));
}

#[test]
fn a_unit_is_shown_without_being_installed() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("hallpass.toml");
    fs::write(&config, "listen = [\"127.0.0.1:3129\", \"[::1]:3129\"]\n").unwrap();
    let print = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_hallpass"))
            .env_clear()
            .env("HOME", home.path())
            .current_dir(home.path())
            .args(["service", "install", "--print"])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = print(&["--user", "--sockets", "--config", "hallpass.toml", "--account", "CORP\\a%b"]);
    let program = Path::new(env!("CARGO_BIN_EXE_hallpass")).display();
    let start = format!("\nExecStart={program} serve --config {} --user \"CORP\\\\a%%b\"\n", config.display());
    let place = format!("# {}/.config/systemd/user/hallpass.service\n", home.path().display());
    for wanted in [place.as_str(), &start, "\nConditionUser=!@system\n", "\nListenStream=[::1]:3129\n"] {
        assert!(text.contains(wanted), "{wanted}\nis not in\n{text}");
    }
    // A name is a name in every directory.
    fs::create_dir_all(home.path().join(".config/hallpass")).unwrap();
    fs::write(home.path().join(".config/hallpass/lab.toml"), "listen = \"127.0.0.1:3130\"\n").unwrap();
    let text = print(&["--user", "--sockets", "--config", "lab"]);
    for wanted in [&format!("\nExecStart={program} serve --config lab\n"), "\nListenStream=127.0.0.1:3130\n"] {
        assert!(text.contains(wanted), "{wanted}\nis not in\n{text}");
    }
    let text = print(&["--system"]);
    for wanted in ["# /etc/systemd/system/hallpass.service\n", "\nDynamicUser=yes\n", "\nType=notify\n"] {
        assert!(text.contains(wanted), "{wanted}\nis not in\n{text}");
    }
    assert!(!home.path().join(".config/systemd").exists());
}
