//! `hallpass connect` as ssh runs it: bytes both ways through the relay that runs, and one line where there is no way.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Far more than anything here needs.
const PATIENCE: Duration = Duration::from_secs(20);

/// In a home of its own, without any variable of the machine.
fn hallpass(home: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallpass"));
    command.env_clear().env("HOME", home.path()).env("XDG_RUNTIME_DIR", home.path()).current_dir(home.path());
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn connect(home: &TempDir, arguments: &[&str]) -> Child {
    hallpass(home, &[&["connect"], arguments].concat()).spawn().unwrap()
}

/// Where only a run file can say where the relay is.
fn connect_by_run_file(home: &TempDir, target: &str) -> Child {
    connect(home, &[target, "--listen", "127.0.0.1:0"])
}

/// A relay without upstreams in the same home, on a port that its run file tells.
struct Relay(Child);

impl Relay {
    fn start(home: &TempDir, keys: &str) -> Self {
        fs::write(home.path().join("relay.toml"), format!("listen = [\"127.0.0.1:0\"]\n{keys}")).unwrap();
        let mut child = hallpass(home, &["serve", "--config", "relay.toml"]).spawn().unwrap();
        let run_file = home.path().join(format!("hallpass/{}.json", child.id()));
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !run_file.exists() {
            // The last line before the run file; after it, looking again is all there is.
            if !line.contains("no way is configured") {
                line.clear();
                assert_ne!(log.read_line(&mut line).unwrap(), 0, "the relay ended");
            }
            std::thread::yield_now();
        }
        std::thread::spawn(move || log.read_to_string(&mut String::new()));
        Self(child)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn target() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    (listener, addr)
}

fn accept(listener: &TcpListener) -> TcpStream {
    let stream = listener.accept().unwrap().0;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn failed(output: &Output) -> String {
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()), "{}", text(&output.stderr));
    let line = text(&output.stderr);
    assert_eq!(line.lines().count(), 1, "{line}");
    line
}

#[test]
fn bytes_pass_both_ways_and_either_side_may_end_first() {
    let home = tempfile::tempdir().unwrap();
    let _relay = Relay::start(&home, "");
    let (listener, addr) = target();
    // Ours first.
    let mut child = connect_by_run_file(&home, &addr);
    let mut server = accept(&listener);
    server.write_all(b"banner\n").unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut heard = [0; 7];
    out.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"banner\n");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"\0\xffquestion").unwrap();
    drop(stdin);
    let mut question = Vec::new();
    server.read_to_end(&mut question).unwrap();
    assert_eq!(question, b"\0\xffquestion");
    server.write_all(b"a late answer").unwrap();
    drop(server);
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"a late answer");
    assert!(child.wait().unwrap().success());
    // The target's first: our reader hears the end, and what we still say arrives.
    let mut child = connect_by_run_file(&home, &addr);
    let mut server = accept(&listener);
    server.write_all(b"that is all").unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"that is all");
    child.stdin.take().unwrap().write_all(b"not quite").unwrap();
    let mut heard = Vec::new();
    server.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"not quite");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_refusal_is_its_status_and_its_one_line() {
    let home = tempfile::tempdir().unwrap();
    let _relay = Relay::start(&home, "connect_ports = [443]\n");
    let line = failed(&connect_by_run_file(&home, "git.example.com:22").wait_with_output().unwrap());
    assert!(line.contains("no tunnel to git.example.com:22: 403 Forbidden: hallpass: CONNECT to port 22"), "{line}");
}

#[test]
fn the_relay_is_found_where_the_configuration_says_and_its_early_bytes_are_kept() {
    let home = tempfile::tempdir().unwrap();
    let relay = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr: SocketAddr = relay.local_addr().unwrap();
    fs::write(home.path().join("f.toml"), format!("listen = [\"{addr}\"]\n")).unwrap();
    for flags in [["--config", "f.toml"], ["--listen", &addr.to_string()]] {
        let child = connect(&home, &[&["h.test:22"][..], &flags].concat());
        let mut server = accept(&relay);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            server.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert_eq!(text(&head), "CONNECT h.test:22 HTTP/1.1\r\nHost: h.test:22\r\n\r\n");
        server.write_all(b"HTTP/1.1 200 OK\r\n\r\nSSH-2.0-early\r\n").unwrap();
        drop(server);
        let output = child.wait_with_output().unwrap();
        assert_eq!(text(&output.stdout), "SSH-2.0-early\r\n");
        assert!(output.status.success());
    }
}

#[test]
fn without_a_relay_it_says_what_to_start() {
    let home = tempfile::tempdir().unwrap();
    let (listener, addr) = target();
    drop(listener);
    let line = failed(&connect(&home, &["h.test:22", "--listen", &addr]).wait_with_output().unwrap());
    assert_eq!(line, format!("hallpass: no relay is running ({addr}): start one with hallpass serve\n"));
    // A file that a killed relay left behind leads nowhere.
    fs::create_dir(home.path().join("hallpass")).unwrap();
    fs::write(home.path().join("hallpass/1.json"), format!("{{\"pid\":1,\"listen\":[\"{addr}\"]}}")).unwrap();
    let output = connect_by_run_file(&home, "h.test:22").wait_with_output().unwrap();
    assert!(failed(&output).contains(&format!("no relay is running ({addr})")));
}

#[test]
fn a_reader_that_goes_away_is_no_failure_and_no_noise() {
    let home = tempfile::tempdir().unwrap();
    let _relay = Relay::start(&home, "");
    let (listener, addr) = target();
    let mut child = connect_by_run_file(&home, &addr);
    let mut server = accept(&listener);
    drop(child.stdout.take());
    while server.write_all(&[0; 4096]).is_ok() && child.try_wait().unwrap().is_none() {}
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

#[test]
fn what_is_no_target_is_said_before_anything_is_tried() {
    let home = tempfile::tempdir().unwrap();
    let output = connect(&home, &["git.example.com"]).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("the port is missing"), "{}", text(&output.stderr));
}

#[test]
fn status_tells_people_and_programs_how_the_relay_stands() {
    let home = tempfile::tempdir().unwrap();
    let keys = "[profiles.away]\nwhen = { dns_suffix = \"nowhere.invalid\" }\n[profiles.always]\nupstreams = []\n";
    let _relay = Relay::start(&home, keys);
    let status = |arguments: &[&str]| {
        let arguments = [&["status", "--no-config", "--listen", "127.0.0.1:0"], arguments].concat();
        let output = hallpass(&home, &arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    // The first look at the place may still be under way.
    let began = Instant::now();
    let mut shown = String::new();
    while !shown.contains("profile  always (it has no condition)") {
        assert!(began.elapsed() < PATIENCE, "{shown}");
        shown = status(&[]);
        assert!(shown.contains(" is serving on 127.0.0.1:"), "{shown}");
    }
    let page: serde_json::Value = serde_json::from_str(&status(&["--json"])).unwrap();
    assert_eq!((&page["profile"]["name"], &page["phase"]), (&"always".into(), &"serving".into()), "{page}");
}

#[test]
fn status_without_a_relay_says_so() {
    let home = tempfile::tempdir().unwrap();
    let output = hallpass(&home, &["status", "--no-config", "--listen", "127.0.0.1:0"]).output().unwrap();
    assert!(failed(&output).contains("no relay is running"));
}
