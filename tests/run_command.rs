//! `hallpass run` as a shell and a program see it: environment, exit codes, signals, the terminal, and the relay that
//! comes and goes with the program.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

#[path = "terminal/mod.rs"]
#[allow(dead_code, reason = "prompts are asked for more")]
mod terminal;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use hallpass::practice::{
    Account, Accounts, CorporateProxy, Gate, Names, Offer, Origin, OriginOptions, Place, ProxyOptions,
};
use tempfile::TempDir;
use terminal::Terminal;

/// Far more than anything here needs.
const PATIENCE: Duration = Duration::from_secs(30);

const HALLPASS: &str = env!("CARGO_BIN_EXE_hallpass");

fn home() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// In a home of its own, without any variable of the machine.
fn hallpass(home: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(HALLPASS);
    command.env_clear().env("HOME", home.path()).env("XDG_RUNTIME_DIR", home.path()).current_dir(home.path());
    command.env("PATH", "/usr/bin:/bin").args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Without a configuration, so with a relay of its own that goes direct.
fn alone(home: &TempDir, program: &[&str]) -> Command {
    hallpass(home, &[&["run", "--no-config", "--"], program].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn kill(pid: u32, signal: &str) {
    assert!(Command::new("kill").args(["-s", signal, &pid.to_string()]).status().unwrap().success());
}

/// The processes whose parent is this one.
fn children(pid: u32) -> Vec<u32> {
    let parent = |stat: &str| stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse::<u32>().ok();
    let all = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child =
        |of: &u32| fs::read_to_string(format!("/proc/{of}/stat")).is_ok_and(|stat| parent(&stat) == Some(pid));
    all.filter(is_child).collect()
}

fn lives(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// A program that a test talks to while it runs.
struct Running {
    hallpass: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut hallpass = command.spawn().unwrap();
        let (stdin, stdout) = (hallpass.stdin.take().unwrap(), hallpass.stdout.take().unwrap());
        Self { hallpass, stdin, stdout: BufReader::new(stdout) }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().into()
    }

    /// What the program was told; it says so in its first line.
    fn relay(&mut self) -> SocketAddr {
        let line = self.line();
        let Some(addr) = line.strip_prefix("http://") else {
            let mut error = String::new();
            self.hallpass.stderr.take().unwrap().read_to_string(&mut error).unwrap();
            panic!("{line} {error}");
        };
        addr.parse().unwrap()
    }

    fn say(&mut self, words: &str) {
        writeln!(self.stdin, "{words}").unwrap();
    }

    /// The exit code, and all that was said on stderr.
    fn end(mut self) -> (Option<i32>, String) {
        drop(self.stdin);
        let mut error = String::new();
        self.hallpass.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        (self.hallpass.wait().unwrap().code(), error)
    }
}

/// Tells where its relay is and ends when it has heard a line.
const ASKED: [&str; 3] = ["sh", "-c", "echo $http_proxy; read line; exit 3"];

fn get(relay: SocketAddr, url: &str) -> String {
    let mut stream = TcpStream::connect(relay).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let host = url.split('/').nth(2).unwrap();
    write!(stream, "GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    text(&answer)
}

fn tunnel(relay: SocketAddr, target: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(relay).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(text(&head).starts_with("HTTP/1.1 200 "), "{}", text(&head));
    stream
}

/// Of a company that reads TLS.
fn certificate() -> String {
    rcgen::generate_simple_self_signed(["corp.test".to_owned()]).unwrap().cert.pem()
}

#[test]
fn certificates_that_cannot_be_read_are_named_and_nothing_is_started() {
    let home = home();
    for (text, words) in [(None, "cannot read"), (Some("no certificate"), "no certificate")] {
        let file = home.path().join("ca.pem");
        text.iter().for_each(|text| fs::write(&file, text).unwrap());
        let output =
            hallpass(&home, &["run", "--no-config", "--ca", file.to_str().unwrap(), "--", "touch", "started"]).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(words) && said.contains("ca.pem"), "{said}");
        assert!(!home.path().join("started").exists());
    }
}

#[test]
fn the_environment_is_the_users_with_the_proxy_of_the_relay_and_nothing_of_ours() {
    let home = home();
    let ca = home.path().join("ca.pem");
    fs::write(&ca, certificate()).unwrap();
    let mut command = hallpass(
        &home,
        &["run", "--no-config", "--ca", ca.to_str().unwrap(), "--user", "CORP\\alice", "--", "env", "-0"],
    );
    command.envs([("KEPT", "a b"), ("NO_PROXY", "corp.test"), ("no_proxy", "corp.test, b.test")]);
    command.envs([("HTTPS_PROXY", "http://old.test:1"), ("HALLPASS_PASSWORD", "secret"), ("HALLPASS_GRACE", "1s")]);
    let output = command.output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    let shown = text(&output.stdout);
    let found: BTreeMap<&str, &str> =
        shown.split('\0').filter(|line| !line.is_empty()).map(|line| line.split_once('=').unwrap()).collect();
    let relay = found["http_proxy"];
    assert!(relay.starts_with("http://127.0.0.1:"), "{relay}");
    let directory = home.path().to_str().unwrap();
    let mut wanted = BTreeMap::from([("HOME", directory), ("XDG_RUNTIME_DIR", directory), ("PATH", "/usr/bin:/bin")]);
    wanted.extend([("KEPT", "a b"), ("NODE_USE_ENV_PROXY", "1"), ("NODE_EXTRA_CA_CERTS", ca.to_str().unwrap())]);
    wanted.extend(["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"].map(|name| (name, relay)));
    // Those that read one of these trust nothing else, so it holds the system's as well.
    let all = home.path().join(".local/state/hallpass/ca-bundle.pem");
    let replacing =
        ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT", "CARGO_HTTP_CAINFO"];
    wanted.extend(replacing.map(|name| (name, all.to_str().unwrap())));
    let bundle = fs::read_to_string(&all).unwrap();
    assert!(bundle.matches("BEGIN CERTIFICATE").count() > 1, "the system's are missing");
    wanted.extend(["NO_PROXY", "no_proxy"].map(|name| (name, "corp.test,b.test,localhost,127.0.0.1,::1")));
    assert_eq!(found, wanted);
}

#[test]
fn a_certificate_is_trusted_by_programs_that_add_it_and_by_those_that_know_one_file() {
    let home = home();
    let signed = rcgen::generate_simple_self_signed(vec!["corp.test".into()]).unwrap();
    fs::write(home.path().join("corp.pem"), signed.cert.pem()).unwrap();
    let program =
        ["sh", "-c", "cd /; echo $NODE_EXTRA_CA_CERTS; cat $SSL_CERT_FILE; test $SSL_CERT_FILE = $CURL_CA_BUNDLE"];
    let line = [&["run", "--no-config", "--ca", "corp.pem", "--"], &program[..]].concat();
    let output = hallpass(&home, &line).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    let said = text(&output.stdout).replace("\r\n", "\n");
    let (path, bundle) = said.split_once('\n').unwrap();
    assert_eq!(path, home.path().join("corp.pem").to_str().unwrap());
    assert!(bundle.ends_with(&signed.cert.pem().replace("\r\n", "\n")), "{bundle}");
    assert!(bundle.matches("BEGIN").count() > 1, "those of the system too");
    // What would fail later, and elsewhere, fails here.
    let line = ["run", "--no-config", "--ca", "missing.pem", "--", "touch", "started"];
    let output = hallpass(&home, &line).output().unwrap();
    assert!(text(&output.stderr).contains("missing.pem"), "{}", text(&output.stderr));
    assert!(!output.status.success() && !home.path().join("started").exists());
}

#[test]
fn a_relay_that_wants_a_token_is_shown_it_and_no_argument_has_it() {
    let home = home();
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x", origin.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut client, _) = origin.accept().unwrap();
        let mut head = BufReader::new(client.try_clone().unwrap()).lines();
        while head.next().is_some_and(|line| !line.unwrap().is_empty()) {}
        client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello").unwrap();
    });
    fs::write(home.path().join("relay.toml"), "[access]\ntoken = \"${env:RELAY_TOKEN}\"\n").unwrap();
    let program = "cat /proc/[0-9]*/cmdline 2>/dev/null | grep -ac 't[@]ken' >&2; NO_PROXY= no_proxy= exec curl -sS $0";
    let line = ["run", "--config", "relay.toml", "--", "sh", "-c", program, &url];
    let output = hallpass(&home, &line).env("RELAY_TOKEN", "t@ken/1").output().unwrap();
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("hello".into(), "0\n".into()));
}

