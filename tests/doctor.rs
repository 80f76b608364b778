//! `hallpass doctor` as a person runs it: one fault at a time, and the right cause named first.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hallpass::practice::{
    Account, Accounts, CorporateProxy, Gate, Names, Offer, Origin, OriginOptions, Place, ProxyOptions, Tls,
};
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

const PASSWORD: &str = "P@ss w0rd";
const TARGET: &str = "https://o.practice/";
/// Where public authorities say where a certificate is logged (RFC 6962 §3.3).
const TIMESTAMPS: [u64; 10] = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];

/// A corporate proxy that wants NTLM, an origin that speaks TLS behind it, and a home of its own.
struct Office {
    home: TempDir,
    proxy: CorporateProxy,
    /// The one with TLS, and one without; they end with the office.
    _origins: [Origin; 2],
}

impl Office {
    /// `is_public`: the origin's certificate has what those of public authorities have.
    async fn open(is_public: bool) -> Self {
        let home = tempfile::tempdir().unwrap();
        let tls = Some(tls(&home.path().join("ca.pem"), "Practice Inspection CA", is_public));
        let accounts = Accounts::new([Account::new("PRACTICE", "alice", PASSWORD)]);
        let origin = Origin::start(OriginOptions { accounts: accounts.clone(), tls }).await.unwrap();
        let plain = Origin::start(OriginOptions { accounts: accounts.clone(), tls: None }).await.unwrap();
        let names = Names::none().with("plain.practice", Place::At(plain.addr()));
        let options = ProxyOptions {
            gate: Gate::new([Offer::Ntlm], accounts, "PRACTICE"),
            names: names.with("*.practice", Place::At(origin.addr())),
            denied: vec!["denied.practice".into()],
            ..ProxyOptions::default()
        };
        Self { home, proxy: CorporateProxy::start(options).await.unwrap(), _origins: [origin, plain] }
    }

    fn url(&self) -> String {
        format!("http://{}", self.proxy.addr())
    }

    /// As it should be.
    fn configuration(&self) -> String {
        format!(
            "listen = [\"127.0.0.1:{}\"]\n[upstreams.office]\nurl = \"{}\"\n[credentials.me]\nuser = 'PRACTICE\\alice'\n\
             password = \"${{file:pw}}\"\n",
            closed_port(),
            self.url()
        )
    }

    fn hallpass(&self, arguments: &[&str]) -> Command {
        hallpass(self.home.path(), arguments)
    }

    fn examine(&self, configuration: &str, arguments: &[&str]) -> Said {
        self.examine_with(configuration, PASSWORD, arguments)
    }

    fn examine_with(&self, configuration: &str, password: &str, arguments: &[&str]) -> Said {
        set_up(self.home.path(), configuration, password);
        said(self.hallpass(&[&["doctor", "--json", "--config", "hallpass.toml"], arguments].concat()))
    }

    fn cause_of(&self, configuration: &str, arguments: &[&str]) -> (String, String) {
        self.examine(configuration, arguments).cause()
    }
}

fn hallpass(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallpass"));
    command.env_clear().env("HOME", home).env("XDG_RUNTIME_DIR", home).current_dir(home);
    command.env("SSL_CERT_FILE", home.join("ca.pem")).args(arguments);
    command
}

fn set_up(home: &Path, configuration: &str, password: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(home.join("pw"), password).unwrap();
    fs::set_permissions(home.join("pw"), fs::Permissions::from_mode(0o600)).unwrap();
    let configuration = configuration.replace("${file:pw}", &format!("${{file:{}}}", home.join("pw").display()));
    fs::write(home.join("hallpass.toml"), configuration).unwrap();
}

struct Said {
    report: Value,
    code: Option<i32>,
    took: Duration,
}

fn said(mut command: Command) -> Said {
    let began = Instant::now();
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    let report = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}\n{error}"));
    Said { report, code: output.status.code(), took: began.elapsed() }
}

impl Said {
    /// The name of the check and what it says with what to do; the exit code is that of a fault.
    fn cause(&self) -> (String, String) {
        assert_eq!(self.code, Some(1), "{:#}", self.report);
        let cause = &self.report["cause"];
        let word = |key: &str| cause[key].as_str().unwrap_or_default().to_string();
        (word("name"), format!("{}; {}", word("says"), word("advice")))
    }

    fn check(&self, name: &str) -> &Value {
        let checks = self.report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}: {:#}", self.report))
    }

    fn states(&self) -> Vec<(String, String)> {
        let word = |value: &Value| value.as_str().unwrap().to_string();
        let checks = self.report["checks"].as_array().unwrap().iter();
        checks.map(|check| (word(&check["name"]), word(&check["state"]))).collect()
    }
}

