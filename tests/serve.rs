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
        Self::start_in(home, &["--config", file.to_str().unwrap()])
    }

    fn start_in(home: TempDir, arguments: &[&str]) -> Self {
        Self::start_with(home, arguments, &[])
    }

    fn start_with(home: TempDir, arguments: &[&str], variables: &[(&str, String)]) -> Self {
        Self::start_reading(home, arguments, variables, Stdio::inherit())
    }

    fn start_reading(home: TempDir, arguments: &[&str], variables: &[(&str, String)], input: Stdio) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hallpass"))
            .env_clear()
            .env("HOME", home.path())
            .env("XDG_RUNTIME_DIR", home.path())
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .arg("serve")
            .args(arguments)
            .stdin(input)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log, home }
    }

    /// The next line of the log that has these words; those before it are dropped.
    fn says(&mut self, words: &str) -> String {
        self.says_after(words).1
    }

    /// That line, and all that was said before it.
    fn says_after(&mut self, words: &str) -> (String, String) {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.log.read_line(&mut line).unwrap(), 0, "the log ended without {words:?}:\n{seen}");
            if line.contains(words) {
                return (seen, line);
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
    fn end(&mut self) -> (Option<i32>, Duration) {
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

    fn config_file(&self) -> std::path::PathBuf {
        self.home.path().join("hallpass.toml")
    }

    /// By another file that takes the place of the old one, whole: nobody can read half of it.
    fn write_config(&self, text: &str) {
        let new = self.home.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.config_file()).unwrap();
    }

    /// What `hallpass status` prints.
    fn status_text(&self) -> String {
        let status = Command::new(env!("CARGO_BIN_EXE_hallpass"))
            .env_clear()
            .env("HOME", self.home.path())
            .env("XDG_RUNTIME_DIR", self.home.path())
            .arg("status")
            .output()
            .unwrap();
        assert!(status.status.success(), "{status:?}");
        String::from_utf8(status.stdout).unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Of a test that failed: it would hold the output of all tests open.
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What the page `/status` says.
fn status(addr: SocketAddr) -> serde_json::Value {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// Waits until this holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
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
    serving.write_config("listen = \"127.0.0.2:0\"\n");
    serving.signal("HUP");
    let moved = serving.addr();
    serving.says("reloaded");
    let run: serde_json::Value = serde_json::from_slice(&fs::read(serving.run_file()).unwrap()).unwrap();
    assert_eq!(run["listen"], serde_json::json!([moved.to_string()]));
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
fn what_comes_out_of_a_pipe_is_read_once_and_counts_until_the_end() {
    let home = tempfile::tempdir().unwrap();
    let named = home.path().join("agent");
    fs::write(&named, "one").unwrap();
    // What a configuration names is known when it has been read, and then it is read again.
    let text = format!("{ANYWHERE}connect_ports = [443]\nuser_agent = \"${{file:{}}}\"\n", named.display());
    let mut serving = Serving::start_reading(home, &["--config", "/dev/stdin"], &[], Stdio::piped());
    serving.child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let addr = serving.addr();
    let is_denied = || ask(addr, "CONNECT 127.0.0.1:9 HTTP/1.1\r\n\r\n").1.starts_with("HTTP/1.1 403 ");
    assert!(is_denied());
    fs::write(&named, "another").unwrap();
    assert!(!serving.says("reloaded").contains("not reloaded"));
    assert!(is_denied(), "another file that it names is no reason to forget it");
    serving.signal("HUP");
    serving.says("/dev/stdin is no file that can be read again: what it said at the start stays");
    assert!(!serving.says("reloaded").contains("not reloaded"));
    assert!(is_denied());
    serving.signal("TERM");
    assert_eq!(serving.end().0, Some(0));
}

#[test]
fn a_pipe_out_of_which_nothing_comes_is_no_configuration() {
    let home = tempfile::tempdir().unwrap();
    let mut serving = Serving::start_reading(home, &["--config", "/dev/stdin"], &[], Stdio::null());
    serving.says("/dev/stdin:1:1: cannot read the file: it is no regular file, and nothing came out of it");
    assert_eq!(serving.end().0, Some(2));
}

/// Ends a relay that is nobody's child any more.
struct Orphan(String);

impl Orphan {
    fn signal(&self, name: &str) -> bool {
        Command::new("kill").args(["-s", name, &self.0]).stderr(Stdio::null()).status().unwrap().success()
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        self.signal("KILL");
    }
}

/// What a runner is that runs as a unit: its jobs inherit the name of its invocation, and may leave a relay behind.
#[test]
fn a_relay_that_outlives_the_job_that_started_it_is_no_service_of_the_machine() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("hallpass.toml");
    fs::write(&file, ANYWHERE.to_owned() + "[access]\nusers = [\"self\"]\n").unwrap();
    let mut job = Command::new("sh")
        .args(["-c", "\"$0\" serve --config \"$1\" & echo $!; read end", env!("CARGO_BIN_EXE_hallpass")])
        .arg(&file)
        .env_clear()
        .env("HOME", home.path())
        .env("XDG_RUNTIME_DIR", home.path())
        .env("INVOCATION_ID", "2f4a8e0d")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pid = String::new();
    BufReader::new(job.stdout.take().unwrap()).read_line(&mut pid).unwrap();
    let relay = Orphan(pid.trim().into());
    let log = BufReader::new(job.stderr.take().unwrap());
    let mut serving = Serving { child: job, log, home };
    serving.addr();
    drop(serving.child.stdin.take());
    assert!(serving.child.wait().is_ok());
    serving.write_config(&format!("{ANYWHERE}connect_ports = [443]\n"));
    assert!(relay.signal("HUP"));
    let (before, said) = serving.says_after("reloaded");
    assert!(!said.contains("not reloaded"), "{before}{said}");
    assert!(relay.signal("TERM"));
    serving.says("stopping");
}

#[test]
fn why_a_configuration_does_not_count_is_told_until_one_does() {
    let mut serving = Serving::start(ANYWHERE);
    let addr = serving.addr();
    let configuration = status(addr)["configuration"].clone();
    assert_eq!(configuration["files"], serde_json::json!([serving.config_file()]));
    assert_eq!(configuration["problem"], serde_json::Value::Null);
    let loaded = configuration["loaded"].clone();

    serving.write_config(&format!("{ANYWHERE}connect_prots = [443]\ngrace = \"soon\"\n"));
    serving.signal("HUP");
    serving.says("not reloaded");
    let configuration = status(addr)["configuration"].clone();
    let problems: Vec<&str> =
        configuration["problem"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
    assert!(problems[0].contains("hallpass.toml:2") && problems[0].contains("connect_prots"), "{problems:?}");
    assert!(problems[1].contains("hallpass.toml:3") && problems[1].contains("grace"), "{problems:?}");
    assert_eq!(configuration["loaded"], loaded, "the former one still counts");
    let text = serving.status_text();
    assert!(text.contains("connect_prots") && text.contains("grace") && text.contains("still counts"), "{text}");

    serving.write_config(ANYWHERE);
    serving.signal("HUP");
    serving.says("reloaded");
    assert_eq!(status(addr)["configuration"]["problem"], serde_json::Value::Null);
    let text = serving.status_text();
    assert!(text.contains(&format!("config   {}, loaded ", serving.config_file().display())), "{text}");
    assert!(!text.contains("still counts"), "{text}");
    serving.signal("TERM");
    assert_eq!(serving.end().0, Some(0));
}

#[test]
fn a_reload_that_fails_half_way_changes_nothing() {
    let mut serving = Serving::start(ANYWHERE);
    let addr = serving.addr();
    let records = serving.home.path().join("records");
    let denied = || ask(addr, "CONNECT 127.0.0.1:9 HTTP/1.1\r\n\r\n").1.starts_with("HTTP/1.1 403 ");
    let pem = serving.home.path().join("none.pem");
    let tls = format!("[upstreams.u]\nurl = \"https://u.test:1\"\nca_file = \"{}\"\n", pem.display());
    let good_audit = format!("[audit]\nto = \"{}\"\n", records.display());
    let bad_audit = format!("[audit]\nto = \"{}/nowhere/records\"\n", serving.home.path().display());
    let auto = "listen = \"auto\"\n";
    for (listen, tables, word) in [
        (ANYWHERE, format!("{tls}{good_audit}"), "none.pem"),
        (auto, tls, "none.pem"),
        (ANYWHERE, bad_audit, "nowhere/records"),
    ] {
        // The file is there when the configuration is checked, and is no certificate when it is used.
        fs::write(&pem, "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").unwrap();
        serving.write_config(&format!("{listen}connect_ports = [443]\n{tables}"));
        serving.signal("HUP");
        let why = serving.says("not reloaded");
        assert!(why.contains(word), "{why}");
        assert!(!denied(), "{word}: the former configuration stays");
        let problem = status(addr)["configuration"]["problem"][0].clone();
        assert!(problem.as_str().unwrap().contains(word), "{problem}");
    }
    assert_eq!(fs::read_to_string(&records).unwrap_or_default(), "", "the former sink stays");
    assert!(!serving.home.path().join(".local/state/hallpass/port").exists(), "no port was found for others to go to");
    serving.signal("TERM");
    assert_eq!(serving.end().0, Some(0));
}

#[test]
fn a_reload_applies_audit_and_log() {
    let mut serving = Serving::start(ANYWHERE);
    let addr = serving.addr();
    let records = serving.home.path().join("records");
    let lines = || fs::read_to_string(&records).unwrap_or_default().lines().count();
    serving.write_config(&format!(
        "{ANYWHERE}[audit]\nto = \"{}\"\n[log]\nlevel = \"debug\"\nformat = \"json\"\n",
        records.display()
    ));
    serving.signal("HUP");
    serving.says("\"message\":\"reloaded\"");
    ask(addr, "GET /proxy.pac HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let line = serving.says("request ended");
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["level"], "DEBUG");
    until("a record", || lines() == 1);

    // As logrotate does it: the file is moved away, and we are told.
    fs::rename(&records, serving.home.path().join("rotated")).unwrap();
    serving.signal("HUP");
    serving.says("reloaded");
    ask(addr, "GET /proxy.pac HTTP/1.1\r\nHost: localhost\r\n\r\n");
    until("a record in the new file", || lines() == 1);
    serving.signal("TERM");
    assert_eq!(serving.end().0, Some(0));
}

#[test]
fn a_file_that_somebody_changed_is_read_without_a_signal() {
    let mut serving = Serving::start(ANYWHERE);
    let addr = serving.addr();
    let denied = || ask(addr, "CONNECT 127.0.0.1:9 HTTP/1.1\r\n\r\n").1.starts_with("HTTP/1.1 403 ");
    serving.write_config(&format!("{ANYWHERE}connect_ports = [443]\n"));
    serving.says("reloaded");
    assert!(denied());

    // An editor that empties the file first: what it looks like meanwhile worries nobody.
    fs::write(serving.config_file(), "connect_ports = [").unwrap();
    serving.says("has changed");
    fs::write(serving.config_file(), ANYWHERE).unwrap();
    let (before, _) = serving.says_after("reloaded");
    assert!(!before.contains("ERROR"), "{before}");
    assert!(!denied());

    fs::write(serving.config_file(), "connect_ports = [").unwrap();
    serving.says("not reloaded");
    assert!(!status(addr)["configuration"]["problem"].is_null());
    serving.signal("TERM");
    assert_eq!(serving.end().0, Some(0));
}

#[test]
fn a_file_that_is_emptied_to_be_written_is_no_wish_for_the_defaults() {
    let mut serving = Serving::start(ANYWHERE);
    let addr = serving.addr();
    fs::write(serving.config_file(), "").unwrap();
    serving.says("has changed");
    fs::write(serving.config_file(), format!("{ANYWHERE}connect_ports = [443]\n")).unwrap();
    serving.says("reloaded");
    assert!(ask(addr, "CONNECT 127.0.0.1:9 HTTP/1.1\r\n\r\n").1.starts_with("HTTP/1.1 403 "));
    serving.signal("TERM");
    assert_eq!(serving.end().0, Some(0));
}

#[test]
fn a_file_that_says_what_it_said_before_is_no_reason_to_begin_anew() {
    let mut serving = Serving::start(ANYWHERE);
    let addr = serving.addr();
    let loaded = status(addr)["configuration"]["loaded"].clone();
    let problem = || status(addr)["configuration"]["problem"].clone();
    serving.write_config("connect_prots = [443]\n");
    serving.says("not reloaded");
    assert!(!problem().is_null());
    serving.write_config(&format!("# Mistake taken back.\n{ANYWHERE}"));
    until("the problem is over", || problem().is_null());
    assert_eq!(status(addr)["configuration"]["loaded"], loaded);
    serving.signal("TERM");
    let (before, _) = serving.says_after("stopping");
    assert!(!before.contains(" reloaded"), "{before}");
    assert_eq!(serving.end().0, Some(0));
}

#[test]
fn a_file_that_appears_where_none_was_is_read() {
    let home = tempfile::tempdir().unwrap();
    let mut serving = Serving::start_in(home, &["--listen", "127.0.0.1:0"]);
    let addr = serving.addr();
    let directory = serving.home.path().join(".config/hallpass");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("hallpass.toml"), "connect_ports = [443]\n").unwrap();
    serving.says("reloaded");
    let (_, answer) = ask(addr, "CONNECT 127.0.0.1:9 HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
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
fn what_is_under_way_at_the_end_is_finished_and_nothing_is_begun() {
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = origin.local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let records = directory.path().join("records");
    let to = records.display();
    let mut serving = Serving::start(&format!("{ANYWHERE}grace = \"30s\"\n[audit]\nto = \"{to}\"\n"));
    let addr = serving.addr();
    let mut client = TcpStream::connect(addr).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(client, "GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n").unwrap();
    let mut server = BufReader::new(origin.accept().unwrap().0);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert_ne!(server.read_line(&mut line).unwrap(), 0);
    }
    server.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf").unwrap();
    let (mut tunnel, answer) = ask(addr, &format!("CONNECT {at} HTTP/1.1\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let mut head = [0; 4];
    serving.signal("TERM");
    serving.says("stopping");
    until("nobody listens any more", || TcpStream::connect(addr).is_err());
    server.get_mut().write_all(b"half").unwrap();
    let mut rest = String::new();
    client.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("HTTP/1.1 200 OK\r\n") && rest.ends_with("\r\n\r\nhalfhalf"), "{rest}");
    // The tunnel alone is left; a second signal takes that, too.
    serving.signal("TERM");
    assert_eq!(tunnel.read(&mut head).unwrap_or_default(), 0);
    assert_eq!(serving.end().0, Some(0));
    let text = fs::read_to_string(&records).unwrap();
    let ends: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ends: Vec<_> =
        ends.iter().map(|record| (record["method"].as_str().unwrap(), record["end"].as_str().unwrap())).collect();
    assert_eq!(ends, [("GET", "done"), ("CONNECT", "drained")]);
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

/// This many requests that leave a record, on one connection.
fn ask_often(addr: SocketAddr, times: usize) {
    let mut stream = BufReader::new(TcpStream::connect(addr).unwrap());
    stream.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
    for _ in 0..times {
        stream.get_mut().write_all(b"HEAD /proxy.pac HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            assert_ne!(stream.read_line(&mut line).unwrap(), 0, "the relay hung up");
        }
    }
}

/// More than any queue, and any pipe, holds.
const MANY: usize = 10_000;

#[test]
fn a_log_that_nobody_reads_holds_up_nobody_and_says_later_what_it_lost() {
    let config = format!("{ANYWHERE}[audit]\nto = \"stderr\"\n[log]\nlevel = \"trace\"\n");
    let mut serving = Serving::start(&config);
    let addr = serving.addr();
    // From here on its stderr is a pipe that is full sooner or later.
    ask_often(addr, MANY);
    let lost = status(addr)["lost"].clone();
    assert!(lost["audit_records"].as_u64().unwrap() > 0 && lost["log_lines"].as_u64().unwrap() > 0, "{lost}");
    let text = serving.status_text();
    assert!(text.contains(" audit records\n") && text.contains(" lines of the log"), "{text}");

    let said = serving.says("lines of the log were lost");
    assert!(said.contains("lost="), "{said}");
    serving.signal("TERM");
    serving.says("stopping");
    assert_eq!(serving.end().0, Some(0));
}

#[test]
fn a_log_that_nobody_reads_does_not_hold_up_the_end() {
    let mut serving = Serving::start(&format!("{ANYWHERE}[audit]\nto = \"stderr\"\n[log]\nlevel = \"trace\"\n"));
    let addr = serving.addr();
    ask_often(addr, MANY);
    serving.signal("TERM");
    let (code, took) = serving.end();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_full_disk_and_a_pipe_that_nobody_reads_cost_records_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let pipe = home.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (to, requests) in [("/dev/full", 10), (pipe.to_str().unwrap(), MANY)] {
        let mut serving = Serving::start(&format!("{ANYWHERE}[audit]\nto = \"{to}\"\n"));
        let addr = serving.addr();
        ask_often(addr, requests);
        until("records are counted as lost", || status(addr)["lost"]["audit_records"].as_u64() > Some(0));
        // Away from it, without a restart.
        let records = serving.home.path().join("records");
        serving.write_config(&format!("{ANYWHERE}[audit]\nto = \"{}\"\n", records.display()));
        serving.signal("HUP");
        let (before, _) = serving.says_after("reloaded");
        assert_eq!(before.matches("audit records are lost").count(), usize::from(to == "/dev/full"), "{before}");
        ask_often(addr, 1);
        until("a record", || fs::read_to_string(&records).is_ok_and(|text| text.contains("\"done\"")));
        serving.signal("TERM");
        let (code, took) = serving.end();
        assert_eq!(code, Some(0), "{to}");
        assert!(took < Duration::from_secs(2), "{to}: {took:?}");
    }
}

#[test]
fn a_thousand_failures_are_a_few_lines() {
    let hangs_up = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let upstreams = format!(
        "[upstreams.a]\nurl = \"http://{}\"\n[upstreams.b]\nurl = \"http://{closed}\"\n",
        hangs_up.local_addr().unwrap()
    );
    let socks = "[[listeners]]\ninterface = \"lo\"\nport = 0\nsocks5 = true\n";
    let mut serving = Serving::start(&format!("{ANYWHERE}{socks}[audit]\nto = \"off\"\n{upstreams}"));
    let addr = serving.addr();
    let socks: SocketAddr = serving.says("SOCKS5 on ").trim().rsplit(' ').next().unwrap().parse().unwrap();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = hangs_up.accept() {
            drop(stream);
        }
    });
    for n in 0..500 {
        let (_, answer) = ask(addr, &format!("CONNECT h{n}.test:443 HTTP/1.1\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        let (mut client, _) = ask(socks, "\x05\x01\x00");
        client.write_all(b"\x05\x01\x00\x03\x06h.test\x01\xbb").unwrap();
        assert_ne!(client.read(&mut [0; 10]).unwrap(), 0);
    }
    serving.signal("TERM");
    let (lines, _) = serving.says_after("stopping");
    assert!((1..20).contains(&lines.lines().count()), "{lines}");
    assert_eq!(serving.end().0, Some(0));
}

/// The C library's clock with the time of day moved by as many seconds as a file says.
#[cfg(target_os = "linux")]
const OTHER_CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *t) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, t);
    FILE *file = id == CLOCK_REALTIME ? fopen(getenv("MOVED_BY"), "r") : NULL;
    long seconds = 0;
    if (file) {
        if (fscanf(file, "%ld", &seconds) == 1) t->tv_sec += seconds;
        fclose(file);
    }
    return result;
}
"#;

#[cfg(target_os = "linux")]
#[test]
fn a_clock_that_jumps_by_years_harms_nothing() {
    let home = tempfile::tempdir().unwrap();
    let in_home = |name: &str| home.path().join(name);
    let (source, library, moved, records) = (in_home("c.c"), in_home("c.so"), in_home("moved"), in_home("records"));
    fs::write(&source, OTHER_CLOCK).unwrap();
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(compiled.unwrap().success());
    fs::write(&moved, "0").unwrap();
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let audit = format!("[audit]\nto = \"{}\"\nmax_age = \"1d\"\n", records.display());
    let config = |keys: &str| format!("{ANYWHERE}{keys}{audit}");
    fs::write(in_home("hallpass.toml"), config("")).unwrap();
    let file = in_home("hallpass.toml").to_str().unwrap().to_owned();
    let variables = [("LD_PRELOAD", library.to_str().unwrap()), ("MOVED_BY", moved.to_str().unwrap())];
    let variables = variables.map(|(name, value)| (name, value.to_owned()));
    let mut serving = Serving::start_with(home, &["--config", &file], &variables);
    let addr = serving.addr();
    let connect = format!("CONNECT {} HTTP/1.1\r\n\r\n", target.local_addr().unwrap());
    let (mut tunnel, _) = ask(addr, &connect);
    let mut server = target.accept().unwrap().0;
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    for (round, years) in [30, -30, 0].into_iter().enumerate() {
        let seconds = years * 365 * 86_400;
        fs::write(&moved, seconds.to_string()).unwrap();
        until("its clock has moved", || {
            ask_often(addr, 1);
            let text = fs::read_to_string(&records).unwrap_or_default();
            let record: Option<serde_json::Value> =
                text.lines().last().and_then(|line| serde_json::from_str(line).ok());
            let time = record.and_then(|record| record["time"].as_str()?.parse::<jiff::Timestamp>().ok());
            time.is_some_and(|time| (time.as_second() - jiff::Timestamp::now().as_second() - seconds).abs() < 3600)
        });
        tunnel.write_all(b"still there?").unwrap();
        let mut heard = [0; 12];
        server.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"still there?");
        let (_client, answer) = ask(addr, &connect);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        drop(target.accept().unwrap());
        // What was changed is noticed whatever the time is.
        serving.write_config(&config(&format!("grace = \"{}s\"\n", round + 1)));
        let (before, _) = serving.says_after("reloaded");
        assert!(!before.contains("ERROR"), "{before}");
    }
    let files = fs::read_dir(serving.home.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("records"));
    assert!(files.count() <= 4, "a jump begins one file at most");
    drop((tunnel, server));
    serving.signal("TERM");
    let (code, took) = serving.end();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(2), "{took:?}");
}