#[test]
fn the_exit_code_is_the_programs_own_or_what_a_shell_says() {
    let home = home();
    fs::write(home.path().join("data"), "no program").unwrap();
    let script = home.path().join("script");
    fs::write(&script, "exit 4\n").unwrap();
    assert!(Command::new("chmod").args(["+x", script.to_str().unwrap()]).status().unwrap().success());
    for (program, code, words) in [
        (&["sh", "-c", "exit 0"][..], 0, ""),
        (&["sh", "-c", "exit 77"], 77, ""),
        (&["sh", "-c", "kill -TERM $$"], 143, ""),
        (&["sh", "-c", "kill -KILL $$"], 137, ""),
        // Without an interpreter's name it is the shell's.
        (&["./script"], 4, ""),
        (&["./data"], 126, "hallpass: cannot start ./data: Permission denied"),
        (&["no-such-program", "--flag"], 127, "hallpass: there is no program no-such-program"),
    ] {
        let output = alone(&home, program).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{program:?} {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "", "{program:?}");
        assert!(
            text(&output.stderr).starts_with(words) && (words.is_empty() == output.stderr.is_empty()),
            "{program:?}"
        );
    }
}

#[test]
fn stdin_stdout_and_stderr_are_the_programs_and_its_flags_are_not_ours() {
    let home = home();
    let mut command = hallpass(&home, &["run", "--no-config", "sh", "-c", "cat; echo $0 $1 >&2", "--log", "-x"]);
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"\0bytes\xff").unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    assert_eq!((status.code(), stdout.as_slice(), text(&stderr)), (Some(0), &b"\0bytes\xff"[..], "--log -x\n".into()));
}

