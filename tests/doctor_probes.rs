//! `hallpass doctor` beside the way out: presets, WebSockets, event streams, silence, what is written for others.

#![allow(clippy::unwrap_used, reason = "a test says by failing what went wrong")]

#[path = "doctor_probes/proxies.rs"]
mod proxies;
#[path = "doctor_probes/replay.rs"]
mod replay;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use hallpass::address::Target;
use hallpass::config::{Config, Environment, Files, Inputs, Layer, PolicyPlace, load};
use hallpass::daemon::survey;
use hallpass::doctor::{Case, Preset, Probing, Recorder, Redactor, State, examine, probes};
use hallpass::http1::Fields;
use hallpass::practice::{
    Account, Accounts, CorporateProxy, Gate, Names, Offer, Origin, OriginOptions, Place, ProxyOptions, Tls as Served,
};
use hallpass::proxy::{Proxy, Wanted};
use hallpass::route::Route;
use hallpass::upstream::{Connected, Tls, TlsOptions};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;

use proxies::{Manner, SlowProxy, inspector};

const PASSWORD: &str = "correct-horse-battery";

/// What the origin's certificate is good for.
const CERTIFIED: [&str; 9] = [
    "good.practice",
    "ws.practice",
    "log-in.practice",
    "inspected.practice",
    "events.practice",
    "o.practice",
    "a.practice",
    "b.practice",
    "api.anthropic.com",
];

/// Names under `.practice` lead to an origin that speaks TLS, `plain.practice` to one that does not.
struct World {
    origin: Origin,
    plain: Origin,
    proxy: CorporateProxy,
    files: TempDir,
}