/// The status of the answer to whoever shows this token.
fn with_token(addr: SocketAddr, token: &str) -> u16 {
    let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let login = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("x:{token}"));
    let (_, answer) = ask(addr, &format!("CONNECT {at} HTTP/1.1\r\nProxy-Authorization: Basic {login}\r\n\r\n"));
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_token_is_replaced_without_a_restart_and_the_former_one_counts_as_long_as_it_stands_beside_it() {
    let home = tempfile::tempdir().unwrap();
    let token = home.path().join("token");
    let put = |text: &str| {
        let new = home.path().join("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        fs::rename(&new, &token).unwrap();
    };
    put("first\n");
    let config = format!("{ANYWHERE}[access]\nusers = \"any\"\ntoken = \"${{file:{}}}\"\n", token.display());
    let mut serving = Serving::start(&config);
    let addr = serving.addr();
    // 502: it was let in, and nobody listens where it wants to go.
    assert_eq!((with_token(addr, "first"), with_token(addr, "second")), (502, 407));
    put("second\nfirst\n");
    until("the second token is known", || with_token(addr, "second") == 502);
    assert_eq!(with_token(addr, "first"), 502);
    put("second\n");
    until("the first token is unknown", || with_token(addr, "first") == 407);
    assert_eq!((with_token(addr, "second"), with_token(addr, "")), (502, 407));
    serving.says("the configuration, or a file that it names, has changed");
    serving.says("reloaded");
    serving.signal("TERM");
    assert_eq!(serving.end().0, Some(0));
}

fn is_ready(addr: SocketAddr) -> bool {
    let (_, answer) = ask(addr, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    answer.starts_with("HTTP/1.1 200 ")
}

#[test]
fn whoever_leaves_says_so_and_lets_clients_in_until_balancers_have_noticed() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let connect = format!("CONNECT {} HTTP/1.1\r\n\r\n", target.local_addr().unwrap());
    let mut serving = Serving::start(&format!("{ANYWHERE}drain_delay = \"60s\"\ngrace = \"60s\"\n"));
    let addr = serving.addr();
    assert!(is_ready(addr));
    serving.signal("TERM");
    serving.says("clients are still let in for 60 s");
    assert!(!is_ready(addr));
    let (_tunnel, answer) = ask(addr, &connect);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    serving.signal("TERM");
    let (code, took) = serving.end();
    assert_eq!(code, Some(0));
    assert!(took < PATIENCE, "a second signal cuts both times short: {took:?}");

    let mut serving = Serving::start(&format!("{ANYWHERE}drain_delay = \"300ms\"\ngrace = \"60s\"\n"));
    let addr = serving.addr();
    let (mut client, _) = ask(addr, &connect);
    serving.signal("TERM");
    until("nobody is let in any more", || TcpStream::connect(addr).is_err());
    client.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let cut = client.read(&mut [0]).unwrap_err().kind();
    assert_eq!(cut, std::io::ErrorKind::WouldBlock, "the tunnel has its grace after that");
    serving.signal("TERM");
    assert_eq!(serving.end().0, Some(0));
}

#[test]
fn a_password_file_that_cannot_be_used_is_told_of_and_is_no_reason_to_begin_anew() {
    let home = tempfile::tempdir().unwrap();
    let password = home.path().join("password");
    let put = |text: &str, mode: u32| {
        let new = home.path().join("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        fs::rename(&new, &password).unwrap();
    };
    put("first", 0o600);
    let config = format!(
        "{ANYWHERE}[upstreams.u]\nurl = \"http://127.0.0.1:1\"\n\
         [credentials.c]\nuser = \"alice\"\npassword = \"${{file:{}}}\"\n",
        password.display()
    );
    let mut serving = Serving::start(&config);
    let addr = serving.addr();
    let problems = || {
        let (_, answer) = ask(addr, "GET /status HTTP/1.0\r\n\r\n");
        answer.contains("is empty") || answer.contains("others can read")
    };
    for (text, mode, why, end) in [
        ("", 0o600, "is empty", "what was read from there before stays"),
        ("second", 0o644, "others can read", "not reloaded: the configuration is wrong, the former one stays"),
    ] {
        put(text, mode);
        let (before, line) = serving.says_after(end);
        let said = before + &line;
        assert!(said.contains(why) && !said.contains("INFO reloaded"), "{said}");
        assert!(problems(), "the status page says so, too");
    }
    put("second", 0o600);
    serving.says("reloaded");
    assert!(!problems());
    serving.signal("TERM");
    assert_eq!(serving.end().0, Some(0));
}