#[test]
fn a_wrong_configuration_starts_nothing() {
    let home = home();
    let output = hallpass(&home, &["run", "--upstream", "http://", "--", "touch", "started"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--upstream"), "{}", text(&output.stderr));
    assert!(!home.path().join("started").exists());
}

#[test]
fn the_relay_that_runs_is_used_and_what_the_program_leaves_behind_is_not_waited_for() {
    let home = home();
    fs::write(home.path().join("relay.toml"), "listen = [\"127.0.0.1:0\"]\n").unwrap();
    let mut serve = hallpass(&home, &["serve", "--config", "relay.toml"]).spawn().unwrap();
    let mut log = BufReader::new(serve.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening on ") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "the relay ended");
    }
    let addr: SocketAddr = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
    std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
    until("a run file", || home.path().join(format!("hallpass/{}.json", serve.id())).exists());
    let listen = addr.to_string();
    let program = ["sh", "-c", "echo $http_proxy; sleep 1000 >/dev/null 2>&1 & echo $!; exit 6"];
    for named in [&["--listen", &listen][..], &[]] {
        let mut running = Running::start(hallpass(&home, &[&["run"], named, &["--"], &program].concat()));
        assert_eq!(running.relay(), addr);
        let left: u32 = running.line().parse().unwrap();
        assert_eq!(running.end(), (Some(6), String::new()));
        assert!(lives(left));
        kill(left, "KILL");
    }
    // Another configuration is another relay.
    let mut running = Running::start(alone(&home, &ASKED));
    assert_ne!(running.relay(), addr);
    running.say("end");
    assert_eq!(running.end().0, Some(3));
    serve.kill().unwrap();
    serve.wait().unwrap();
}

#[test]
fn a_relay_of_its_own_goes_with_the_program() {
    let home = home();
    let mut running = Running::start(alone(&home, &ASKED));
    let relay = running.relay();
    assert!(get(relay, &format!("http://{relay}/healthz")).contains("403"), "its own address is no target");
    let processes = children(running.hallpass.id());
    assert_eq!(processes.len(), 2, "the program and its relay");
    running.say("end");
    assert_eq!(running.end().0, Some(3));
    assert!(TcpStream::connect(relay).is_err());
    assert!(!processes.into_iter().any(lives));
}

#[test]
fn a_relay_of_its_own_ends_also_when_nobody_can_tell_it_to() {
    let home = home();
    let mut running = Running::start(alone(&home, &ASKED));
    let relay = running.relay();
    let processes = children(running.hallpass.id());
    running.hallpass.kill().unwrap();
    running.hallpass.wait().unwrap();
    until("the port is closed", || TcpStream::connect(relay).is_err());
    drop(running.stdin);
    until("no process is left", || !processes.iter().any(|pid| lives(*pid)));
}

#[test]
fn a_relay_of_its_own_that_ends_by_itself_is_no_secret() {
    let home = home();
    let mut running = Running::start(alone(&home, &ASKED));
    running.relay();
    let is_relay = |pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == Path::new(HALLPASS));
    let relay = children(running.hallpass.id()).into_iter().find(is_relay).unwrap();
    kill(relay, "KILL");
    let mut said = BufReader::new(running.hallpass.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.starts_with("hallpass: the relay of this program has ended by itself"), "{line}");
    let log = format!("hallpass/run/{relay}.log may say why\n");
    assert!(line.ends_with(&log), "{line}");
    running.say("end");
    assert_eq!(running.hallpass.wait().unwrap().code(), Some(3), "the program is not to blame");
    line.clear();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "", "it is said once");
}