#[track_caller]
fn assert_cause((name, words): &(String, String), expected: &str, all: &[&str]) {
    assert!(name == expected && all.iter().all(|word| words.contains(word)), "{name}: {words}");
}

/// An authority, left as a file for those who are to trust it, and a server's certificate by it.
fn tls(file: &Path, name: &str, is_public: bool) -> Tls {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, name);
    let root = authority.self_signed(&authority_key).unwrap();
    fs::write(file, root.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut server = CertificateParams::new(vec!["o.practice".to_string()]).unwrap();
    if is_public {
        server.custom_extensions.push(CustomExtension::from_oid_content(&TIMESTAMPS, vec![4, 0]));
    }
    let server = server.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config =
        config.with_no_client_auth().with_single_cert(vec![server.der().clone(), root.der().clone()], key).unwrap();
    Tls { config: Arc::new(config), binding: None }
}

/// Nobody listens there, and nobody is given it for a while.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Answers every request with the same bytes, for as long as the test runs.
fn server(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let _it_may_be_gone = stream.write_all(answer.as_bytes());
        }
    });
    addr
}

/// A port whose queue is full: the kernel swallows what comes, as a firewall does.
struct BlackHole {
    addr: SocketAddr,
    _socket: Socket,
    _queue: Vec<TcpStream>,
}

impl BlackHole {
    fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        let mut queue = Vec::new();
        while TcpStream::connect_timeout(&addr, Duration::from_millis(200)).map(|stream| queue.push(stream)).is_ok() {}
        Self { addr, _socket: socket, _queue: queue }
    }
}

/// Checks of other programs and of the machine.
const SURROUNDINGS: [&str; 7] = [
    "variables of programs",
    "settings of Claude Code",
    "variables of Node",
    "version of Node",
    "proxy of git",
    "proxy of npm",
    "VPN",
];

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_wrong_doctor_says_so_in_one_screen() {
    let office = Office::open(true).await;
    set_up(office.home.path(), &office.configuration(), PASSWORD);
    let _relay = Relay::start(&office);
    let report = said(office.hallpass(&["doctor", "--json", "--config", "hallpass.toml", TARGET]));
    assert_eq!((report.code, &report.report["cause"]), (Some(0), &Value::Null), "{:#}", report.report);
    let url = office.url();
    // What else runs on this machine is as it is.
    let states: Vec<_> =
        report.states().into_iter().filter(|(name, _)| !SURROUNDINGS.contains(&name.as_str())).collect();
    let wrong: Vec<_> = states.iter().filter(|(name, state)| state != "ok" && !name.starts_with("kerberos")).collect();
    assert!(wrong.is_empty() && states.len() == 7, "{wrong:?} {:#}", report.report);
    let credential = report.check(&format!("credential {url}"));
    assert!(credential["says"].as_str().unwrap().contains("PRACTICE\\alice by NTLM, with the file "), "{credential}");
    let certificate = report.check("certificate o.practice:443");
    assert!(
        certificate["says"].as_str().unwrap().contains("Practice Inspection CA, a public authority"),
        "{certificate}"
    );
    let listener = report.check("listener");
    assert!(listener["says"].as_str().unwrap().contains("same configuration"), "{listener}");

    let text = office.hallpass(&["doctor", "--config", "hallpass.toml", TARGET]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.starts_with("everything works") && text.contains("\n\n\u{2713} configuration"), "{text}");
    assert!(text.lines().count() < 40, "{text}");
    assert!(!text.contains('\x1b') && !text.contains(PASSWORD), "{text}");
}

/// A relay by the same configuration.
struct Relay(Child);

