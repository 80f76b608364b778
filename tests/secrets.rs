//! The whole relay is run at its most talkative, and then everything that it has left is searched for secrets: what
//! it printed, answered, recorded and stored, and its memory.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

#[path = "secrets/memory.rs"]
mod memory;
#[path = "secrets/needles.rs"]
mod needles;
#[path = "secrets/serving.rs"]
mod serving;

use std::fs;
use std::path::Path;

use hallpass::practice::{
    Account, Accounts, CorporateProxy, DigestAlgorithm, Gate, Names, Offer, Origin, OriginOptions, Place, ProxyOptions,
};

use needles::Needles;
use serving::{Home, Serving};

const USER: &str = "alice";
const DOMAIN: &str = "PRACTICE";
const PASSWORD: &str = "Zw\u{f6}lf-Boxk\u{e4}mpfer-7";
const WRONG: &str = "Kein-Boxk\u{e4}mpfer-8";

/// What clients and targets tell each other is no business of ours either.
const OTHERS: [&str; 5] =
    ["cookie-4c1d-value", "bearer-77ab-value", "query-19fe-value", "bWFsbG9yeTpwcm94eQ==", "userinfo-55d0-value"];

const OFFERS: [(Offer, &str); 5] = [
    (Offer::Ntlm, "ntlm"),
    (Offer::NtlmInNegotiate, "negotiate\", \"ntlm"),
    (Offer::Digest(DigestAlgorithm::Md5), "digest"),
    (Offer::Digest(DigestAlgorithm::Sha256), "digest"),
    (Offer::Basic, "basic"),
];

fn all_needles() -> Needles {
    let mut needles = Needles::default();
    needles.password(&format!("{DOMAIN}\\{USER}"), PASSWORD);
    needles.password(&format!("{DOMAIN}\\{USER}"), WRONG);
    OTHERS.iter().for_each(|text| needles.text(text));
    needles
}

async fn office(offer: Offer) -> (CorporateProxy, Origin) {
    let accounts = Accounts::new([Account::new(DOMAIN, USER, PASSWORD)]);
    let origin = Origin::start(OriginOptions { accounts: accounts.clone(), tls: None }).await.unwrap();
    let options = ProxyOptions {
        gate: Gate::new([offer], accounts, DOMAIN),
        names: Names::none().with("*.practice", Place::At(origin.addr())),
        ..ProxyOptions::default()
    };
    (CorporateProxy::start(options).await.unwrap(), origin)
}

fn configuration(proxy: &CorporateProxy, scheme: &str, password: &str, format: &str) -> String {
    format!(
        "[upstreams.office]\nurl = \"http://{}\"\nschemes = [\"{scheme}\"]\n\
         [credentials.me]\nuser = '{DOMAIN}\\{USER}'\n{password}\n\
         [audit]\nto = \"${{env:HOME}}/audit.log\"\n[log]\nlevel = \"trace\"\nformat = \"{format}\"\n",
        proxy.addr()
    )
}

/// Everything a client may say that must not be repeated.
fn requests() -> Vec<String> {
    let [cookie, bearer, query, basic, userinfo] = OTHERS;
    let fields = format!(
        "Cookie: id={cookie}\r\nAuthorization: Bearer {bearer}\r\nProxy-Authorization: Basic {basic}\r\n\
         Connection: close\r\n\r\n"
    );
    vec![
        format!("GET http://o.practice/hello?key={query} HTTP/1.1\r\nHost: o.practice\r\n{fields}"),
        format!("GET http://o.practice/hello?key={query} HTTP/1.1\r\nHost: o.practice\r\n{fields}"),
        format!("GET http://nowhere.test/{query} HTTP/1.1\r\nHost: nowhere.test\r\n{fields}"),
        format!("GET http://u:{userinfo}@o.practice/ HTTP/1.1\r\nHost: o.practice\r\n{fields}"),
        format!("CONNECT u:{userinfo}@o.practice:80 HTTP/1.1\r\nHost: o.practice\r\n{fields}"),
        format!("CONNECT nowhere.test:443 HTTP/1.1\r\nHost: nowhere.test\r\n{fields}"),
        format!("GET http://o.practice/{query} HTTP/1.1\r\nHost: o.practice\r\nContent-Length: x\r\n{fields}"),
        format!("GET http://o.practice/{query} HTTP/1.1\r\nHost : {query}\r\n{fields}"),
        format!("\u{1}{query} {bearer}\r\n{fields}"),
        format!("GET /status?{query} HTTP/1.1\r\nHost: localhost\r\n{fields}"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}"),
        format!("GET /{query} HTTP/1.1\r\nHost: localhost\r\n{fields}"),
    ]
}