#[test]
fn an_orphan_keeps_the_relay_until_it_ends_and_so_does_the_last_tunnel() {
    let home = home();
    let fifo = home.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // In a session of its own and twice removed, as a daemon is.
    let program = "echo $http_proxy; setsid sh -c 'read line <fifo & wait' >/dev/null 2>&1 & exit 5";
    let mut running = Running::start(alone(&home, &["sh", "-c", program]));
    let relay = running.relay();
    let mut said = BufReader::new(running.hallpass.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.starts_with("hallpass: sh has ended; its relay stays for sh (pid "), "{line}");
    assert!(line.ends_with("which it started. Ctrl-C ends waiting.\n"), "{line}");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = tunnel(relay, listener.local_addr().unwrap());
    let (mut server, _) = listener.accept().unwrap();
    OpenOptions::new().write(true).open(&fifo).unwrap().write_all(b"end\n").unwrap();
    line.clear();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("waiting for the last connections to the relay to close"), "{line}");
    assert!(TcpStream::connect(relay).is_err(), "nobody new is served");
    assert!(running.hallpass.try_wait().unwrap().is_none());
    client.write_all(b"still here").unwrap();
    let mut heard = [0; 10];
    server.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"still here");
    drop((client, server));
    assert_eq!(running.hallpass.wait().unwrap().code(), Some(5));
}

#[test]
fn whoever_will_not_wait_for_orphans_ends_waiting() {
    for signal in ["INT", "TERM"] {
        let home = home();
        let program = "echo $http_proxy; setsid sleep 1000 >/dev/null 2>&1 & echo $!; exit 5";
        let mut running = Running::start(alone(&home, &["sh", "-c", program]));
        let relay = running.relay();
        let orphan: u32 = running.line().parse().unwrap();
        let mut said = BufReader::new(running.hallpass.stderr.take().unwrap());
        said.read_line(&mut String::new()).unwrap();
        let _open = TcpStream::connect(relay).unwrap();
        kill(running.hallpass.id(), signal);
        assert_eq!(running.hallpass.wait().unwrap().code(), Some(5), "{signal}");
        assert!(TcpStream::connect(relay).is_err());
        assert!(lives(orphan));
        kill(orphan, "KILL");
    }
}

