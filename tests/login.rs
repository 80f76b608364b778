//! `hallpass login` and `logout`: a password on its way into the system's store, and the relay that finds it there.
//!
//! The store is the kernel's key ring, under names that no other run has.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

#[path = "terminal/mod.rs"]
mod terminal;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use hallpass::practice::{
    Account, Accounts, CorporateProxy, Gate, Names, Offer, Origin, OriginOptions, Place, ProxyOptions,
};
use tempfile::TempDir;
use terminal::Terminal;

/// Far more than anything here needs.
const PATIENCE: Duration = Duration::from_secs(20);

const PASSWORD: &str = "pä\u{df}wörd \"1\" ";

/// A home of its own, and an account whose password leaves the store with it.
struct Home {
    directory: TempDir,
    user: String,
}

impl Home {
    fn new() -> Self {
        let mut random = [0; 8];
        getrandom::fill(&mut random).unwrap();
        let user = format!("PRACTICE\\a{:x}", u64::from_ne_bytes(random));
        Self { directory: tempfile::tempdir().unwrap(), user }
    }

    fn name(&self) -> &str {
        self.user.strip_prefix("PRACTICE\\").unwrap()
    }

    /// The user's configuration.
    fn configure(&self, text: &str) {
        let file = self.directory.path().join(".config/hallpass/hallpass.toml");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn hallpass(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hallpass"));
        command.env_clear().env("HOME", self.directory.path()).env("XDG_RUNTIME_DIR", self.directory.path());
        command.args(arguments);
        command
    }

    fn run(&self, arguments: &[&str], stdin: &str) -> Said {
        said(self.hallpass(arguments), stdin)
    }

    fn generation(&self) -> u64 {
        let file = self.directory.path().join(".local/state/hallpass/generation");
        fs::read_to_string(file).unwrap_or_default().trim().parse().unwrap_or(0)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let user = self.user.clone();
        let _told_by_the_test = self.hallpass(&["logout", "--no-config", &user]).output();
    }
}

/// What a command printed, and its exit code.
struct Said {
    out: String,
    error: String,
    code: Option<i32>,
}

fn said(mut command: Command, stdin: &str) -> Said {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _it_may_not_want_it = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { out: text(stdout), error: text(stderr), code: status.code() }
}

/// A relay that ends with the test.
struct Serving {
    child: Child,
    addr: SocketAddr,
}

impl Serving {
    fn start(home: &Home) -> Self {
        let mut command = home.hallpass(&["serve", "--listen", "127.0.0.1:0"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let addr = loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the relay ended");
            if let Some((_, addr)) = line.trim().split_once("listening on ") {
                break addr.parse().unwrap();
            }
        };
        // What nobody reads would stop it some day.
        std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
        Self { child, addr }
    }

    fn get(&self) -> String {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
            .write_all(b"GET http://o.practice/hello HTTP/1.1\r\nHost: o.practice\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

async fn office(home: &Home) -> (CorporateProxy, Origin) {
    let accounts = Accounts::new([Account::new("PRACTICE", home.name(), PASSWORD)]);
    let origin = Origin::start(OriginOptions { accounts: accounts.clone(), tls: None }).await.unwrap();
    let options = ProxyOptions {
        gate: Gate::new([Offer::Ntlm], accounts, "PRACTICE"),
        names: Names::none().with("*.practice", Place::At(origin.addr())),
        ..ProxyOptions::default()
    };
    let proxy = CorporateProxy::start(options).await.unwrap();
    home.configure(&format!(
        "[upstreams.office]\nurl = \"http://{}\"\n[credentials.me]\nuser = '{}'\n",
        proxy.addr(),
        home.user
    ));
    (proxy, origin)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_uses_what_login_has_stored_until_logout() {
    let home = Home::new();
    let (proxy, _origin) = office(&home).await;
    let before = Serving::start(&home);
    let answer = before.get();
    assert!(answer.starts_with("HTTP/1.1 407 "), "{answer}");
    let hint = format!("no password of {} is stored here: run hallpass login", home.user);
    assert!(answer.contains(&hint), "{answer}");
    // A ticket is not what this account lacks.
    assert!(answer.contains("errors.md#no-password") && !answer.contains("kinit"), "{answer}");

    let login = home.run(&["login"], &format!("{PASSWORD}\n"));
    assert_eq!(login.code, Some(0), "{}", login.error);
    assert!(login.out.contains(&format!("the password of {} is stored in ", home.user)), "{}", login.out);
    assert!(login.out.contains("hallpass uses it from now on"), "{}", login.out);
    assert!(!(login.out + &login.error).contains(PASSWORD.trim()));
    let generation = home.generation();
    assert!(generation > 0);

    // The one that was running and one that is started afterwards.
    let after = Serving::start(&home);
    for relay in [&before, &after] {
        let answer = relay.get();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    let logons = proxy.record().logons();
    assert_eq!((logons.accepted, logons.rejected), (2, 0));

    let logout = home.run(&["logout"], "");
    assert_eq!((logout.code, logout.error.as_str()), (Some(0), ""));
    assert!(logout.out.contains(&format!("the password of {} is removed from ", home.user)), "{}", logout.out);
    assert!(home.generation() > generation);
    let answer = Serving::start(&home).get();
    assert!(answer.contains(&hint), "{answer}");
    for relay in [&before, &after] {
        let deadline = Instant::now() + Duration::from_secs(15);
        while !relay.get().contains(&hint) {
            assert!(Instant::now() < deadline, "a relay that runs still has what was removed");
        }
    }
    let again = home.run(&["logout"], "");
    assert_eq!((again.code, again.out), (Some(0), format!("no password of {} was stored\n", home.user)));
}

#[test]
fn without_a_configuration_login_says_how_to_get_one() {
    let home = Home::new();
    let login = home.run(&["login", &home.user, "--password-stdin"], "secret");
    assert_eq!(login.code, Some(0), "{}", login.error);
    let command = format!("hallpass config init --user '{}'\n", home.user);
    assert!(login.out.contains(&command), "{}", login.out);
    let init = home.run(&["config", "init", "--user", &home.user, "--upstream", "http://127.0.0.1:9", "--no-try"], "");
    assert_eq!(init.code, Some(0), "{}", init.error);
    let login = home.run(&["login"], "secret");
    assert!(login.out.contains("hallpass uses it from now on"), "{}", login.out);
}

#[test]
fn login_says_what_the_configuration_lacks_or_has_before_the_store() {
    let home = Home::new();
    let user = home.user.as_str();
    for (config, words) in [
        (
            format!("[credentials.me]\nuser = '{user}'\npassword_command = ['true']\n"),
            "but it is not used: password_command (",
        ),
        ("[credentials.default]\nuser = 'someone.else'\n".into(), "[credentials.login]\nuser = "),
        (format!("[credentials.me]\nuser = '{}'\n", user.to_uppercase()), "hallpass uses it from now on"),
    ] {
        home.configure(&config);
        let login = home.run(&["login", user], "secret\n");
        assert!(login.out.contains(words), "{config} {} {}", login.out, login.error);
    }
    home.configure(&format!("[credentials.me]\nuser = '{user}'\n"));
    let mut command = home.hallpass(&["login"]);
    command.env("HALLPASS_PASSWORD", "x");
    let login = said(command, "secret\n");
    assert!(login.out.contains("but it is not used: HALLPASS_PASSWORD comes first"), "{} {}", login.out, login.error);
    home.run(&["logout", &user.to_uppercase(), "--no-config"], "");
}

#[test]
fn what_cannot_be_a_password_or_a_user_is_refused() {
    let home = Home::new();
    let long = "x".repeat(64 * 1024 + 1);
    for (arguments, stdin, words) in [
        (&["login", &home.user][..], "\n", "the password is empty: nothing was stored"),
        (&["login", &home.user], "", "the password is empty: nothing was stored"),
        (&["login", &home.user], &long, "longer than 64 KiB"),
        (&["login"], "secret\n", "whose password?"),
        (&["logout"], "", "whose password?"),
    ] {
        let login = home.run(arguments, stdin);
        assert_eq!(login.code, Some(1), "{arguments:?}");
        assert!(login.error.contains(words), "{arguments:?} {}", login.error);
    }
    let wrong = home.run(&["login", "A\\B\\c"], "secret\n");
    assert!(wrong.code == Some(2) && wrong.error.contains("more than one \\"), "{}", wrong.error);
    home.configure("[credentials.a]\nuser = 'a'\n[credentials.b]\nuser = 'b'\n");
    let several = home.run(&["login"], "secret\n");
    assert!(several.code == Some(1) && several.error.contains("'a', 'b'"), "{}", several.error);
    assert_eq!(home.run(&["logout", &home.user], "").out, format!("no password of {} was stored\n", home.user));
}

#[test]
fn a_password_is_typed_once_and_never_shown() {
    let home = Home::new();
    let mut terminal = Terminal::start(&home.hallpass(&["login", &home.user]));
    terminal.answer(&format!("Password of {}: ", home.user), "hünter2");
    terminal.see("is stored in");
    assert_eq!(terminal.code(), Some(0));
    assert!(!terminal.shown.contains("nter2"), "{}", terminal.shown);
    assert!(terminal.echoes(), "the terminal is left as it was");
}

#[test]
fn ctrl_c_at_the_question_stores_nothing_and_leaves_the_terminal_as_it_was() {
    let home = Home::new();
    let mut terminal = Terminal::start(&home.hallpass(&["login", &home.user]));
    terminal.see("Password of ");
    terminal.wait_for_the_echo(false);
    terminal.press("half\x03");
    terminal.see("interrupted: nothing was stored");
    assert_eq!(terminal.code(), Some(1));
    assert!(terminal.echoes());
    assert_eq!(home.run(&["logout", &home.user], "").out, format!("no password of {} was stored\n", home.user));
}