/// All that one relay left behind, and what its answers began with.
fn story(home: &Home, configuration: &str) -> (Vec<u8>, Vec<String>) {
    home.write("hallpass.toml", configuration);
    let serving = Serving::start(home);
    let answers: Vec<Vec<u8>> = requests().iter().map(|request| serving.ask(request)).collect();
    let begun = answers.iter().map(|answer| String::from_utf8_lossy(answer).chars().take(12).collect()).collect();
    let mut left = answers.concat();
    left.extend(serving.end());
    for command in ["show", "check"] {
        left.extend(home.hallpass(&["config", command, "--config", "hallpass.toml"]));
    }
    left.extend(home.all_files_but(&["hallpass.toml", "secret"]));
    (left, begun)
}

fn assert_clean(needles: &Needles, left: &[u8], context: &str) {
    let found = needles.found_in(left);
    assert!(found.is_empty(), "{context} left {found:?} in\n{}", String::from_utf8_lossy(left));
}

/// With 0 Linux would still hand a crash's memory to a program that collects dumps (core(5)).
#[test]
fn a_crash_leaves_one_byte_of_memory_at_most() {
    let home = Home::new();
    home.write("hallpass.toml", "");
    let serving = Serving::start(&home);
    let limits = fs::read_to_string(format!("/proc/{}/limits", serving.pid())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    let [soft, hard] = [0, 1].map(|at| line.split_whitespace().nth(at).unwrap());
    assert_eq!(soft, if hard == "0" { "0" } else { "1" }, "{line}");
    serving.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_the_relay_leaves_holds_a_secret() {
    let needles = all_needles();
    for (offer, scheme) in OFFERS {
        let (proxy, _origin) = office(offer).await;
        for format in ["text", "json"] {
            let context = format!("{offer:?} {format}");
            let home = Home::new();
            home.write("secret", PASSWORD);
            let source = format!("password = '${{file:{}}}'", home.path().join("secret").display());
            let (left, begun) = story(&home, &configuration(&proxy, scheme, &source, format));
            assert!(begun[0].ends_with(" 200"), "{context} {begun:?}");
            assert_clean(&needles, &left, &context);
            // What was searched is what should have been.
            let text = String::from_utf8_lossy(&left);
            for words in ["leg made", "credential_rejected", "o.practice", "\"phase\"", "[credentials.me]"] {
                let wanted = words != "credential_rejected";
                assert_eq!(text.contains(words), wanted, "{context} {words}\n{text}");
            }
        }
        let home = Home::new();
        home.write("secret", WRONG);
        let source = format!("password_command = ['cat', '{}']", home.path().join("secret").display());
        let (left, begun) = story(&home, &configuration(&proxy, scheme, &source, "text"));
        assert!(begun[0].ends_with(" 407"), "{offer:?} {begun:?}");
        assert!(String::from_utf8_lossy(&left).contains("credential_rejected"), "{offer:?}");
        assert_clean(&needles, &left, &format!("{offer:?} rejected"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_with_the_password_on_its_lips_is_not_quoted() {
    let (proxy, _origin) = office(Offer::Ntlm).await;
    for script in ["cat secret; cat secret >&2; exit 3", "cat secret secret >&2", "cat secret; printf '\\377'"] {
        let home = Home::new();
        home.write("secret", PASSWORD);
        let source = format!("password_command = ['/bin/sh', '-c', \"{}\"]", script.replace('\\', "\\\\"));
        let (left, begun) = story(&home, &configuration(&proxy, "ntlm", &source, "text"));
        assert!(begun[0].ends_with(" 407"), "{script} {begun:?}");
        assert!(String::from_utf8_lossy(&left).contains("/bin/sh"), "{script}");
        assert_clean(&all_needles(), &left, script);
    }
}

#[test]
fn a_wrong_configuration_is_not_quoted_where_a_secret_stands_in_it() {
    let needles = all_needles();
    let user = format!("[credentials.me]\nuser = '{DOMAIN}\\{USER}'\n");
    for (mode, text) in [
        (0o644, format!("{user}password = \"{PASSWORD}\"\n")),
        (0o600, format!("{user}password = \"{PASSWORD}\n")),
        (0o600, format!("{user}password = {PASSWORD}\n")),
        (0o600, format!("{user}password = [\"{PASSWORD}\"]\n")),
        (0o600, format!("{user}password = \"{PASSWORD}${{x}}\"\n")),
        (0o600, format!("{user}password = \"${{file:{PASSWORD}}}\"\n")),
        (0o600, format!("{user}password = \"{PASSWORD}\"\npassword_command = [\"x\"]\n")),
        (0o600, format!("[credentials.me]\npassword = \"{PASSWORD}\"\n")),
        (0o600, format!("{user}nt_hash = \"{}\"\n", &needles::nt_hash(PASSWORD)[..31])),
        (0o600, format!("[upstreams.a]\nurl = \"http://{USER}:{PASSWORD}@h:1\"\n")),
        (0o600, format!("upstream = \"{USER}:{PASSWORD}@h:1\"\n[upstreams.a]\nurl = \"http://h:1\"\nschemes = [1]\n")),
    ] {
        let home = Home::new();
        home.write_with_mode("hallpass.toml", &text, mode);
        for arguments in [&["config", "check"][..], &["config", "show"], &["serve"], &["login", "x"], &["status"]] {
            let arguments: Vec<&str> = arguments.iter().copied().chain(["--config", "hallpass.toml"]).collect();
            let said = home.hallpass(&arguments);
            assert!(said.ends_with(b"exit 2"), "{text} {arguments:?}: {}", String::from_utf8_lossy(&said));
            assert_clean(&needles, &said, &text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_stands_in_memory_once_at_most_and_after_a_reload_not_at_all() {
    for (offer, scheme) in OFFERS {
        let (proxy, _origin) = office(offer).await;
        let home = Home::new();
        home.write("secret", PASSWORD);
        let source = format!("password = '${{file:{}}}'", home.path().join("secret").display());
        home.write("hallpass.toml", &configuration(&proxy, scheme, &source, "text"));
        let mut serving = Serving::start(&home);
        for _ in 0..3 {
            let answer = serving.ask(&requests()[0]);
            assert!(answer.starts_with(b"HTTP/1.1 200"), "{offer:?} {}", String::from_utf8_lossy(&answer));
        }
        let mut needles = Needles::default();
        needles.in_memory(&format!("{DOMAIN}\\{USER}"), PASSWORD);
        let copies = memory::copies(serving.pid(), &needles);
        assert_eq!(copies.get("the password"), Some(&1), "{offer:?} {copies:?}: kept for the next connection");
        serving.signal("HUP");
        serving.says("reloaded");
        let copies = memory::copies(serving.pid(), &needles);
        assert!(copies.is_empty(), "{offer:?} {copies:?}");
    }
}

#[test]
fn a_search_finds_a_secret_in_every_dress() {
    let needles = all_needles();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let innocent = fs::read(path).unwrap();
    assert_eq!(needles.found_in(&innocent), [""; 0]);
    let dresses = needles::dresses(&format!("{DOMAIN}\\{USER}"), PASSWORD);
    assert!(dresses.len() > 15, "{}", dresses.len());
    for (name, dressed) in dresses {
        let haystack = [&innocent[..100], &dressed, &innocent[100..]].concat();
        assert!(!needles.found_in(&haystack).is_empty(), "{name}");
    }
}