#[test]
fn those_that_a_daemon_leaves_do_not_stay_as_zombies() {
    let home = home();
    let program = "(setsid sh -c 'exit 0' & echo $!) ; read line";
    let mut running = Running::start(alone(&home, &["sh", "-c", program]));
    let orphan: u32 = running.line().parse().unwrap();
    until("its number is free", || !lives(orphan));
    running.say("end");
    assert_eq!(running.end().0, Some(0));
}

#[test]
fn signals_to_us_reach_the_program() {
    let home = home();
    for (signal, number) in [("TERM", 15), ("HUP", 1), ("USR1", 10), ("USR2", 12), ("INT", 2), ("QUIT", 3)] {
        let program = format!("trap 'exit {}' {signal}; echo ready; while :; do sleep 0.02; done", 50 + number);
        let mut running = Running::start(alone(&home, &["sh", "-c", &program]));
        assert_eq!(running.line(), "ready");
        kill(running.hallpass.id(), signal);
        assert_eq!(running.end(), (Some(50 + number), String::new()), "{signal}");
    }
    let mut running = Running::start(alone(&home, &["sh", "-c", "echo ready; while :; do sleep 0.02; done"]));
    assert_eq!(running.line(), "ready");
    kill(running.hallpass.id(), "TERM");
    assert_eq!(running.end().0, Some(143), "a program that lets itself be ended");
}

#[test]
fn a_signal_that_was_ignored_before_us_is_ignored_by_the_program() {
    let home = home();
    let line = format!("trap '' INT; exec {HALLPASS} run --no-config -- grep SigIgn /proc/self/status");
    let output = alone(&home, &["sh", "-c", &line]).output().unwrap();
    let mask = text(&output.stdout);
    let mask = u64::from_str_radix(mask.trim().rsplit('\t').next().unwrap(), 16).unwrap();
    assert_eq!(mask & 0b10, 0b10, "{mask:x}");
}

/// An interactive shell at a terminal of its own.
struct Shell(Terminal);

impl Shell {
    fn open(home: &TempDir) -> Self {
        let mut command = Command::new("bash");
        command.args(["--norc", "--noprofile", "-i"]).current_dir(home.path());
        command.envs([("PS1", "$ "), ("TERM", "dumb")]).env("HOME", home.path());
        Self(Terminal::start(&command))
    }

    fn write(&mut self, text: &str) {
        self.0.press(text);
    }

    /// A line for the shell: our run of a shell's program. Its quotes keep the echo from looking like its output.
    fn run(&mut self, program: &str) {
        self.write(&format!("{HALLPASS} run --no-config -- sh -c '{program}'\n"));
    }

    /// What the shell was told of it.
    fn code(&mut self, code: u8) {
        self.write("echo co''de $?\n");
        self.see(&format!("code {code}"));
    }

    fn see(&mut self, words: &str) {
        self.0.see(words);
    }
}

#[test]
fn ctrl_c_is_for_the_program_alone() {
    let home = home();
    let mut terminal = Shell::open(&home);
    terminal.run("trap \"echo caug\"\"ht\" INT; echo rea\"\"dy; while ! test -e end; do sleep 0.02; done; exit 42");
    terminal.see("ready");
    for _ in 0..2 {
        terminal.write("\x03");
        terminal.see("caught");
    }
    fs::write(home.path().join("end"), "").unwrap();
    terminal.code(42);
    // One that does not mind it ends of it, and we say so.
    terminal.run("echo rea\"\"dy; exec sleep 1000");
    terminal.see("ready");
    terminal.write("\x03");
    terminal.code(130);
}

