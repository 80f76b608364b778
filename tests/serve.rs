//! `hallpass serve` as a service manager sees it: its run file, its signals, its exit codes.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Far more than anything here needs.
const PATIENCE: Duration = Duration::from_secs(20);

struct Serving {
    child: Child,
    log: BufReader<ChildStderr>,
    home: TempDir,
}

impl Serving {
    /// With this configuration, in a home of its own.
    fn start(config: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("hallpass.toml");
        fs::write(&file, config).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_hallpass"))
            .env_clear()
            .env("HOME", home.path())
            .env("XDG_RUNTIME_DIR", home.path())
            .args(["serve", "--config"])
            .arg(&file)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log, home }
    }

    /// The next line of the log that has these words; those before it are dropped.
    fn says(&mut self, words: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.log.read_line(&mut line).unwrap(), 0, "the log ended without {words:?}:\n{seen}");
            if line.contains(words) {
                return line;
            }
            seen += &line;
        }
    }

    /// Where it listens, once it does.
    fn addr(&mut self) -> SocketAddr {
        self.says("listening on ").trim().rsplit(' ').next().unwrap().parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// The exit code, and how long it took from now.
    fn end(mut self) -> (Option<i32>, Duration) {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), began.elapsed());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.child.kill().unwrap();
        panic!("it did not end");
    }

    fn run_file(&self) -> std::path::PathBuf {
        self.home.path().join(format!("hallpass/{}.json", self.child.id()))
    }

    fn write_config(&self, text: &str) {
        fs::write(self.home.path().join("hallpass.toml"), text).unwrap();
    }
}

fn ask(addr: SocketAddr, request: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut room = [0; 4096];
    let count = stream.read(&mut room).unwrap();
    (stream, String::from_utf8_lossy(&room[..count]).into_owned())
}

const ANYWHERE: &str = "listen = [\"127.0.0.1:0\"]\n";

#[test]
fn sigterm_ends_it_in_good_order_and_soon() {
    for signal in ["TERM", "INT"] {
        let mut serving = Serving::start(ANYWHERE);
        let addr = serving.addr();
        // A client that stays connected and says nothing more is no reason to wait.
        let (idle, answer) = ask(addr, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        let run_file = serving.run_file();
        serving.signal(signal);
        serving.says("stopping");
        let (code, took) = serving.end();
        assert_eq!(code, Some(0));
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert!(!run_file.exists());
        drop(idle);
    }
}

#[test]
fn the_run_file_says_where_it_listens() {
    let mut serving = Serving::start(ANYWHERE);
    let addr = serving.addr();
    let began = Instant::now();
    while !serving.run_file().exists() && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(2));
    }
    let text = fs::read_to_string(serving.run_file()).unwrap();
    let run: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(run["pid"], serving.child.id());
    assert_eq!(run["listen"], serde_json::json!([addr.to_string()]));
    serving.signal("TERM");
    assert_eq!(serving.end().0, Some(0));
}

#[test]
fn sighup_takes_a_right_configuration_and_leaves_a_wrong_one() {
    let mut serving = Serving::start(ANYWHERE);
    let addr = serving.addr();
    let denied = |answer: &str| answer.starts_with("HTTP/1.1 403 ");
    let request = "CONNECT 127.0.0.1:9 HTTP/1.1\r\n\r\n";
    assert!(!denied(&ask(addr, request).1));

    serving.write_config(&format!("{ANYWHERE}connect_ports = [443]\n"));
    serving.signal("HUP");
    serving.says("reloaded");
    assert!(denied(&ask(addr, request).1));

    serving.write_config(&format!("{ANYWHERE}connect_prots = [443]\n"));
    serving.signal("HUP");
    let mistake = serving.says("connect_prots");
    assert!(mistake.contains("hallpass.toml:2"), "{mistake}");
    serving.says("not reloaded");
    assert!(denied(&ask(addr, request).1), "the former configuration stays");
    serving.signal("TERM");
    assert_eq!(serving.end().0, Some(0));
}

#[test]
fn a_tunnel_survives_a_reload_and_gets_the_grace() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut serving = Serving::start(&format!("{ANYWHERE}grace = \"30s\"\n"));
    let addr = serving.addr();
    let (mut client, answer) = ask(addr, &format!("CONNECT {} HTTP/1.1\r\n\r\n", target.local_addr().unwrap()));
    assert_eq!(answer, "HTTP/1.1 200 Connection established\r\n\r\n");
    let mut server = target.accept().unwrap().0;
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    for (signal, word) in [("HUP", "reloaded"), ("TERM", "stopping")] {
        serving.signal(signal);
        serving.says(word);
        client.write_all(b"still there?").unwrap();
        let mut heard = [0; 12];
        server.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"still there?");
    }
    // It ends with its last tunnel, not with the grace.
    drop((client, server));
    let (code, took) = serving.end();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut serving = Serving::start(&format!("{ANYWHERE}grace = \"60s\"\n"));
    let addr = serving.addr();
    let (client, _) = ask(addr, &format!("CONNECT {} HTTP/1.1\r\n\r\n", target.local_addr().unwrap()));
    serving.signal("TERM");
    serving.says("stopping");
    serving.signal("TERM");
    let (code, took) = serving.end();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    drop(client);
}

#[test]
fn a_port_in_use_is_exit_code_1_and_says_by_whom() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = holder.local_addr().unwrap();
    let mut serving = Serving::start(&format!("listen = [\"{addr}\"]\n"));
    let line = serving.says("in use by");
    assert!(line.contains(&format!("(pid {})", std::process::id())), "{line}");
    assert_eq!(serving.end().0, Some(1));
}

#[test]
fn the_port_of_a_tunnel_in_use_is_said_like_any_other() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = holder.local_addr().unwrap();
    let tunnel = format!("[[tunnels]]\nlisten = \"{addr}\"\ntarget = \"h.test:22\"\n");
    let mut serving = Serving::start(&format!("{ANYWHERE}{tunnel}"));
    let line = serving.says("in use by");
    assert!(line.contains(&format!("{addr} is in use by")) && line.contains("[[tunnels]]"), "{line}");
    assert!(line.contains(&format!("(pid {})", std::process::id())), "{line}");
    assert_eq!(serving.end().0, Some(1));
}

#[test]
fn every_way_in_is_announced_and_so_is_one_that_a_reload_brings() {
    let tunnel =
        |port: u16| format!("{ANYWHERE}[[tunnels]]\nlisten = \"127.0.0.1:0\"\ntarget = \"127.0.0.1:{port}\"\n");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let socks = "[[listeners]]\ninterface = \"lo\"\nport = 0\nsocks5 = true\n";
    let mut serving = Serving::start(&format!("{}{socks}", tunnel(closed)));
    serving.addr();
    serving.says("listening for SOCKS5 on 127.0.0.1:");
    let line = serving.says(&format!("listening for 127.0.0.1:{closed} on "));
    let addr: SocketAddr = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
    // Where there is no way, the log says why.
    let _client = TcpStream::connect(addr).unwrap();
    let why = serving.says("no tunnel");
    assert!(why.contains("id=") && why.contains("Connection refused") && why.contains("WARN"), "{why}");

    serving.write_config(&tunnel(9));
    serving.signal("HUP");
    serving.says("listening for 127.0.0.1:9 on 127.0.0.1:");
    serving.says("reloaded");
    serving.signal("TERM");
    assert_eq!(serving.end().0, Some(0));
}

#[test]
fn a_wrong_configuration_is_exit_code_2() {
    let mut serving = Serving::start("grace = \"soon\"\n");
    serving.says("grace");
    assert_eq!(serving.end().0, Some(2));
}