impl Relay {
    fn start(office: &Office) -> Self {
        let mut command = office.hallpass(&["serve", "--config", "hallpass.toml"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on ") {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the relay ended");
        }
        std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
        Self(child)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_named_and_costs_one_log_on_however_often_doctor_runs() {
    let office = Office::open(true).await;
    let url = office.url();
    let first = office.examine_with(&office.configuration(), "wrong", &[TARGET]);
    assert_cause(&first.cause(), &format!("credential {url}"), &["refused PRACTICE\\alice by NTLM", "hallpass login"]);
    let target = first.check("target o.practice:443");
    assert_eq!(target["because"], format!("credential {url}"), "{:#}", first.report);
    let again = office.examine_with(&office.configuration(), "wrong", &[TARGET, "http://plain.practice/hello"]);
    assert_cause(&again.cause(), &format!("credential {url}"), &["was refused before", "--retry"]);
    assert_eq!(office.proxy.record().logons().rejected, 1);
    let corrected = office.examine(&office.configuration(), &[TARGET, "http://plain.practice/hello"]);
    assert_eq!(corrected.code, Some(0), "{:#}", corrected.report);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_not_configured_or_not_known_is_named() {
    let office = Office::open(true).await;
    let credential = format!("credential {}", office.url());
    let nobody = format!("[upstreams.office]\nurl = \"{}\"\n", office.url());
    assert_cause(&office.cause_of(&nobody, &[TARGET]), &credential, &["no user is configured", "hallpass login"]);
    let unknown = office.configuration().replace("alice", "nobody");
    assert_cause(&office.cause_of(&unknown, &[TARGET]), &credential, &["refused PRACTICE\\nobody", "unknown"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_down_or_swallows_everything_is_named_in_time() {
    let office = Office::open(true).await;
    let hole = BlackHole::new();
    let down = SocketAddr::from(([127, 0, 0, 1], closed_port()));
    for (addr, words) in
        [(down, ["nobody listens", "connection refused"]), (hole.addr, ["no connection within 1 s", "firewall"])]
    {
        let configuration = office.configuration().replace(&office.url(), &format!("http://{addr}"));
        let report = office.examine(&format!("connect_timeout = \"1s\"\n{configuration}"), &[TARGET]);
        assert_cause(&report.cause(), &format!("upstream http://{addr}"), &words);
        assert_eq!(report.check("target o.practice:443")["because"], format!("upstream http://{addr}"));
        assert!(report.took < Duration::from_secs(20), "{:?}", report.took);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_down_is_named_where_a_profile_goes_by_whether_it_can_be_reached() {
    let office = Office::open(true).await;
    let down = format!("127.0.0.1:{}", closed_port());
    for (proxy, check, words) in [
        (down.as_str(), format!("upstream http://{down}"), ["nobody listens", "connection refused"]),
        ("proxy.invalid:8080", "name proxy.invalid".into(), ["does not resolve", "VPN"]),
    ] {
        // As hallpass config init writes it.
        let configuration = format!(
            "{}[profiles.office]\nwhen = {{ reachable = [\"{proxy}\"] }}\n[profiles.home]\nupstreams = []\n",
            office.configuration().replace(&office.url(), &format!("http://{proxy}"))
        );
        let report = office.examine(&configuration, &[TARGET]);
        assert_cause(&report.cause(), &check, &words);
        assert_eq!(report.check("target o.practice:443")["because"], check);
        let exempt = office.examine(&format!("no_proxy = [\"o.practice\"]\n{configuration}"), &[TARGET]);
        assert_cause(&exempt.cause(), "target o.practice:443", &["does not resolve here", "no_proxy"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_down_is_a_warning_while_another_one_leads_there() {
    let office = Office::open(true).await;
    let down = format!("http://127.0.0.1:{}", closed_port());
    let configuration = format!("{}[upstreams.spare]\nurl = \"{}\"\n", office.configuration(), office.url());
    let configuration = configuration.replacen(&office.url(), &down, 1);
    let report = office.examine(&configuration, &[TARGET]);
    assert_eq!(report.code, Some(0), "{:#}", report.report);
    assert_eq!(report.check(&format!("upstream {down}"))["state"], "warning");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nobody_knows_is_named() {
    let office = Office::open(true).await;
    let configuration = office.configuration().replace(&office.proxy.addr().to_string(), "proxy.invalid:8080");
    assert_cause(&office.cause_of(&configuration, &[TARGET]), "name proxy.invalid", &["does not resolve"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_is_not_there_or_no_script_is_named() {
    let office = Office::open(true).await;
    let missing = server("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let broken = office.home.path().join("broken.pac");
    fs::write(&broken, "function FindProxyForURL(url, host) { return \"DIRECT\"").unwrap();
    let throwing = office.home.path().join("throwing.pac");
    fs::write(&throwing, "function FindProxyForURL(url, host) { return nowhere.nothing; }").unwrap();
    for (pac, words) in [
        (format!("http://{missing}/proxy.pac"), ["cannot be used", "404"]),
        (broken.display().to_string(), ["cannot be used", "broken.pac"]),
        (throwing.display().to_string(), ["fails for o.practice:443", "nowhere"]),
    ] {
        let report = office.examine("", &["--pac", &pac, TARGET]);
        assert_cause(&report.cause(), "pac", &words);
        assert_eq!(report.check("target o.practice:443")["because"], "pac", "{:#}", report.report);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_tls_on_the_way_is_named_and_its_chain_is_written() {
    let office = Office::open(false).await;
    // Somebody else's.
    let other = office.home.path().join("other");
    fs::create_dir(&other).unwrap();
    tls(&other.join("ca.pem"), "Another CA", false);
    set_up(office.home.path(), &office.configuration(), PASSWORD);
    let arguments = ["doctor", "--json", "--config", "hallpass.toml", TARGET];
    let mut command = office.hallpass(&[&arguments[..], &["--ca-out", "seen/chain.pem"]].concat());
    let report = said({
        command.env("SSL_CERT_FILE", other.join("ca.pem"));
        command
    });
    let certificate = "certificate o.practice:443";
    assert_cause(&report.cause(), certificate, &["signed by Practice Inspection CA", "does not know", "inspected"]);
    assert_eq!(report.check("target o.practice:443")["state"], "ok");
    assert_eq!(report.check(certificate)["details"][0], "NODE_EXTRA_CA_CERTS=seen/chain.pem");
    let written = fs::read_to_string(office.home.path().join("seen/chain.pem")).unwrap();
    assert!(written.starts_with("-----BEGIN CERTIFICATE-----\n") && written.lines().all(|line| line.len() <= 64));

    // Trusted here, and yet not by programs with a list of their own: the authority itself is among what is written.
    let report = said(office.hallpass(&arguments));
    assert_eq!(report.code, Some(0), "{:#}", report.report);
    assert_eq!(report.check(certificate)["state"], "warning", "{:#}", report.report);
    let file = office.home.path().join(".local/state/hallpass/authorities.pem");
    let line = format!("NODE_EXTRA_CA_CERTS={}", file.display());
    assert_eq!(report.check(certificate)["details"][0], line);
    let bare = |text: String| text.lines().collect::<String>();
    let authority = bare(fs::read_to_string(office.home.path().join("ca.pem")).unwrap());
    assert!(bare(fs::read_to_string(file).unwrap()).contains(&authority));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_the_proxy_denies_is_the_proxys_doing() {
    let office = Office::open(true).await;
    let report = office.examine(&office.configuration(), &["https://denied.practice/", TARGET]);
    let words = [office.url(), "403".into(), "ask whoever runs that proxy to allow denied.practice:443".into()];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    assert_cause(&report.cause(), "target denied.practice:443", &words);
    assert_eq!(report.check("target o.practice:443")["state"], "ok");
    assert_eq!(report.check("certificate denied.practice:443")["because"], "target denied.practice:443");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_expects_tls_on_a_port_that_is_named_alone() {
    let office = Office::open(true).await;
    let report = office.examine(&office.configuration(), &["plain.practice:22", "plain.practice"]);
    assert_eq!(report.check("target plain.practice:22")["state"], "ok");
    assert!(report.states().iter().all(|(name, _)| name != "certificate plain.practice:22"), "{:#}", report.report);
    assert_cause(&report.cause(), "certificate plain.practice:443", &["speaks no TLS"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_title_of_a_refusing_page_is_shown() {
    let office = Office::open(true).await;
    let page = "HTTP/1.1 403 Forbidden\r\nContent-Length: 49\r\n\r\n<html><title>Blocked: social media</title></html>";
    let wall = server(page);
    let configuration = office.configuration().replace(&office.url(), &format!("http://{wall}"));
    let report = office.examine(&configuration, &[TARGET]);
    assert_cause(&report.cause(), "target o.practice:443", &["403 Forbidden, \u{201c}Blocked: social media\u{201d}"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_on_the_relays_port_is_told_of_and_does_not_hide_what_is_worse() {
    let office = Office::open(true).await;
    let other = server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi");
    let listen = format!("listen = [\"{other}\"]\n");
    let configuration: String = office.configuration().lines().skip(1).map(|line| format!("{line}\n")).collect();
    let configuration = listen + &configuration;
    assert_cause(&office.cause_of(&configuration, &[TARGET]), "listener", &["is no hallpass", "--listen auto"]);
    let report = office.examine(&configuration, &["https://denied.practice/"]);
    assert_eq!(report.cause().0, "target denied.practice:443", "{:#}", report.report);
    assert_eq!(report.check("listener")["state"], "failed");
}

#[test]
fn mistakes_in_the_configuration_are_all_there_is_to_say() {
    let home = tempfile::tempdir().unwrap();
    set_up(home.path(), "lissten = 1\ngrace = \"soon\"\n", PASSWORD);
    let report = said(hallpass(home.path(), &["doctor", "--json", "--config", "hallpass.toml"]));
    assert_cause(&report.cause(), "configuration", &["2 mistakes", "hallpass.toml:1"]);
    let usage = hallpass(home.path(), &["doctor", "--no-config", "http://a b/"]).output().unwrap();
    assert_eq!(usage.status.code(), Some(2), "{}", String::from_utf8_lossy(&usage.stderr));
}