#[test]
fn ctrl_z_stops_the_program_and_fg_goes_on_with_it() {
    let home = home();
    let mut terminal = Shell::open(&home);
    terminal.run("echo $$ >pid; echo rea\"\"dy $http_proxy .; while read line; do echo he\"\"ard $line; done; exit 9");
    terminal.see("ready http://");
    terminal.see(" .");
    let program = fs::read_to_string(home.path().join("pid")).unwrap();
    let stat = format!("/proc/{}/stat", program.trim());
    for _ in 0..2 {
        terminal.write("\x1a");
        terminal.see("Stopped");
        // What is typed before the shell asks for it may be thrown away.
        terminal.see("$ ");
        // The key stops the program, too, but on a busy machine later than us; until then it takes what is typed.
        until("the program is stopped", || fs::read_to_string(&stat).unwrap().contains(") T "));
        terminal.write("fg\n");
        terminal.see("run --no-config");
        terminal.write("again\n");
        terminal.see("heard again");
    }
    terminal.write("\x04");
    terminal.code(9);
}

/// It makes the terminal ready before it stops, as an editor does, and tells how its parent is at that moment.
const EDITOR: &str = "
import os, signal, time
def say(words):
    os.write(1, (words + '\\n').encode())
def stop(*_):
    say('making ready')
    while not os.path.exists('may-stop'):
        time.sleep(0.02)
    state = open(f'/proc/{os.getppid()}/stat').read().rsplit(') ')[1][0]
    say('parent is ' + ('stopped' if state == 'T' else 'there'))
    os.kill(os.getpid(), signal.SIGSTOP)
    say('goes on')
signal.signal(signal.SIGTSTP, stop)
say('editor begins')
while not os.path.exists('end'):
    time.sleep(0.02)
";

#[test]
fn the_shell_has_the_terminal_when_the_program_has_made_it_ready() {
    let home = home();
    fs::write(home.path().join("editor.py"), EDITOR).unwrap();
    let mut terminal = Shell::open(&home);
    terminal.run("exec python3 editor.py");
    terminal.see("editor begins");
    terminal.write("\x1a");
    terminal.see("making ready");
    fs::write(home.path().join("may-stop"), "").unwrap();
    terminal.see("parent is there");
    terminal.see("Stopped");
    terminal.see("$ ");
    terminal.write("fg\n");
    terminal.see("goes on");
    fs::write(home.path().join("end"), "").unwrap();
    terminal.code(0);
}

#[test]
fn a_program_that_ctrl_z_does_not_stop_keeps_the_terminal() {
    let home = home();
    let mut terminal = Shell::open(&home);
    terminal.run("trap \"\" TSTP; echo rea\"\"dy; while read line; do echo he\"\"ard $line; done; exit 9");
    terminal.see("ready");
    terminal.write("\x1a");
    terminal.write("it\n");
    terminal.see("heard it");
    terminal.write("\x04");
    terminal.code(9);
}

#[test]
fn a_program_that_stops_itself_gives_the_terminal_back() {
    let home = home();
    let mut terminal = Shell::open(&home);
    terminal.run("kill -STOP $$; echo go\"\"es on; exit 8");
    terminal.see("Stopped");
    terminal.see("$ ");
    terminal.write("fg\n");
    terminal.see("goes on");
    terminal.code(8);
}

#[test]
fn a_relay_serves_on_while_the_program_is_stopped() {
    let home = home();
    let mut running = Running::start(alone(&home, &["sh", "-c", "echo $http_proxy; echo $$; read line"]));
    let relay = running.relay();
    let program: u32 = running.line().parse().unwrap();
    kill(program, "STOP");
    assert!(get(relay, "http://127.0.0.1:1/").starts_with("HTTP/1.1 502 "));
    kill(program, "CONT");
    running.say("end");
    let (code, error) = running.end();
    assert_eq!(code, Some(0), "{error}");
}