impl World {
    async fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let served = served(files.path());
        let accounts = Accounts::new([Account::new("PRACTICE", "alice", PASSWORD)]);
        let origin =
            Origin::start(OriginOptions { accounts: accounts.clone(), tls: Some(served.clone()) }).await.unwrap();
        let plain = Origin::start(OriginOptions::default()).await.unwrap();
        let strip = inspector(served.config.clone(), plain.addr()).await;
        let names = Names::none()
            .with("plain.practice", Place::At(plain.addr()))
            .with("inspected.practice", Place::At(strip))
            .with("api.anthropic.com", Place::At(origin.addr()))
            .with("*.practice", Place::At(origin.addr()));
        let proxy = CorporateProxy::start(ProxyOptions {
            gate: Gate::new([Offer::Ntlm], accounts, "PRACTICE"),
            names,
            denied: vec!["*.denied.practice".into()],
            ..ProxyOptions::default()
        })
        .await
        .unwrap();
        Self { origin, plain, proxy, files }
    }

    fn tls(&self) -> Tls {
        Tls::new(&TlsOptions { ca_file: Some(self.ca()), client_cert: None }).unwrap()
    }

    fn ca(&self) -> PathBuf {
        self.files.path().join("ca.pem")
    }

    fn config_file(&self, upstream: SocketAddr) -> PathBuf {
        let path = self.files.path().join("hallpass.toml");
        let text = format!(
            "listen = [\"127.0.0.1:0\"]\n[upstreams.headquarters]\nurl = \"http://{upstream}\"\n\
             [credentials.badge]\nuser = 'PRACTICE\\alice'\npassword = '{PASSWORD}'\n[audit]\nto = \"off\"\n"
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn config(&self, upstream: SocketAddr) -> Config {
        let home = self.files.path().to_str().unwrap();
        let inputs = Inputs {
            files: Files::Only(self.config_file(upstream)),
            environment: Environment::from_pairs([("HOME", home)]),
            flags: Layer::default(),
            policy: PolicyPlace::Nowhere,
        };
        load(&inputs).unwrap_or_else(|mistakes| panic!("{:?}", mistakes.0)).config
    }

    /// What the checks of these names found, all others left out.
    async fn found(&self, upstream: SocketAddr, probing: Probing, wanted: &[&str]) -> Vec<(String, State, String)> {
        let config = self.config(upstream);
        let proxy = survey(&config).await.unwrap();
        let wanted = wanted.iter().map(|url| Wanted::parse(url).unwrap()).collect();
        let case = Arc::new(Case::new(config, Vec::new(), proxy, wanted, None).await);
        let probing = Probing { tls: self.tls(), ..probing };
        let report = examine(probes(&case, &probing), |_| {}).await;
        let entries = report.entries.into_iter();
        entries
            .map(|entry| {
                let told = [entry.says, entry.advice.unwrap_or_default(), entry.details.join("; ")].join(" | ");
                (entry.name, entry.state, told)
            })
            .collect()
    }
}

/// A certificate for all names of the practice world, and its authority in `ca.pem`.
fn served(directory: &Path) -> Served {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    fs::write(directory.join("ca.pem"), issuer.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(CERTIFIED.map(String::from)).unwrap().signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    Served { config: config.into(), binding: None }
}

fn preset(directory: &Path, hosts: &[(&str, &str, &str)]) -> Preset {
    Preset::find(preset_file(directory, hosts).to_str().unwrap(), None).unwrap()
}

/// Hosts with their level and further lines.
fn preset_file(directory: &Path, hosts: &[(&str, &str, &str)]) -> PathBuf {
    let mut text = "name = \"own\"\nabout = \"Ours\"\n".to_string();
    for (host, level, more) in hosts {
        text +=
            &format!("[[hosts]]\nhost = \"{host}\"\nlevel = \"{level}\"\nfor = \"work\"\nsource = \"us\"\n{more}\n");
    }
    let path = directory.join("own.toml");
    fs::write(&path, text).unwrap();
    path
}

fn of<'a>(found: &'a [(String, State, String)], name: &str) -> (State, &'a str) {
    let entry = found.iter().find(|(known, ..)| known == name);
    let (_, state, says) = entry.unwrap_or_else(|| panic!("no check {name}: {found:?}"));
    (*state, says)
}

#[tokio::test]
async fn every_host_of_a_preset_is_asked_for_by_the_way_of_a_request() {
    let world = World::new().await;
    let preset = preset(
        world.files.path(),
        &[
            ("good.practice", "required", ""),
            ("a.denied.practice", "required", ""),
            ("b.denied.practice", "recommended", ""),
            ("c.denied.practice", "optional", ""),
            ("*.wide.practice", "recommended", "sample = \"x.wide.practice\""),
            ("plain.practice", "recommended", ""),
            ("ws.practice", "optional", "kind = \"wss\"\npath = \"/ws\""),
            ("log-in.practice", "optional", "kind = \"wss\"\npath = \"/status/403\""),
            ("inspected.practice", "recommended", "kind = \"wss\"\npath = \"/ws\""),
            ("events.practice", "recommended", "kind = \"sse\"\npath = \"/sse?n=3&ms=100\""),
        ],
    );
    let probing = Probing { preset: Some(preset), ..Probing::default() };
    let found = world.found(world.proxy.addr(), probing, &[]).await;
    for (name, state, says) in [
        ("https good.practice", State::Fine, "which is no public authority: TLS is read on the way"),
        ("https a.denied.practice", State::Failed, "CONNECT was answered with 403 | ask whoever runs the proxy"),
        ("https b.denied.practice", State::Warning, "403"),
        ("https c.denied.practice", State::Skipped, "optional: work"),
        // The certificate is for others.
        ("https *.wide.practice", State::Warning, "who signed the certificate"),
        ("https plain.practice", State::Warning, "a tunnel came about"),
        ("wss ws.practice", State::Fine, "a WebSocket opens"),
        ("wss log-in.practice", State::Warning, "answered with 403, by the target or by who reads along"),
        (
            "wss inspected.practice",
            State::Warning,
            "426 | 1.1 inspector reads what is within TLS and takes out Upgrade",
        ),
        ("https (events) events.practice", State::Fine, "3 events arrived as they were sent"),
    ] {
        let (found_state, told) = of(&found, name);
        assert_eq!(found_state, state, "{name}: {told}");
        assert!(told.contains(says), "{name}: {told}");
    }
    assert_eq!(world.proxy.record().logons().rejected, 0);
}

#[tokio::test]
async fn events_that_a_proxy_holds_back_are_told_from_those_that_come_as_they_are_sent() {
    let world = World::new().await;
    let buffering = SlowProxy::start(Manner::Collects, world.plain.addr()).await;
    let cutting = SlowProxy::start(Manner::Cuts(Duration::from_millis(400)), world.plain.addr()).await;
    let plain = "http://plain.practice/sse?n=4&ms=400";
    for (upstream, url, silence, state, says) in [
        (world.proxy.addr(), plain, None, State::Fine, "4 events arrived as they were sent".to_string()),
        (world.proxy.addr(), "https://o.practice/sse?n=4&ms=400", None, State::Fine, "4 events arrived as".into()),
        (buffering.addr, plain, None, State::Failed, format!("http://{} collects answers", buffering.addr)),
        (
            world.proxy.addr(),
            "http://plain.practice/sse?n=2&ms=1500",
            Some(1),
            State::Fine,
            "silences of up to 1.".into(),
        ),
        (world.proxy.addr(), plain, Some(5), State::Fine, "no silence was longer than 0.".into()),
        (cutting.addr, "http://plain.practice/sse?n=2&ms=1500", Some(1), State::Failed, "was cut off after".into()),
        (
            world.proxy.addr(),
            "http://plain.practice/hello",
            None,
            State::Warning,
            "no stream of events (status 200)".into(),
        ),
        (world.proxy.addr(), "http://x.denied.practice/sse", None, State::Warning, "status 403".into()),
    ] {
        let probing =
            Probing { event_stream: Some(url.into()), silence: silence.map(Duration::from_secs), ..Probing::default() };
        let found = world.found(upstream, probing, &[]).await;
        let (found_state, told) = of(&found, &format!("events of {}", url.split('?').next().unwrap()));
        assert_eq!(found_state, state, "{url}: {told}");
        assert!(told.contains(&says), "{url}: {told}");
    }
}

#[tokio::test]
async fn a_proxy_that_cuts_silent_tunnels_is_named() {
    let world = World::new().await;
    let cutting = SlowProxy::start(Manner::Cuts(Duration::from_millis(400)), world.origin.addr()).await;
    for (upstream, wanted, state, says) in [
        (world.proxy.addr(), &["https://a.practice/"][..], State::Fine, "and still there"),
        (
            cutting.addr,
            &["https://a.practice/", "https://b.practice/"],
            State::Failed,
            "2 silent connections to different",
        ),
        (cutting.addr, &["https://a.practice/"], State::Warning, "by the proxy or by the server"),
    ] {
        let probing = Probing { silence: Some(Duration::from_secs(2)), ..Probing::default() };
        let found = world.found(upstream, probing, wanted).await;
        let (found_state, told) = of(&found, "silent connections");
        assert_eq!(found_state, state, "{told}");
        assert!(told.contains(says), "{told}");
    }
}

async fn tunnel(proxy: &Proxy, target: &str) -> Connected {
    let target = Target::parse(target, None).unwrap();
    let decision = proxy.explain(&Wanted::parse(&target.to_string()).unwrap()).await;
    let route = Route { hops: decision.hops, reason: decision.reason };
    proxy.upstreams.tunnel(&route, &target, &Fields::default()).await.unwrap()
}

#[tokio::test]
async fn a_recorded_log_in_tells_nothing_of_anybody_and_can_be_played() {
    let world = World::new().await;
    let config = world.config(world.proxy.addr());
    let proxy = survey(&config).await.unwrap();
    let recorder = Arc::new(Recorder::default());
    proxy.upstreams.live.show_to(recorder.clone());
    assert!(matches!(tunnel(&proxy, "wiki.practice:443").await, Connected::Tunnel(_)));
    let text = recorder.text(&Redactor::default().with_config(&config)).unwrap();
    for name in ["wiki", "practice", "alice", "127.0.0.1", PASSWORD] {
        assert!(!text.to_lowercase().contains(name), "{name} stands in\n{text}");
    }
    assert!(text.contains("> CONNECT host-1.example:443 HTTP/1.1\\r\\n"), "{text}");

    let played = replay::play(&text).await;
    let proxy = survey(&world.config(played.addr)).await.unwrap();
    assert!(matches!(tunnel(&proxy, "host-1.example:443").await, Connected::Tunnel(_)));
    assert_eq!(played.heard().await, ["bare", "NTLM 1", "NTLM 3"]);
}

#[tokio::test]
async fn every_log_in_that_was_recorded_at_a_real_proxy_leads_to_a_tunnel_again() {
    let world = World::new().await;
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/log-ins");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let recorded: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "txt")).collect();
    assert!(!recorded.is_empty());
    for path in recorded {
        let played = replay::play(&fs::read_to_string(&path).unwrap()).await;
        let proxy = survey(&world.config(played.addr)).await.unwrap();
        let connected = tunnel(&proxy, "host-1.example:443").await;
        assert!(matches!(connected, Connected::Tunnel(_)), "{}", path.display());
        assert!(played.heard().await.len() > 1, "{}", path.display());
    }
}

#[tokio::test]
async fn without_a_log_in_nothing_is_recorded() {
    let recorder = Recorder::default();
    assert_eq!(recorder.text(&Redactor::default()), None);
}

/// The program in an environment of its own.
async fn doctor(world: &World, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_hallpass"));
    command.arg("doctor").args(arguments).env_clear();
    command.envs([("PATH", "/usr/bin:/bin"), ("HOME", world.files.path().to_str().unwrap())]);
    command.env("SSL_CERT_FILE", world.ca()).envs(variables.iter().copied());
    command.output().await.unwrap()
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn the_list_for_the_firewall_needs_no_network_and_knows_a_users_own_presets() {
    let world = World::new().await;
    let list = doctor(&world, &["--preset", "claude", "--allow-list"], &[]).await;
    assert!(list.status.success());
    let list = words(&list.stdout);
    assert!(list.lines().any(|line| line.starts_with("api.anthropic.com ") && line.contains(" required ")), "{list}");
    assert!(list.lines().any(|line| line.starts_with("bridge.claudeusercontent.com ") && line.contains(" wss ")));

    let presets = world.files.path().join(".config/hallpass/presets");
    fs::create_dir_all(&presets).unwrap();
    preset_file(&presets, &[("git.corp.example", "required", "port = 8443")]);
    let list = doctor(&world, &["--preset", "own", "--allow-list"], &[]).await;
    assert!(words(&list.stdout).ends_with("git.corp.example  8443   https           required     work\n"), "{list:?}");

    let unknown = doctor(&world, &["--preset", "other", "--allow-list"], &[]).await;
    assert_eq!(unknown.status.code(), Some(2));
    assert!(words(&unknown.stderr).contains("there is no preset other: known are claude, own"), "{unknown:?}");
    assert_eq!(doctor(&world, &["--allow-list"], &[]).await.status.code(), Some(2));
}

#[tokio::test]
async fn what_is_written_for_support_holds_no_name_and_no_secret() {
    let world = World::new().await;
    let config = world.config_file(world.proxy.addr());
    let preset = preset_file(world.files.path(), &[("api.anthropic.com", "required", "")]);
    let (bundle, record) = (world.files.path().join("bundle.txt"), world.files.path().join("log-in.txt"));
    let arguments = [
        "--config",
        config.to_str().unwrap(),
        "--preset",
        preset.to_str().unwrap(),
        "--json",
        "https://wiki.denied.practice/",
        "--sse-url",
        "https://events.practice/sse?n=2&ms=50&key=token-4711",
        "--bundle",
        bundle.to_str().unwrap(),
        "--record",
        record.to_str().unwrap(),
    ];
    let variables = [("HTTPS_PROXY", "http://bob:hunter2@outer.corp.example:8080"), ("USER", "alice")];
    let done = doctor(&world, &arguments, &variables).await;
    let told: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{done:?}"));
    assert!(
        told["checks"].as_array().unwrap().iter().any(|check| check["name"] == "https api.anthropic.com"),
        "{told}"
    );
    let listed = words(&done.stderr);
    for section in ["system", "checks", "configuration", "log-in"] {
        assert!(listed.lines().any(|line| line.trim_start().starts_with(section)), "{section}: {listed}");
    }
    for path in [&bundle, &record] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(path).unwrap().to_lowercase();
        for secret in [
            PASSWORD,
            "hunter2",
            "token-4711",
            "alice",
            "bob",
            "wiki",
            "events.practice",
            "outer",
            "corp.example",
            "headquarters",
            "badge",
            world.files.path().to_str().unwrap(),
            "\\\\alice",
            "practice\\",
        ] {
            assert!(!text.contains(&secret.to_lowercase()), "{secret} stands in {}:\n{text}", path.display());
        }
    }
    let text = fs::read_to_string(&bundle).unwrap();
    assert!(text.contains("api.anthropic.com"), "what everybody knows stays\n{text}");
    assert!(text.contains("127.0.0.1") && text.contains("name-1") && text.contains("~/hallpass.toml"), "{text}");
    assert!(!words(&done.stdout).contains("hunter2"));
}

#[tokio::test]
async fn a_record_that_cannot_be_made_is_an_error() {
    let world = World::new().await;
    let record = world.files.path().join("log-in.txt");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = world.config_file(nobody);
    let arguments = ["--config", config.to_str().unwrap(), "https://o.practice/", "--record", record.to_str().unwrap()];
    let done = doctor(&world, &arguments, &[]).await;
    assert_eq!(done.status.code(), Some(1));
    assert!(words(&done.stderr).contains("no log-in at a proxy took place"), "{done:?}");
    assert!(!record.exists());
}

#[test]
fn an_entry_of_a_preset_says_whom_to_ask() {
    let directory = tempfile::tempdir().unwrap();
    let preset =
        preset(directory.path(), &[("*.wide.practice", "optional", "sample = \"x.wide.practice\"\nport = 8443")]);
    let sample = &preset.hosts[0].sample;
    assert_eq!(sample.to_string(), "x.wide.practice:8443");
}
