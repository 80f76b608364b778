//! `hallpass config init`: a newcomer's answers at a terminal, or flags without one, in front of the practice proxy.
//!
//! The store of secrets is the kernel's key ring, under names that no other run has.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

#[path = "terminal/mod.rs"]
mod terminal;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use hallpass::practice::{
    Account, Accounts, CorporateProxy, Gate, Names, Offer, Origin, OriginOptions, Place, ProxyOptions,
};
use tempfile::TempDir;
use terminal::Terminal;

const PASSWORD: &str = "pä\u{df}wörd 1";

/// A user of this machine who has just got the binary, with an account that nobody else has.
struct Newcomer {
    home: TempDir,
    user: String,
    variables: Vec<(&'static str, String)>,
}

impl Newcomer {
    fn new() -> Self {
        let mut random = [0; 8];
        getrandom::fill(&mut random).unwrap();
        let user = format!("PRACTICE\\a{:x}", u64::from_ne_bytes(random));
        Self { home: tempfile::tempdir().unwrap(), user, variables: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    fn hallpass(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hallpass"));
        let home = self.home.path();
        command.env_clear().env("HOME", home).env("XDG_RUNTIME_DIR", home).current_dir(home);
        // Not that of whoever runs the tests.
        command.env("KRB5CCNAME", format!("FILE:{}", home.join("no-ticket").display()));
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).args(arguments);
        command
    }

    fn init(&self, flags: &[&str]) -> Command {
        self.hallpass(&[&["config", "init"], flags].concat())
    }

    fn at_the_terminal(&self, flags: &[&str]) -> Terminal {
        Terminal::start(&self.init(flags))
    }

    fn file(&self) -> PathBuf {
        self.home.path().join(".config/hallpass/hallpass.toml")
    }

    fn written(&self) -> String {
        assert_eq!(fs::metadata(self.file()).unwrap().permissions().mode() & 0o777, 0o600);
        fs::read_to_string(self.file()).unwrap()
    }

    /// Takes the password out of the store, and says whether it was there. It asks for a fresh start, too.
    fn had_stored(&self) -> bool {
        let mut logout = self.hallpass(&["logout", "--no-config", &self.user]);
        let logout = said(logout.env_remove("HALLPASS_PASSWORD"), "");
        assert_eq!(logout.code, Some(0), "{}", logout.error);
        logout.out.contains("is removed from")
    }

    fn left_nothing(&self) {
        assert!(!self.file().exists());
        assert!(!self.had_stored());
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        let _told_by_the_test = self.hallpass(&["logout", "--no-config", &self.user]).output();
    }
}

/// What a command printed, and its exit code.
struct Said {
    out: String,
    error: String,
    code: Option<i32>,
}

fn said(command: &mut Command, stdin: &str) -> Said {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _it_may_not_want_it = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { out: text(stdout), error: text(stderr), code: status.code() }
}

/// A company: its proxy, and what stands behind it.
struct Office {
    proxy: CorporateProxy,
    _origin: Origin,
}

impl Office {
    async fn of(newcomer: &Newcomer, offers: &[Offer]) -> Self {
        let name = newcomer.user.strip_prefix("PRACTICE\\").unwrap();
        let accounts = Accounts::new([Account::new("PRACTICE", name, PASSWORD)]);
        let origin = Origin::start(OriginOptions { accounts: accounts.clone(), tls: None }).await.unwrap();
        let options = ProxyOptions {
            gate: Gate::new(offers.iter().copied(), accounts, "PRACTICE"),
            names: Names::none().with("*.anthropic.com", Place::At(origin.addr())),
            denied: vec!["denied.anthropic.com".into()],
            ..ProxyOptions::default()
        };
        Self { proxy: CorporateProxy::start(options).await.unwrap(), _origin: origin }
    }

    fn address(&self) -> String {
        self.proxy.addr().to_string()
    }

    fn url(&self) -> String {
        format!("http://{}", self.proxy.addr())
    }