#[test]
fn a_program_that_would_hand_over_to_one_that_runs_is_warned_of() {
    let home = home();
    let slack = home.path().join("slack");
    fs::copy("/bin/sleep", &slack).unwrap();
    let warned = |program: &[&str]| {
        let output = alone(&home, program).output().unwrap();
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), String::new()));
        text(&output.stderr)
    };
    let mut first = Command::new(&slack).arg("1000").spawn().unwrap();
    until("it runs", || fs::read_link(format!("/proc/{}/exe", first.id())).is_ok_and(|exe| exe == slack));
    assert_eq!(warned(&["./slack", "0"]), "", "there may be as many as one likes");
    for file in ["icudtl.dat", "resources.pak"] {
        fs::write(home.path().join(file), "").unwrap();
    }
    let words = format!("hallpass: slack runs already (pid {}): ", first.id());
    let warning = warned(&["./slack", "0"]);
    assert!(warning.starts_with(&words) && warning.contains("Quit it first"), "{warning}");
    fs::create_dir(home.path().join("bin")).unwrap();
    let script = home.path().join("bin/slack");
    fs::write(&script, "#!/bin/sh\nexit 0\n").unwrap();
    assert!(Command::new("chmod").args(["+x", script.to_str().unwrap()]).status().unwrap().success());
    assert!(warned(&["bin/slack"]).starts_with(&words), "a script that starts it");
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(warned(&["./slack", "0"]), "");
}

/// A corporate proxy that wants NTLM, and a configuration that leads there.
struct Office {
    home: TempDir,
    proxy: CorporateProxy,
    _origin: Origin,
}

impl Office {
    async fn open() -> Self {
        let accounts = Accounts::new([Account::new("PRACTICE", "alice", "right")]);
        let origin = Origin::start(OriginOptions { accounts: accounts.clone(), tls: None }).await.unwrap();
        let options = ProxyOptions {
            gate: Gate::new([Offer::Ntlm], accounts, "PRACTICE"),
            names: Names::none().with("*.practice", Place::At(origin.addr())),
            ..ProxyOptions::default()
        };
        let proxy = CorporateProxy::start(options).await.unwrap();
        let home = home();
        let file = home.path().join(".config/hallpass/hallpass.toml");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let text = format!(
            "listen = [\"127.0.0.1:1\"]\n[upstreams.office]\nurl = \"http://{}\"\n[credentials.me]\n\
             user = 'PRACTICE\\alice'\n[[tunnels]]\nlisten = \"127.0.0.1:2\"\ntarget = \"mail.test:25\"\n",
            proxy.addr()
        );
        fs::write(file, text).unwrap();
        Self { home, proxy, _origin: origin }
    }

    fn run(&self, password: &str) -> Running {
        let mut command = hallpass(&self.home, &[&["run", "--"], &ASKED[..]].concat());
        command.env("HALLPASS_PASSWORD", password);
        Running::start(command)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_have_each_a_relay_by_the_users_configuration() {
    let office = Office::open().await;
    let (mut one, mut other) = (office.run("right"), office.run("right"));
    let (first, second) = (one.relay(), other.relay());
    assert_ne!(first, second);
    for relay in [first, second] {
        let answer = get(relay, "http://o.practice/hello");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    one.say("end");
    assert_eq!(one.end(), (Some(3), String::new()));
    assert!(get(second, "http://o.practice/hello").starts_with("HTTP/1.1 200 "));
    other.say("end");
    assert_eq!(other.end(), (Some(3), String::new()));
    assert_eq!(office.proxy.record().logons().rejected, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_tried_once_by_all_runs_and_it_is_said_where_to_look() {
    let office = Office::open().await;
    for _ in 0..2 {
        let mut running = office.run("wrong");
        let answer = get(running.relay(), "http://o.practice/hello");
        assert!(answer.starts_with("HTTP/1.1 407 "), "{answer}");
        running.say("end");
        let (code, error) = running.end();
        assert_eq!(code, Some(3));
        let place = error.strip_prefix("hallpass: a request failed: see ").unwrap_or_else(|| panic!("{error}"));
        let records = fs::read_to_string(PathBuf::from(place.trim_end())).unwrap();
        assert!(records.contains("o.practice") && !records.contains("wrong"), "{records}");
    }
    assert_eq!(office.proxy.record().logons().rejected, 1);
}

/// A menu with one entry a file, and nothing else of the machine.
fn menu(home: &TempDir, entries: &[(&str, &str)]) {
    for (id, lines) in entries {
        let file = home.path().join(format!("data/applications/{id}.desktop"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, format!("[Desktop Entry]\nType=Application\n{lines}\n")).unwrap();
    }
}

fn app(home: &TempDir, arguments: &[&str]) -> Output {
    let mut command = hallpass(home, &[&["run", "--no-config", "--app"], arguments].concat());
    command.env("XDG_DATA_HOME", home.path().join("data")).env("XDG_DATA_DIRS", home.path().join("none"));
    command.output().unwrap()
}

#[test]
fn an_installed_program_is_started_by_its_name_with_the_variables_and_the_arguments() {
    let home = home();
    fs::create_dir(home.path().join("its place")).unwrap();
    let script = home.path().join("my program");
    fs::write(&script, "#!/bin/sh\necho \"$http_proxy\" \"$(pwd)\"\nprintf '<%s>' \"$@\"\nexit 5\n").unwrap();
    assert!(Command::new("chmod").arg("+x").arg(&script).status().unwrap().success());
    let directory = home.path().display();
    let lines =
        format!("Name=My Editor\nExec=\"{directory}/my program\" --title %c %U 100%%\nPath={directory}/its place");
    menu(&home, &[("vendor/editor", &lines)]);
    for name in ["my editor", "vendor-editor", "vendor-editor.desktop", "MY PROGRAM"] {
        let output = app(&home, &[name, "--", "--flag", "a b"]);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(5), String::new()), "{name}");
        let shown = text(&output.stdout);
        let (first, rest) = shown.split_once('\n').unwrap();
        assert!(first.starts_with("http://127.0.0.1:") && first.ends_with("/its place"), "{shown}");
        assert_eq!(rest, "<--title><My Editor><100%><--flag><a b>", "{name}");
    }
}

#[test]
fn a_name_of_no_installed_program_or_of_several_is_answered_with_what_there_is() {
    let home = home();
    menu(
        &home,
        &[
            ("a-notes", "Name=Notes\nExec=true"),
            ("b-notes", "Name=Notes\nExec=false"),
            ("handler", "Name=Solo\nExec=false %u\nNoDisplay=true"),
            ("solo-app", "Name=Solo\nExec=true"),
            ("bus", "Name=Bus\nDBusActivatable=true"),
            ("gone", "Name=Gone\nExec=true\nTryExec=/none/gone"),
            ("broken", "Name=Broken\nExec=/none/broken"),
        ],
    );
    for (name, code, words) in [
        ("Solo", 0, ""),
        ("a-notes", 0, ""),
        (
            "notes",
            126,
            "hallpass: notes is the name of 2 programs; say which, with --app and one of: a-notes, b-notes\n",
        ),
        ("Solos", 127, "hallpass: no installed program is called Solos (did you mean Solo?); looked through "),
        ("Gone", 127, "hallpass: no installed program is called Gone"),
        ("Broken", 127, "hallpass: there is no program /none/broken\n"),
        (
            "Bus",
            126,
            "hallpass: Bus is installed and cannot be started with an environment: it is started over D-Bus alone",
        ),
    ] {
        let output = app(&home, &[name]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{name} {said}");
        assert!(said.starts_with(words) && words.is_empty() == said.is_empty(), "{name} {said}");
    }
    let said = text(&app(&home, &["none"]).stderr);
    assert!(said.contains(&format!("looked through {}/data/applications, ", home.path().display())), "{said}");
}