    /// Accepted and rejected.
    fn logons(&self) -> (u64, u64) {
        let logons = self.proxy.record().logons();
        (logons.accepted, logons.rejected)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_answers_make_a_configuration_that_was_seen_to_work() {
    let newcomer = Newcomer::new();
    let office = Office::of(&newcomer, &[Offer::Ntlm]).await;
    let mut terminal = newcomer.at_the_terminal(&[]);
    terminal.answer("Proxy (host:port), or address of its PAC script: ", &office.address());
    terminal.answer("User (DOMAIN\\user, user@REALM or user): ", &newcomer.user);
    terminal.answer("Password of ", PASSWORD);
    terminal.see(&format!("It works: {} let {} through to api.anthropic.com:443 (NTLM).", office.url(), newcomer.user));
    terminal.see("# the password of ");
    terminal.see("# written: ");
    terminal.see("# start it: hallpass\r\n");
    terminal.see("export HTTPS_PROXY=http://127.0.0.1:3128 https_proxy=http://127.0.0.1:3128\r\n");
    terminal.see("export HTTP_PROXY=http://127.0.0.1:3128 http_proxy=http://127.0.0.1:3128\r\n");
    assert_eq!(terminal.code(), Some(0));
    assert!(!terminal.shown.contains(PASSWORD), "{}", terminal.shown);
    assert_eq!(office.logons(), (1, 0));

    let text = newcomer.written();
    assert!(!text.contains(PASSWORD) && text.contains(&office.url()) && text.contains(&newcomer.user), "{text}");
    let check = said(&mut newcomer.hallpass(&["config", "check"]), "");
    assert_eq!(check.code, Some(0), "{}", check.error);
    assert!(newcomer.had_stored());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_system_says_needs_no_typing_and_a_proxy_that_asks_nobody_gets_no_account() {
    let newcomer = Newcomer::new();
    let office = Office::of(&newcomer, &[]).await;
    let newcomer = newcomer.with("https_proxy", office.url()).with("no_proxy", ".corp.test,10.0.0.0/8");
    let mut terminal = newcomer.at_the_terminal(&[]);
    terminal.answer(
        &format!("Proxy, or address of its PAC script [{}, from the environment variable https_proxy]: ", office.url()),
        "",
    );
    terminal.see("asked for no log-in.");
    terminal.see("# written: ");
    assert_eq!(terminal.code(), Some(0));
    let text = newcomer.written();
    assert!(text.contains("no_proxy = [\".corp.test\", \"10.0.0.0/8\"]"), "{text}");
    assert!(!text.contains("\n[credentials"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_in_the_proxys_url_is_suggested_and_the_password_beside_it_is_not_shown() {
    let newcomer = Newcomer::new();
    let office = Office::of(&newcomer, &[Offer::Ntlm]).await;
    let user = newcomer.user.replace('\\', "%5C");
    let url = format!("http://{user}:in-the-open@{}", office.address());
    let newcomer = newcomer.with("HTTPS_PROXY", url);
    let mut terminal = newcomer.at_the_terminal(&[]);
    terminal.answer(&format!("[{}, from the environment variable HTTPS_PROXY]: ", office.url()), "");
    terminal.answer(&format!("User (DOMAIN\\user, user@REALM or user) [{}]: ", newcomer.user), "");
    terminal.answer("Password of ", PASSWORD);
    terminal.see("# written: ");
    assert_eq!((terminal.code(), office.logons()), (Some(0), (1, 0)));
    assert!(!terminal.shown.contains("in-the-open") && !newcomer.written().contains("in-the-open"));
    assert!(newcomer.had_stored());
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_cannot_be_are_explained_and_asked_for_again() {
    let newcomer = Newcomer::new();
    let office = Office::of(&newcomer, &[Offer::Ntlm]).await;
    let mut terminal = newcomer.at_the_terminal(&[]);
    terminal.answer("PAC script: ", "proxy.corp.test");
    terminal.see("That will not do: the port is missing (http://HOST:PORT, often :8080 or :3128).");
    terminal.answer("PAC script: ", "");
    terminal.answer("PAC script: ", &office.address());
    terminal.answer("user): ", "PRACTICE\\");
    terminal.see("That is no user: the name is empty.");
    terminal.answer("user): ", "");
    terminal.answer("user): ", &newcomer.user);
    terminal.answer("Password of ", "");
    terminal.see("The password is empty.");
    terminal.answer("Password of ", PASSWORD);
    terminal.see("# written: ");
    assert_eq!(terminal.code(), Some(0));
    assert_eq!(office.logons(), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_costs_one_logon_and_is_asked_for_again_only_if_wanted() {
    let newcomer = Newcomer::new();
    let office = Office::of(&newcomer, &[Offer::Ntlm]).await;
    let flags = ["--upstream", &office.address(), "--user", &newcomer.user].map(str::to_owned);
    let flags = flags.each_ref().map(String::as_str);
    let refused = format!("did not accept the password of {} (NTLM)", newcomer.user);
    let mut terminal = newcomer.at_the_terminal(&flags);
    terminal.answer("Password of ", "wrong");
    terminal.see(&refused);
    terminal.answer("Try once more with another user or password? [y/N]: ", "");
    terminal.see("nothing was written or stored");
    assert_eq!((terminal.code(), office.logons()), (Some(1), (0, 1)));
    assert!(!newcomer.file().exists());

    let mut terminal = newcomer.at_the_terminal(&flags);
    terminal.answer("Password of ", "wrong");
    terminal.see("was refused before, so it was not sent again");
    terminal.answer("Try once more with another user or password? [y/N]: ", "y");
    terminal.answer(&format!("[{}]: ", newcomer.user), "");
    terminal.answer("Password of ", PASSWORD);
    terminal.see("It works");
    terminal.see("# written: ");
    assert_eq!((terminal.code(), office.logons()), (Some(0), (1, 1)));
    assert!(newcomer.had_stored());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_wrong_password_is_the_last_one() {
    let newcomer = Newcomer::new();
    let office = Office::of(&newcomer, &[Offer::Ntlm]).await;
    let mut terminal = newcomer.at_the_terminal(&["--upstream", &office.address(), "--user", &newcomer.user]);
    terminal.answer("Password of ", "wrong");
    terminal.answer("[y/N]: ", "y");
    terminal.answer("]: ", "");
    terminal.answer("Password of ", "wrong too");
    terminal.see("did not accept");
    terminal.see("nothing was written or stored");
    assert_eq!((terminal.code(), office.logons()), (Some(1), (0, 2)));
    newcomer.left_nothing();
}

/// An address where nobody is.
fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_out_of_reach_is_told_before_anything_else_is_asked_and_can_be_corrected() {
    let newcomer = Newcomer::new();
    let office = Office::of(&newcomer, &[Offer::Ntlm]).await;
    let mut terminal = newcomer.at_the_terminal(&[]);
    terminal.answer("PAC script: ", &nobody());
    terminal.see("cannot be used: ");
    terminal.answer("keep: go on without trying it): ", "http://nonsense");
    terminal.see("That will not do");
    terminal.answer("keep: go on without trying it): ", &office.address());
    terminal.answer("user): ", &newcomer.user);
    terminal.answer("Password of ", PASSWORD);
    terminal.see("It works");
    terminal.see("# written: ");
    assert_eq!((terminal.code(), office.logons()), (Some(0), (1, 0)));
    assert!(newcomer.written().contains(&office.url()));
}

#[test]
fn a_file_can_be_written_although_the_proxy_is_out_of_reach() {
    let newcomer = Newcomer::new();
    let address = nobody();
    let mut terminal = newcomer.at_the_terminal(&["--upstream", &address]);
    terminal.answer("keep: go on without trying it): ", "keep");
    terminal.answer("nothing: no log-in, or that of a Kerberos ticket): ", &newcomer.user);
    terminal.answer("Password of ", PASSWORD);
    terminal.see("# the password of ");
    terminal.see("# written: ");
    assert_eq!(terminal.code(), Some(0));
    let text = newcomer.written();
    assert!(text.contains(&address) && text.contains(&newcomer.user), "{text}");
    assert!(newcomer.had_stored());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_forbidden_after_the_log_on_says_that_the_account_is_good() {
    let newcomer = Newcomer::new();
    let office = Office::of(&newcomer, &[Offer::Ntlm]).await;
    let mut init = newcomer.init(&[
        "--upstream",
        &office.address(),
        "--user",
        &newcomer.user,
        "--password-stdin",
        "--try-target",
        "denied.anthropic.com:443",
    ]);
    let init = said(&mut init, &format!("{PASSWORD}\n"));
    assert_eq!((init.code, office.logons()), (Some(0), (1, 0)), "{}", init.error);
    let words = format!("accepted {} (NTLM), but this target is forbidden (403)", newcomer.user);
    assert!(init.error.contains(&words), "{}", init.error);
    assert!(newcomer.had_stored() && newcomer.file().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_nothing_is_asked_and_what_is_missing_is_named_with_its_flag() {
    let newcomer = Newcomer::new();
    let office = Office::of(&newcomer, &[Offer::Ntlm]).await;
    let address = office.address();
    for (flags, stdin, code, words) in [
        (
            &[][..],
            "",
            2,
            "--upstream: the system names no proxy, so one is to be named (--upstream HOST:PORT, or --pac",
        ),
        (&["--upstream", &address][..], "", 2, "--user: the proxy asks for a log-in, and no user is named"),
        (&["--upstream", &address, "--user", &newcomer.user], "", 2, "--password-stdin: the password of "),
        (&["--upstream", &address, "--password-stdin"], "x", 2, "--user: whose password?"),
        (&["--upstream", &address, "--user", &newcomer.user, "--password-stdin"], "\n", 1, "is empty"),
        (&["--upstream", "proxy", "--user", "A\\"], "", 2, "--upstream: the port is missing"),
        (&["--upstream", &nobody()], "", 1, "nothing was written or stored; --no-try writes the file without trying"),
    ] {
        let init = said(&mut newcomer.init(flags), stdin);
        assert_eq!(init.code, Some(code), "{flags:?} {}", init.error);
        assert!(init.error.contains(words), "{flags:?} {}", init.error);
        assert_eq!(init.out, "", "{flags:?}");
        newcomer.left_nothing();
    }
    assert_eq!(office.logons(), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_a_password_is_tried_once_and_stored_if_it_is_good() {
    let newcomer = Newcomer::new();
    let office = Office::of(&newcomer, &[Offer::Ntlm]).await;
    let address = office.address();
    let flags = ["--upstream", &address, "--user", &newcomer.user, "--password-stdin"];
    for words in ["did not accept the password of", "was refused before, so it was not sent again"] {
        let wrong = said(&mut newcomer.init(&flags), "wrong\n");
        assert_eq!((wrong.code, office.logons()), (Some(1), (0, 1)), "{}", wrong.error);
        assert!(wrong.error.contains(words), "{}", wrong.error);
        assert!(!newcomer.file().exists());
    }
    let right = said(&mut newcomer.init(&flags), &format!("{PASSWORD}\n"));
    assert_eq!((right.code, office.logons()), (Some(0), (1, 1)), "{}", right.error);
    assert!(right.out.lines().all(|line| line.starts_with("# ") || line.starts_with("export ")), "{}", right.out);
    assert!(!(right.out + &right.error).contains(PASSWORD));
    assert!(newcomer.had_stored());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_the_variable_is_tried_and_stays_there() {
    let newcomer = Newcomer::new().with("HALLPASS_PASSWORD", PASSWORD);
    let office = Office::of(&newcomer, &[Offer::Ntlm]).await;
    let init = said(&mut newcomer.init(&["--upstream", &office.address(), "--user", &newcomer.user]), "");
    assert_eq!((init.code, office.logons()), (Some(0), (1, 0)), "{}", init.error);
    assert!(newcomer.file().exists() && !newcomer.had_stored());
}

#[tokio::test(flavor = "multi_thread")]
async fn giving_up_at_any_question_leaves_nothing_half_done() {
    let newcomer = Newcomer::new();
    let office = Office::of(&newcomer, &[Offer::Ntlm]).await;
    for (answers, keys, words) in [
        (0, "\x03", "interrupted: nothing was written or stored"),
        (0, "\x04", "the input has ended: nothing was written or stored"),
        (1, "half\x03", "interrupted: nothing was written or stored"),
        (1, "\x04", "the input has ended: nothing was written or stored"),
        (2, "half\x03", "interrupted: nothing was written or stored"),
    ] {
        let mut terminal = newcomer.at_the_terminal(&[]);
        let questions = [("PAC script: ", office.address()), ("user): ", newcomer.user.clone())];
        for (question, answer) in &questions[..answers] {
            terminal.answer(question, answer);
        }
        terminal.see(["PAC script: ", "user): ", "Password of "][answers]);
        terminal.wait_for_the_echo(answers < 2);
        terminal.press(keys);
        terminal.see(words);
        assert_eq!(terminal.code(), Some(1), "{}", terminal.shown);
        assert!(terminal.echoes(), "the terminal is left as it was");
        newcomer.left_nothing();
    }
    assert_eq!(office.logons(), (0, 0));
}

#[test]
fn a_proxy_that_says_nothing_is_waited_for_no_longer_than_the_person_likes() {
    let newcomer = Newcomer::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut terminal = newcomer.at_the_terminal(&["--upstream", &silent.local_addr().unwrap().to_string()]);
    terminal.see("Trying ");
    let _asked = silent.accept().unwrap();
    terminal.press("\x03");
    terminal.see("interrupted: nothing was written or stored");
    assert_eq!(terminal.code(), Some(1));
    newcomer.left_nothing();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_login_has_stored_before_is_tried_and_needs_no_typing() {
    let newcomer = Newcomer::new();
    let office = Office::of(&newcomer, &[Offer::Ntlm]).await;
    let login = said(&mut newcomer.hallpass(&["login", "--password-stdin", &newcomer.user]), PASSWORD);
    assert_eq!(login.code, Some(0), "{}", login.error);
    let init = said(&mut newcomer.init(&["--upstream", &office.address(), "--user", &newcomer.user]), "");
    assert_eq!((init.code, office.logons()), (Some(0), (1, 0)), "{}", init.error);
    assert!(init.error.contains("It works") && newcomer.file().exists(), "{}", init.error);
    assert!(newcomer.had_stored());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_could_not_be_tried_is_stored_only_if_that_is_wanted() {
    for (answer, is_stored) in [("n", false), ("", true)] {
        let newcomer = Newcomer::new();
        let office = Office::of(&newcomer, &[]).await;
        let flags = ["--upstream", &office.address(), "--try-target", "denied.anthropic.com:443"].map(str::to_owned);
        let flags = flags.each_ref().map(String::as_str);
        let mut terminal = newcomer.at_the_terminal(&flags);
        terminal.see("did not ask for a log-in, but this target is forbidden (403)");
        terminal.answer("or that of a Kerberos ticket): ", &newcomer.user);
        terminal.answer("Password of ", PASSWORD);
        terminal.answer("Store it all the same? [Y/n]: ", answer);
        terminal.see("# written: ");
        assert_eq!(terminal.code(), Some(0));
        assert_eq!(newcomer.had_stored(), is_stored);
        fs::remove_file(newcomer.file()).unwrap();
        let stdin = [&flags[..], &["--user", &newcomer.user, "--password-stdin"]].concat();
        let refused = said(&mut newcomer.init(&stdin), PASSWORD);
        assert!(refused.code == Some(1) && refused.error.contains("--no-try stores it untried"), "{}", refused.error);
        newcomer.left_nothing();
    }
}

#[test]
fn the_template_has_every_key_and_needs_nothing() {
    let newcomer = Newcomer::new();
    let init = said(&mut newcomer.init(&["--template"]), "");
    assert_eq!((init.code, init.error.as_str()), (Some(0), ""));
    assert_eq!(newcomer.written(), include_str!("../examples/hallpass.toml"));
}

#[tokio::test(flavor = "multi_thread")]
async fn basic_is_used_only_by_whoever_agrees_to_it() {
    let newcomer = Newcomer::new();
    let office = Office::of(&newcomer, &[Offer::Basic]).await;
    let mut terminal = newcomer.at_the_terminal(&["--upstream", &office.address()]);
    terminal.see("for everyone on the way to read");
    terminal.answer("Use it all the same? [y/N]: ", "perhaps");
    terminal.see("y or n?");
    terminal.answer("[y/N]: ", "y");
    terminal.answer("user): ", &newcomer.user);
    terminal.answer("Password of ", PASSWORD);
    terminal.see("(Basic).");
    terminal.see("# written: ");
    assert_eq!((terminal.code(), office.logons()), (Some(0), (1, 0)));
    assert!(newcomer.written().contains("schemes = [\"negotiate\", \"ntlm\", \"digest\", \"basic\"]"));
    assert!(newcomer.had_stored());

    let alone = Newcomer::new();
    let mut terminal = alone.at_the_terminal(&["--upstream", &office.address()]);
    terminal.answer("Use it all the same? [y/N]: ", "n");
    terminal.see("nothing was written or stored");
    assert_eq!(terminal.code(), Some(1));
    alone.left_nothing();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_has_its_proxies_written_down_as_those_who_may_receive_the_password() {
    let newcomer = Newcomer::new();
    let office = Office::of(&newcomer, &[Offer::Ntlm]).await;
    let script = format!("function FindProxyForURL(url, host) {{ return 'PROXY {}'; }}", office.address());
    fs::write(newcomer.home.path().join("p.pac"), script).unwrap();
    let mut terminal = newcomer.at_the_terminal(&[]);
    terminal.answer("PAC script: ", "no-such.pac");
    terminal.see("the PAC script ");
    terminal.see("no-such.pac cannot be used: ");
    terminal.answer("keep: go on without trying it): ", "p.pac");
    terminal.answer("user): ", &newcomer.user);
    terminal.answer("Password of ", PASSWORD);
    terminal.see("It works");
    terminal.see("# written: ");
    assert_eq!((terminal.code(), office.logons()), (Some(0), (1, 0)));
    let text = newcomer.written();
    let place = newcomer.home.path().join("p.pac");
    assert!(text.contains("\nfor = [\"127.0.0.1\"]\n") && text.contains(place.to_str().unwrap()), "{text}");
    assert!(newcomer.had_stored());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_there_is_replaced_on_demand_and_never_lost() {
    let newcomer = Newcomer::new();
    let office = Office::of(&newcomer, &[]).await;
    fs::create_dir_all(newcomer.file().parent().unwrap()).unwrap();
    fs::write(newcomer.file(), "# mine\n").unwrap();
    let address = office.address();
    let flags = ["--upstream", address.as_str()];
    let refused = said(&mut newcomer.init(&flags), "");
    assert!(refused.code == Some(1) && refused.error.contains("--force replaces it"), "{}", refused.error);
    let mut terminal = newcomer.at_the_terminal(&flags);
    terminal.answer("Replace it, and keep a copy beside it? [y/N]: ", "");
    terminal.see("is there already");
    assert_eq!(terminal.code(), Some(1));
    assert_eq!(fs::read_to_string(newcomer.file()).unwrap(), "# mine\n");

    let copy = |number: u32| PathBuf::from(format!("{}.before-{number}", newcomer.file().display()));
    let mut terminal = newcomer.at_the_terminal(&flags);
    terminal.answer("Replace it, and keep a copy beside it? [y/N]: ", "y");
    terminal.see("# what was there is kept: ");
    assert_eq!(terminal.code(), Some(0));
    let first = newcomer.written();
    assert_eq!(fs::read_to_string(copy(1)).unwrap(), "# mine\n");
    assert_eq!(fs::metadata(copy(1)).unwrap().permissions().mode() & 0o777, 0o600);
    let forced = said(&mut newcomer.init(&[&flags[..], &["--force"]].concat()), "");
    assert_eq!(forced.code, Some(0), "{}", forced.error);
    assert_eq!(fs::read_to_string(copy(2)).unwrap(), first);
}

/// A relay that ends with the test.
struct Serving(Child);

impl Serving {
    fn start(newcomer: &Newcomer) -> (Self, String) {
        let mut child =
            newcomer.hallpass(&["serve", "--listen", "127.0.0.1:0"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let addr = loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the relay ended");
            if let Some((_, addr)) = line.trim().split_once("listening on ") {
                break addr.to_owned();
            }
        };
        // What nobody reads would stop it some day.
        std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
        (Self(child), addr)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_runs_takes_the_file_and_is_the_one_to_be_used() {
    let newcomer = Newcomer::new();
    let office = Office::of(&newcomer, &[]).await;
    let (serving, addr) = Serving::start(&newcomer);
    let init = said(&mut newcomer.init(&["--upstream", &office.address()]), "");
    assert_eq!(init.code, Some(0), "{}", init.error);
    let words = format!("# hallpass already runs (pid {}) and has taken the file\n", serving.0.id());
    assert!(init.out.contains(&words), "{}", init.out);
    assert!(init.out.ends_with(&format!("export HTTP_PROXY=http://{addr} http_proxy=http://{addr}\n")), "{}", init.out);
}

#[test]
fn what_is_silent_on_the_relays_port_is_waited_for_a_few_seconds() {
    let newcomer = Newcomer::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = silent.local_addr().unwrap().to_string();
    let began = Instant::now();
    let flags = ["--no-try", "--upstream", "proxy.test:8080", "--listen", &listen, "--config", "my own.toml"];
    let init = said(&mut newcomer.init(&flags), "");
    assert_eq!(init.code, Some(0), "{}", init.error);
    // By its name alone it would go by another file.
    let start = format!("# start it: hallpass --config '{}'\n", newcomer.home.path().join("my own.toml").display());
    assert!(
        init.out.contains(&start) && init.out.contains(&format!("export HTTPS_PROXY=http://{listen}")),
        "{}",
        init.out
    );
    let status = said(&mut newcomer.hallpass(&["status", "--no-config", "--listen", &listen]), "");
    assert_eq!(status.code, Some(1), "{}", status.error);
    assert!(status.error.contains("does not answer within 3 s"), "{}", status.error);
    assert!(began.elapsed() < Duration::from_secs(45), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_tries_shows_the_password_once_and_its_exit_code_says_what_became_of_it() {
    let newcomer = Newcomer::new();
    let office = Office::of(&newcomer, &[Offer::Ntlm]).await;
    let flags = ["--no-config", "--upstream", &office.address(), "--user", &newcomer.user];
    let check = |password: &str, more: &[&str]| {
        let mut command = newcomer.hallpass(&[&["config", "check"], &flags[..], more].concat());
        said(command.env("HALLPASS_PASSWORD", password), "")
    };
    let without = check("wrong", &[]);
    assert_eq!(
        (without.code, office.logons()),
        (Some(0), (0, 0)),
        "nothing is sent unless asked for: {}",
        without.error
    );

    let good = check(PASSWORD, &["--try"]);
    assert_eq!((good.code, office.logons()), (Some(0), (1, 0)), "{}", good.error);
    assert!(good.out.contains("It works: ") && good.out.contains("to api.anthropic.com:443 (NTLM)"), "{}", good.out);

    let bad = check("wrong", &["--try", "www.anthropic.com:443"]);
    assert_eq!((bad.code, office.logons()), (Some(1), (1, 1)), "{}", bad.out);
    assert!(bad.error.contains(&format!("did not accept the password of {} (NTLM)", newcomer.user)), "{}", bad.error);
    let again = check("wrong", &["--try"]);
    assert_eq!((again.code, office.logons()), (Some(1), (1, 1)), "the record of the first trial counts");
    assert!(again.error.contains("Nothing was tried"), "{}", again.error);
    assert!(![good.out, bad.error, again.error].concat().contains(PASSWORD));

    let forbidden = check(PASSWORD, &["--try", "denied.anthropic.com:443"]);
    assert_eq!(forbidden.code, Some(0), "the password is good: {}", forbidden.error);
    assert!(forbidden.out.contains("but this target is forbidden (403)"), "{}", forbidden.out);

    let direct = check(PASSWORD, &["--no-proxy", "anthropic.com", "--try"]);
    assert_eq!(direct.code, Some(1), "{}", direct.out);
    assert!(direct.error.contains("No proxy was tried"), "{}", direct.error);
    drop(office);
    let gone = check(PASSWORD, &["--try"]);
    assert_eq!(gone.code, Some(1), "{}", gone.out);
    assert!(gone.error.contains("cannot be used"), "{}", gone.error);
    let mistaken = check(PASSWORD, &["--grace", "5", "--try"]);
    assert_eq!(mistaken.code, Some(2), "{}", mistaken.error);
}
