//! One table of who wins, played with the readers of all three systems; and what is refused before it is read.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::registry::{Key, Value as Entry};
use super::*;
use crate::config::{Environment, Files, Inputs, Loaded, Mistakes, examine, load, write_private};

/// What a policy of the office says, as Linux has it.
const OFFICE: &str = "\
grace = \"9s\"
max_clients = 500
no_proxy = [\"localhost\", \"*.corp.example\"]
listeners = []

[log]
level = \"warn\"

[pac]
wpad = false

[upstreams.backup]
url = \"http://backup.corp.example:8080\"

[upstreams.office]
url = \"http://proxy.corp.example:8080\"
schemes = [\"negotiate\", \"ntlm\"]

[credentials.corp]
for = [\"*.corp.example\"]

[[rules]]
hosts = [\"gateway.internal\"]
use = \"direct\"

[recommended]
connect_timeout = \"7s\"

[recommended.audit]
keep = 9
";

/// The same as Windows has it: single values, a list as a key, a rule in JSON.
fn office_of_the_registry() -> Key {
    let text = |text: &str| Entry::Text(text.into());
    let texts = |texts: &[&str]| Entry::List(texts.iter().map(|text| (*text).into()).collect());
    key(
        &[
            ("grace", text("9s")),
            ("max_clients", Entry::Number(500)),
            ("Listeners", texts(&[])),
            ("", text("nobody's")),
        ],
        vec![
            ("no_proxy", key(&[("2", text("*.corp.example")), ("1", text("localhost"))], vec![])),
            ("Log", key(&[("Level", text("warn"))], vec![])),
            ("pac", key(&[("wpad", Entry::Number(0))], vec![])),
            (
                "upstreams",
                key(
                    &[("backup", text("http://backup.corp.example:8080"))],
                    vec![(
                        "office",
                        key(
                            &[
                                ("url", text("http://proxy.corp.example:8080")),
                                ("schemes", texts(&["negotiate", "ntlm"])),
                            ],
                            vec![],
                        ),
                    )],
                ),
            ),
            ("credentials", key(&[], vec![("corp", key(&[("for", text("*.corp.example"))], vec![]))])),
            ("rules", key(&[("1", text(r#"{"hosts": ["gateway.internal"], "use": "direct"}"#))], vec![])),
            // Left behind by Group Policy.
            ("tunnels", Key::default()),
            (
                "Recommended",
                key(&[("connect_timeout", text("7s"))], vec![("audit", key(&[("keep", Entry::Number(9))], vec![]))]),
            ),
        ],
    )
}

/// And all of it in one JSON text.
const OFFICE_AS_JSON: &str = r#"{
    "grace": "9s", "max_clients": 500, "no_proxy": ["localhost", "*.corp.example"], "listeners": [],
    "log": {"level": "warn"}, "pac": {"wpad": false},
    "upstreams": {
        "backup": {"url": "http://backup.corp.example:8080"},
        "office": {"url": "http://proxy.corp.example:8080", "schemes": ["negotiate", "ntlm"]}
    },
    "credentials": {"corp": {"for": ["*.corp.example"]}},
    "rules": [{"hosts": ["gateway.internal"], "use": "direct"}]
}"#;

fn key(values: &[(&str, Entry)], keys: Vec<(&str, Key)>) -> Key {
    Key {
        values: values.iter().map(|(name, value)| ((*name).into(), value.clone())).collect(),
        keys: keys.into_iter().map(|(name, key)| (name.into(), key)).collect(),
    }
}

fn of_hklm(key: Key) -> Statement {
    Statement::Registry { root: format!(r"HKLM\{REGISTRY_KEY}"), key }
}

fn toml(text: &str) -> Statement {
    Statement::Toml { path: "/etc/hallpass/policy.toml".into(), text: text.into() }
}

fn recorded(name: &str) -> Statement {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/policy").join(name);
    Statement::Plist { path: "/Library/Managed Preferences/hallpass.plist".into(), bytes: fs::read(path).unwrap() }
}

/// The same policy, as each reader finds it, and how each names the place of `grace`.
fn offices() -> Vec<(Statement, &'static str)> {
    let recommended = key(
        &[("connect_timeout", Entry::Text("7s".into()))],
        vec![("audit", key(&[("keep", Entry::Text("9".into()))], vec![]))],
    );
    let json = key(&[("configuration", Entry::Text(OFFICE_AS_JSON.into()))], vec![("recommended", recommended)]);
    vec![
        (toml(OFFICE), "/etc/hallpass/policy.toml:1:1"),
        (of_hklm(office_of_the_registry()), r"HKLM\SOFTWARE\Policies\hallpass, value grace"),
        (of_hklm(json), r"HKLM\SOFTWARE\Policies\hallpass, value configuration"),
        (recorded("office.plist"), "/Library/Managed Preferences/hallpass.plist, key grace"),
        (recorded("office-binary.plist"), "/Library/Managed Preferences/hallpass.plist, key grace"),
    ]
}

/// What a user says against it, in a file, by variables and by flags.
#[derive(Default)]
struct Said<'a> {
    file: &'a str,
    variables: &'a [(&'a str, &'a str)],
    flags: &'a [(&'static str, &'a [&'a str], &'a str)],
}

fn played(policy: Vec<Statement>, said: &Said<'_>) -> (Result<Loaded, Mistakes>, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mine.toml");
    write_private(&path, said.file, false).unwrap();
    let mut flags = Layer::default();
    for (flag, key, value) in said.flags {
        let origin = Origin::Flag(flag);
        let value = match *key {
            [one] if ["upstream", "scheme", "no_proxy", "credential_for", "listen"].contains(one) => {
                crate::config::Value::list([(*value).into()], &origin)
            }
            _ => crate::config::Value::Text((*value).into()),
        };
        flags.set(key, value, origin);
    }
    let environment = Environment::from_pairs(said.variables.iter().copied());
    let inputs = Inputs { files: Files::Only(path.clone()), environment, flags, policy: PolicyPlace::Recorded(policy) };
    (load(&inputs), path)
}

fn refused_by(policy: Vec<Statement>, said: &Said<'_>) -> Vec<String> {
    match played(policy, said).0 {
        Ok(loaded) => panic!("it is taken:\n{}", loaded.to_toml()),
        Err(mistakes) => mistakes.0.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_locked_key_wins_over_files_and_cannot_be_said_otherwise_on_all_systems() {
    let file =
        "grace = \"1s\"\nconnect_timeout = \"3s\"\nmax_logons = 2\n[log]\nlevel = \"trace\"\nformat = \"json\"\n";
    for (policy, place) in offices() {
        let (loaded, path) = played(vec![policy.clone()], &Said { file, ..Said::default() });
        let loaded = loaded.unwrap_or_else(|mistakes| panic!("{place}: {mistakes}"));
        let config = &loaded.config;
        assert_eq!((config.grace.as_secs(), config.max_clients), (9, 500), "{place}");
        // What it leaves free is the user's, what it recommends gives way.
        assert_eq!((config.max_logons, config.connect_timeout.as_secs(), config.audit.keep), (2, 3, 9), "{place}");
        let (level, format) = (config.log.level, config.log.format);
        assert_eq!((level, format), (crate::config::Level::Warn, crate::config::LogFormat::Json), "{place}");
        let names: Vec<&str> = config.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
        assert_eq!((names, config.routing.rules.len()), (vec!["backup", "office"], 1), "{place}");
        let warned: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(
            warned[0],
            format!("{}:1:1: grace: passed over (locked by policy: {place})", path.display()),
            "{warned:#?}"
        );
        assert_eq!(warned.len(), 2, "{warned:#?}");
        assert_eq!(loaded.lock(&["grace"]).map(ToString::to_string).as_deref(), Some(place));

        let flags: &[(&'static str, &[&str], &str)] = &[("--grace", &["grace"], "2s")];
        let variables = [("HALLPASS_MAX_CLIENTS", "1"), ("HALLPASS_MAX_LOGONS", "3")];
        let found = refused_by(vec![policy.clone()], &Said { flags, variables: &variables, ..Said::default() });
        assert_eq!(found.len(), 2, "{found:#?}");
        let hint = "(leave it out; whoever manages this machine can change it)";
        assert!(found.contains(&format!("--grace: locked by policy: {place} {hint}")), "{found:#?}");
        assert!(found.iter().any(|line| line.starts_with("HALLPASS_MAX_CLIENTS: locked by policy: ")), "{found:#?}");
        // To say the same is no contradiction.
        let flags: &[(&'static str, &[&str], &str)] = &[("--grace", &["grace"], "9s")];
        let same =
            played(vec![policy], &Said { flags, variables: &[("HALLPASS_MAX_CLIENTS", "500")], ..Said::default() });
        assert!(same.0.is_ok(), "{place}");
    }
}

#[test]
fn nobody_gets_around_the_way_out_on_any_system() {
    let files: &[(&str, &str)] = &[
        ("upstreams.mine", "[upstreams.mine]\nurl = \"http://mine:1\"\n"),
        ("upstreams.office.url", "[upstreams.office]\nurl = \"http://mine:1\"\n"),
        ("upstreams.office.ca_file", "[upstreams.office]\nca_file = \"mine.pem\"\n"),
        ("rules", "[[rules]]\nhosts = [\"*\"]\nuse = \"direct\"\n"),
        ("rules", "rules = []\n"),
        ("pac.url", "[pac]\nurl = \"/mine.pac\"\n"),
        ("pac.wpad", "[pac]\nwpad = true\n"),
        ("profiles.home", "[profiles.home]\nupstreams = []\nno_proxy = [\"*\"]\n"),
        ("no_proxy", "no_proxy = [\"*\"]\n"),
        ("direct_fallback", "direct_fallback = \"always\"\n"),
        ("credentials.mine", "[credentials.mine]\nuser = \"alice\"\n"),
        ("credentials.corp.for", "[credentials.corp]\nfor = [\"*\"]\n"),
        ("listeners", "[[listeners]]\ninterface = \"lo\"\nport = 1080\n"),
    ];
    let nothing = |policy: &Statement| played(vec![policy.clone()], &Said::default()).0.unwrap().config;
    for (policy, place) in offices() {
        for (key, file) in files {
            let (loaded, _) = played(vec![policy.clone()], &Said { file, ..Said::default() });
            let loaded = loaded.unwrap_or_else(|mistakes| panic!("{place}, {key}: {mistakes}"));
            let mut config = loaded.config;
            config.files.clear();
            assert_eq!(config, with_files_of(nothing(&policy)), "{place}, {key}");
            let warned: Vec<&str> = loaded.warnings.iter().map(|warning| warning.key.as_str()).collect();
            assert_eq!(warned, [*key], "{place}");
        }
        let flags: &[(&'static str, &[&str], &str, bool)] = &[
            ("--upstream", &["upstream"], "mine:1", false),
            ("--pac", &["pac"], "/mine.pac", false),
            ("--no-proxy", &["no_proxy"], "*", false),
            ("--profile", &["profile"], "home", false),
            ("--scheme", &["scheme"], "basic", false),
            ("--credential-for", &["credential_for"], "*", false),
            ("--user", &["user"], "alice", true),
            ("--listen", &["listen"], "127.0.0.1:9", true),
        ];
        for (flag, key, value, is_free) in flags {
            let found = played(vec![policy.clone()], &Said { flags: &[(flag, key, value)], ..Said::default() }).0;
            let refused = found.as_ref().err().map(ToString::to_string);
            assert_eq!(refused.is_none(), *is_free, "{place}, {flag}: {refused:?}");
            let by_name = refused.is_none_or(|said| said.starts_with(&format!("{flag}: locked by policy: ")));
            assert!(by_name, "{place}, {flag}");
        }
        let variables = [("HALLPASS_UPSTREAM", "mine:1"), ("HALLPASS_PAC", "/mine.pac"), ("HALLPASS_NO_PROXY", "*")];
        assert_eq!(refused_by(vec![policy], &Said { variables: &variables, ..Said::default() }).len(), 3, "{place}");
    }
}

/// Which file was read is no part of the way out.
fn with_files_of(mut config: crate::config::Config) -> crate::config::Config {
    config.files.clear();
    config
}

#[test]
fn what_is_somebodys_own_stays_theirs() {
    let file =
        "[upstreams.office]\ncredential = \"corp\"\n[credentials.corp]\nuser = 'CORP\\alice'\npassword = \"x\"\n";
    for (policy, place) in offices() {
        let (loaded, _) = played(vec![policy.clone()], &Said { file, ..Said::default() });
        let loaded = loaded.unwrap_or_else(|mistakes| panic!("{place}: {mistakes}"));
        assert!(loaded.warnings.is_empty(), "{place}: {:?}", loaded.warnings);
        let names: Vec<&str> = loaded.config.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
        // Who names one first does not change the order.
        assert_eq!(names, ["backup", "office"], "{place}");
        let credential = &loaded.config.credentials[0];
        assert_eq!(credential.user.as_ref().map(ToString::to_string).as_deref(), Some("CORP\\alice"), "{place}");
        assert_eq!(credential.for_upstreams, ["*.corp.example"], "{place}");
        let variables = [("HALLPASS_USER", "alice"), ("HALLPASS_PASSWORD", "x")];
        assert!(played(vec![policy], &Said { variables: &variables, ..Said::default() }).0.is_ok(), "{place}");
    }
    let with_secret = "[credentials.corp]\nuser = 'CORP\\svc'\npassword_command = [\"secret\"]\n";
    let said = Said { variables: &[("HALLPASS_PASSWORD", "x")], ..Said::default() };
    assert_eq!(refused_by(vec![toml(with_secret)], &said).len(), 1);
    let said = Said { variables: &[("HALLPASS_USER", "CORP\\mallory")], ..Said::default() };
    assert_eq!(refused_by(vec![toml(with_secret)], &said).len(), 1);
    let said = Said { variables: &[("HALLPASS_USER", "CORP\\svc")], ..Said::default() };
    assert!(played(vec![toml(with_secret)], &said).0.is_ok());
    let file = "[credentials.corp]\nnt_hash = \"00000000000000000000000000000000\"\n";
    let (loaded, _) = played(vec![toml(with_secret)], &Said { file, ..Said::default() });
    assert_eq!(loaded.unwrap().warnings.len(), 1);
}

#[test]
fn what_names_the_upstreams_of_the_policy_itself_is_taken() {
    let one = "[upstreams.office]\nurl = \"http://proxy.corp.example:8080\"\n";
    let flags: &[(&'static str, &[&str], &str)] = &[("--upstream", &["upstream"], "proxy.corp.example:8080")];
    let (loaded, _) = played(vec![toml(one)], &Said { flags, ..Said::default() });
    assert_eq!(loaded.unwrap().config.upstreams[0].name, "office");
    let pac = "[pac]\nurl = \"http://wpad.corp.example/p.pac\"\n";
    let flags: &[(&'static str, &[&str], &str)] = &[("--pac", &["pac"], "http://wpad.corp.example/p.pac")];
    assert!(played(vec![toml(pac)], &Said { flags, ..Said::default() }).0.is_ok());
    let flags: &[(&'static str, &[&str], &str)] = &[("--upstream", &["upstream"], "mine:1")];
    assert_eq!(refused_by(vec![toml(pac)], &Said { flags, ..Said::default() }).len(), 1);
}

#[test]
fn what_a_flag_says_of_all_upstreams_or_the_credential_may_be_what_the_policy_says() {
    let policy = "[upstreams.office]\nurl = \"http://p:1\"\nschemes = [\"ntlm\"]\ncredential = \"corp\"\n\
                  [credentials.corp]\nfor = [\"*.corp.example\"]\n";
    let another = "[upstreams.backup]\nurl = \"http://p:2\"\n";
    for (flag, key, value, more, is_taken) in [
        ("--scheme", "scheme", "ntlm", "", true),
        ("--scheme", "scheme", "basic", "", false),
        ("--scheme", "scheme", "ntlm", another, false),
        ("--credential-for", "credential_for", "*.corp.example", "", true),
        ("--credential-for", "credential_for", "*", "", false),
        ("--credential-for", "credential_for", "*.corp.example", "[credentials.other]\nfor = [\"a\"]\n", false),
    ] {
        let said = Said { flags: &[(flag, &[key], value)], ..Said::default() };
        let (found, _) = played(vec![toml(&format!("{policy}{more}"))], &said);
        assert_eq!(found.is_ok(), is_taken, "{flag} {value} {more}");
        match found {
            Ok(loaded) => assert_eq!(loaded.config.credentials[0].for_upstreams, ["*.corp.example"]),
            Err(mistakes) => {
                let wanted = format!("{flag}: locked by policy: /etc/hallpass/policy.toml:");
                assert!(mistakes.to_string().starts_with(&wanted), "{mistakes}");
            }
        }
    }
}

#[test]
fn what_is_recommended_of_the_way_out_is_left_to_the_user() {
    let policy = "[upstreams.office]\nurl = \"http://p:1\"\n[recommended]\nno_proxy = [\"a.example\"]\nrules = []\n";
    let written = |config: &crate::config::Config| config.routing.no_proxy.written().collect::<Vec<_>>().join(",");
    let (loaded, _) = played(vec![toml(policy)], &Said::default());
    assert_eq!(written(&loaded.unwrap().config), "a.example");
    let file = "no_proxy = [\"b.example\"]\n[[rules]]\nhosts = [\"c\"]\nuse = \"direct\"\n";
    let (loaded, path) = played(vec![toml(policy)], &Said { file, ..Said::default() });
    let loaded = loaded.unwrap();
    assert_eq!((written(&loaded.config).as_str(), loaded.config.routing.rules.len()), ("b.example", 1));
    assert!(loaded.warnings.is_empty());
    let replaced: Vec<String> = loaded.overridden(&["no_proxy"]).map(ToString::to_string).collect();
    assert_eq!(replaced, ["/etc/hallpass/policy.toml:4:1"]);
    assert_eq!(loaded.origin(&["no_proxy"]).to_string(), format!("{}:1:1", path.display()));
}

#[test]
fn what_is_recommended_against_what_is_locked_is_passed_over() {
    let policy = "grace = \"1s\"\n[credentials.corp]\nfor = [\"*.corp.example\"]\n\
                  [recommended]\ngrace = \"2s\"\nmax_logons = 2\n[recommended.credentials.mine]\nuser = \"alice\"\n";
    let (loaded, _) = played(vec![toml(policy)], &Said::default());
    let loaded = loaded.unwrap();
    let config = &loaded.config;
    assert_eq!((config.grace.as_secs(), config.max_logons, config.credentials.len()), (1, 2, 1));
    let keys: Vec<&str> = loaded.warnings.iter().map(|warning| warning.key.as_str()).collect();
    assert_eq!(keys, ["grace", "credentials.mine"]);
}

#[test]
fn a_higher_place_locks_what_a_lower_one_says() {
    let hkcu = |key| Statement::Registry { root: format!(r"HKCU\{REGISTRY_KEY}"), key };
    let text = |text: &str| Entry::Text(text.into());
    let high = key(&[("grace", text("1s"))], vec![("upstreams", key(&[("a", text("http://a:1"))], vec![]))]);
    let low = key(
        &[("grace", text("2s")), ("head_timeout", text("3s"))],
        vec![("upstreams", key(&[("b", text("http://b:1"))], vec![]))],
    );
    let (loaded, _) = played(vec![of_hklm(high), hkcu(low)], &Said::default());
    let loaded = loaded.unwrap();
    let config = &loaded.config;
    assert_eq!((config.grace.as_secs(), config.head_timeout.as_secs(), config.upstreams.len()), (1, 3, 1));
    let warned: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warned,
        [
            r"HKCU\SOFTWARE\Policies\hallpass, value grace: grace: passed over (locked by policy: HKLM\SOFTWARE\Policies\hallpass, value grace)",
            r"HKCU\SOFTWARE\Policies\hallpass\upstreams, value b: upstreams.b: passed over (locked by policy: HKLM\SOFTWARE\Policies\hallpass\upstreams, value a)",
        ]
    );
    let found = |place: &str| FoundPolicy { place: place.into(), refused: None, mistakes: 0 };
    let both = [r"HKLM\SOFTWARE\Policies\hallpass", r"HKCU\SOFTWARE\Policies\hallpass"];
    assert_eq!(loaded.policies(), both.map(found));
}

#[test]
fn preferences_for_the_user_stand_above_those_for_the_machine() {
    let plist = |path: &str, settings: &str| Statement::Plist {
        path: path.into(),
        bytes: format!("<plist version=\"1.0\"><dict>{settings}</dict></plist>").into(),
    };
    let text = |key: &str, value: &str| format!("<key>{key}</key><string>{value}</string>");
    let table = |key: &str, inner: &str| format!("<key>{key}</key><dict>{inner}</dict>");
    let upstream = |name: &str| table("upstreams", &table(name, &text("url", "p:1")));
    let user =
        plist("/u.plist", &(text("grace", "1s") + &upstream("a") + &table("recommended", &text("head_timeout", "1s"))));
    let lower = text("head_timeout", "2s") + &text("connect_timeout", "2s");
    let machine =
        text("grace", "2s") + &text("handshake_timeout", "2s") + &upstream("b") + &table("recommended", &lower);
    let (loaded, _) = played(vec![user, plist("/m.plist", &machine)], &Said::default());
    let loaded = loaded.unwrap();
    let config = &loaded.config;
    let times = [config.grace, config.handshake_timeout, config.head_timeout, config.connect_timeout];
    assert_eq!((times.map(|time| time.as_secs()), config.upstreams[0].name.as_str()), ([1, 2, 1, 2], "a"));
    let warned: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warned,
        [
            "/m.plist, key grace: grace: passed over (locked by policy: /u.plist, key grace)",
            "/m.plist, key upstreams.b: upstreams.b: passed over (locked by policy: /u.plist, key upstreams.a)",
        ]
    );
    assert_eq!(loaded.origin(&["head_timeout"]).to_string(), "/u.plist, key recommended.head_timeout");
}

#[test]
fn a_recommendation_stands_between_the_machines_file_and_the_users() {
    let directory = tempfile::tempdir().unwrap();
    let (machine, user) = (directory.path().join("machine.toml"), directory.path().join("user.toml"));
    let policy = PolicyPlace::Recorded(vec![toml("[recommended]\ngrace = \"2s\"\n")]);
    let files = Files::Standard { machine: machine.clone(), user: Some(user.clone()) };
    let inputs = Inputs { files, environment: Environment::default(), flags: Layer::default(), policy };
    let grace = || load(&inputs).unwrap().config.grace.as_secs();
    assert_eq!(grace(), 2);
    fs::write(&machine, "grace = \"1s\"\n").unwrap();
    #[cfg(unix)]
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(grace(), 2);
    fs::write(&user, "grace = \"3s\"\n").unwrap();
    assert_eq!(grace(), 3);
}

#[test]
fn a_policy_that_makes_no_sense_is_a_mistake_and_names_its_place() {
    let text = |text: &str| Entry::Text(text.into());
    let plist = |bytes: &[u8]| Statement::Plist { path: "/p.plist".into(), bytes: bytes.into() };
    for (policy, wanted) in [
        (toml("grcae = \"5s\""), "/etc/hallpass/policy.toml:1:1: grcae: no such key (did you mean grace?)"),
        (
            toml("[recommended]\ngrace = 5"),
            "/etc/hallpass/policy.toml:2:1: grace: a duration needs a unit (write \"5s\")",
        ),
        (toml("grace = "), "/etc/hallpass/policy.toml:1:"),
        (
            of_hklm(key(&[("grace", text("5"))], vec![])),
            r"HKLM\SOFTWARE\Policies\hallpass, value grace: grace: a duration",
        ),
        (
            of_hklm(key(&[("Graze", text("5s"))], vec![])),
            r"HKLM\SOFTWARE\Policies\hallpass, value Graze: Graze: no such key",
        ),
        (
            of_hklm(key(&[("Configuration", text("{"))], vec![])),
            r"HKLM\SOFTWARE\Policies\hallpass, value Configuration: this is no JSON",
        ),
        (
            of_hklm(key(&[("Configuration", text(r#"{"grace": "1s", "grace": "2s"}"#))], vec![])),
            r"HKLM\SOFTWARE\Policies\hallpass, value Configuration: this is no JSON",
        ),
        (
            of_hklm(key(&[("grace", Entry::Other("a REG_BINARY"))], vec![])),
            r"HKLM\SOFTWARE\Policies\hallpass, value grace: grace: a REG_BINARY cannot stand here",
        ),
        (
            toml("[recommended]\ngrcae = \"5s\""),
            "/etc/hallpass/policy.toml:2:1: recommended.grcae: no such key (did you mean grace?)",
        ),
        (
            toml("[recommended]\nlog = 1"),
            "/etc/hallpass/policy.toml:2:1: recommended.log: this is a table, not a key (write [recommended.log] on a",
        ),
        (
            toml("[recommended]\nupstreams = \"x\""),
            "/etc/hallpass/policy.toml:2:1: recommended.upstreams: this is a table, not a key (write [recommended.upstreams.NAME]",
        ),
        (
            toml("[recommended.upstreams.\"\"]\nurl = \"p:1\""),
            "/etc/hallpass/policy.toml:1:24: recommended.upstreams.: the name is empty",
        ),
        (
            of_hklm(key(
                &[],
                vec![("no_proxy", key(&[("1", text("a"))], vec![("more", key(&[("1", text("b"))], vec![]))]))],
            )),
            r"HKLM\SOFTWARE\Policies\hallpass\no_proxy\more: no_proxy: a list has values, and no keys below it",
        ),
        (
            of_hklm(key(&[("grace", Entry::Number(5))], vec![])),
            r"HKLM\SOFTWARE\Policies\hallpass, value grace: grace: a duration needs a unit",
        ),
        (
            of_hklm(key(&[("grace", Entry::List(vec!["5s".into()]))], vec![])),
            r"HKLM\SOFTWARE\Policies\hallpass, value grace: grace: a list cannot stand here",
        ),
        (
            of_hklm(key(&[("listen", Entry::List(vec![]))], vec![])),
            r"HKLM\SOFTWARE\Policies\hallpass, value listen: listen: there is nowhere to listen",
        ),
        (
            of_hklm(key(&[("max_clients", text(""))], vec![])),
            r#"HKLM\SOFTWARE\Policies\hallpass, value max_clients: max_clients: "" is not a whole number"#,
        ),
        (
            of_hklm(key(&[], vec![("pac", key(&[("wpad", Entry::Number(2))], vec![]))])),
            r#"HKLM\SOFTWARE\Policies\hallpass\pac, value wpad: pac.wpad: "2" is none of the choices"#,
        ),
        (
            of_hklm(key(&[("Configuration", Entry::Number(1))], vec![])),
            r"HKLM\SOFTWARE\Policies\hallpass, value Configuration: this wants JSON in a REG_SZ",
        ),
        (
            of_hklm(key(&[("rules", Entry::List(vec!["x".into()]))], vec![])),
            r"HKLM\SOFTWARE\Policies\hallpass, value rules: rules: this is no JSON",
        ),
        (
            of_hklm(key(
                &[],
                vec![("upstreams", key(&[("a", text("x"))], vec![("a", key(&[("url", text("b:1"))], vec![]))]))],
            )),
            r"HKLM\SOFTWARE\Policies\hallpass\upstreams, value a: upstreams.a: it is a key, too",
        ),
        (plist(b"{ nonsense"), "/p.plist: this is no property list"),
        (plist(b"<plist><array/></plist>"), "/p.plist: this is no dictionary"),
        (
            plist(b"<plist><dict><key>grace</key><real>1.5</real></dict></plist>"),
            "/p.plist, key grace: grace: a fraction cannot stand here",
        ),
        (
            plist(b"<plist><dict><key>grace</key><date>2024-01-01T00:00:00Z</date></dict></plist>"),
            "/p.plist, key grace: grace: a date cannot stand here",
        ),
        (
            plist(b"<plist><dict><key>grace</key><dict><key>a</key><string>b</string></dict></dict></plist>"),
            "/p.plist, key grace: grace: this is a key, not a table",
        ),
        (
            plist(b"<plist><dict><key>max_clients</key><integer>-1</integer></dict></plist>"),
            "/p.plist, key max_clients: max_clients: \"-1\" is not a whole number",
        ),
        (
            plist(b"<plist><dict><key>recommended</key><array/></dict></plist>"),
            "/p.plist, key recommended: recommended: this wants a dictionary",
        ),
    ] {
        let found = refused_by(vec![policy], &Said::default());
        assert!(found.iter().any(|line| line.starts_with(wanted)), "{wanted}: {found:#?}");
    }
}

#[test]
fn a_secret_of_a_policy_has_its_place_elsewhere_and_a_mode_is_no_help() {
    let secrets = [
        ("credentials.corp", "password", "hunter2", true),
        ("credentials.corp", "nt_hash", "0123456789abcdef0123456789abcdef", false),
        ("access", "token", "hunter2", false),
    ];
    for recommended in ["", "recommended."] {
        for (table, name, secret, is_password) in secrets {
            let user = if is_password || name == "nt_hash" { "user = 'alice'\n" } else { "" };
            let in_toml = toml(&format!("[{recommended}{table}]\n{user}{name} = '{secret}'\n"));
            let found = |policy: Statement| refused_by(vec![policy], &Said::default()).join("\n");
            let text = |text: &str| Entry::Text(text.into());
            let inner = match user.is_empty() {
                true => key(&[(name, text(secret))], vec![]),
                false => key(&[("user", text("alice")), (name, text(secret))], vec![]),
            };
            let path = format!("{recommended}{table}");
            let nested = path.rsplit('.').fold(inner, |inner, part| key(&[], vec![(part, inner)]));
            let strings = format!("<key>{name}</key><string>{secret}</string>");
            let user = if user.is_empty() { "" } else { "<key>user</key><string>alice</string>" };
            let nest = |inner: String, part: &str| format!("<key>{part}</key><dict>{inner}</dict>");
            let dictionary = path.rsplit('.').fold(format!("{user}{strings}"), nest);
            let plist = Statement::Plist {
                path: "/p.plist".into(),
                bytes: format!("<plist version=\"1.0\"><dict>{dictionary}</dict></plist>").into(),
            };
            for (policy, is_linux) in [(in_toml, true), (of_hklm(nested), false), (plist, false)] {
                let said = found(policy);
                assert!(said.contains("a plain-text secret in a policy, which everybody can read"), "{path}: {said}");
                assert!(said.contains("${file:/path}") && !said.contains("chmod"), "{path}: {said}");
                assert_eq!(said.contains("LoadCredential"), is_linux, "{path}.{name}: {said}");
                assert_eq!(said.contains("hallpass login"), is_password, "{path}.{name}: {said}");
                assert!(!said.contains(secret), "{said}");
            }
        }
    }
    let elsewhere =
        "[credentials.corp]\nuser = 'alice'\npassword = '${credential:corp}'\n[access]\ntoken = '${file:/t}'\n";
    assert!(played(vec![toml(elsewhere)], &Said::default()).0.is_ok());
    // What is the user's own is judged as it always is, whatever the policy says beside it.
    let said = Said { file: "[credentials.corp]\npassword = 'hunter2'\n", ..Said::default() };
    assert!(played(vec![toml("[credentials.corp]\nuser = 'alice'\n")], &said).0.is_ok());
}

#[test]
fn a_policy_has_no_secret_in_it_and_no_path_that_depends_on_where_one_stands() {
    let text = |text: &str| Entry::Text(text.into());
    let corp = |name: &str, value: &str| {
        let inner = key(&[("user", text("alice")), (name, text(value))], vec![]);
        of_hklm(key(&[], vec![("credentials", key(&[], vec![("corp", inner)]))]))
    };
    let found = refused_by(vec![corp("password", "hunter2")], &Said::default());
    assert!(found[0].contains("a plain-text secret in a policy") && !found[0].contains("hunter2"), "{found:#?}");
    assert!(played(vec![corp("password", "${file:/run/secret}")], &Said::default()).0.is_ok());
    let found = refused_by(vec![corp("keytab", "alice.keytab")], &Said::default());
    assert!(found[0].contains("a policy names whole paths"), "{found:#?}");
    let pac = of_hklm(key(&[], vec![("pac", key(&[("url", text("p.pac"))], vec![]))]));
    assert!(refused_by(vec![pac], &Said::default())[0].contains("a policy names whole paths"));
}

/// Nothing but what stands in this file.
#[cfg(unix)]
fn with_policy_in(path: &Path) -> Inputs {
    let (environment, flags) = (Environment::default(), Layer::default());
    Inputs { files: Files::Nothing, environment, flags, policy: PolicyPlace::File(path.into()) }
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_write_is_no_policy() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy.toml");
    let inputs = with_policy_in(&path);
    assert!(load(&inputs).is_ok(), "there is none");
    fs::write(&path, "grace = \"9s\"\n").unwrap();
    for mode in [0o666, 0o646, 0o662] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let said = load(&inputs).map(|loaded| loaded.config).unwrap_err().to_string();
        let wanted =
            format!("{}:1:1: others than root may change this policy, so it is not taken (chown", path.display());
        assert!(said.starts_with(&wanted) && said.contains("chmod go-w"), "{mode:o}: {said}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    // Even one's own word does not count: whoever starts the program is not the administrator.
    let is_root = rustix::process::geteuid().is_root();
    assert_eq!(load(&inputs).is_ok(), is_root);
    if is_root {
        std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
        assert!(load(&inputs).is_err());
    }
}

#[test]
fn a_change_of_the_policy_shows_and_an_empty_one_is_suspicious() {
    let stamps = |statements: Vec<Statement>| {
        let policy = PolicyPlace::Recorded(statements);
        Inputs { files: Files::Nothing, environment: Environment::default(), flags: Layer::default(), policy }.stamps()
    };
    let some = stamps(vec![toml("grace = \"9s\"")]);
    assert_ne!(some, stamps(vec![toml("grace = \"8s\"")]));
    assert_ne!(some, stamps(vec![]));
    assert_eq!(some, stamps(vec![toml("grace = \"9s\"")]));
    let registry = |grace: &str| stamps(vec![of_hklm(key(&[("grace", Entry::Text(grace.into()))], vec![]))]);
    assert_ne!(registry("1s"), registry("2s"));
    assert!(stamps(vec![of_hklm(Key::default())]).have_emptied_since(&registry("1s")));
    assert!(!stamps(vec![]).have_emptied_since(&registry("1s")), "it was taken away");
}

#[test]
fn a_policy_of_which_nothing_counts_is_found_and_refused_with_the_reason() {
    let plist = |bytes: &str| Statement::Plist { path: "/p.plist".into(), bytes: bytes.as_bytes().into() };
    let refused = || Statement::Refused {
        place: Origin::Managed(format!(r"HKLM\{REGISTRY_KEY}")),
        problem: Problem::new("cannot read the policy: no").hint("let users read it"),
    };
    let text = |text: &str| Entry::Text(text.into());
    for (policy, why, mistakes) in [
        (refused(), Some("cannot read the policy: no (let users read it)"), 1),
        (plist("{ nonsense"), Some("this is no property list"), 1),
        (plist("<plist><array/></plist>"), Some("this is no dictionary"), 1),
        (of_hklm(key(&[("Configuration", text("{"))], vec![])), Some("this is no JSON"), 1),
        (of_hklm(key(&[("Configuration", text("{")), ("grace", text("1s"))], vec![])), None, 1),
        (toml("[["), Some(""), 1),
        // Of what is wrong key by key, the rest can be looked at.
        (toml("grace ="), None, 1),
        (toml("grcae = \"1s\"\nlevel = 1"), None, 2),
        (toml("grace = \"1s\"\ngrcae = \"1s\""), None, 1),
        (toml(""), None, 0),
    ] {
        let inputs = Inputs {
            files: Files::Nothing,
            environment: Environment::default(),
            flags: Layer::default(),
            policy: PolicyPlace::Recorded(vec![policy.clone()]),
        };
        let loaded = examine(&inputs).loaded;
        let [found] = loaded.policies() else { panic!("{policy:?}: {:?}", loaded.policies()) };
        assert_eq!((found.place.as_str(), found.mistakes), (policy.place().as_str(), mistakes), "{policy:?}");
        let said = found.refused.as_ref().map(ToString::to_string);
        assert_eq!(said.is_some(), why.is_some(), "{policy:?}: {said:?}");
        assert!(said.unwrap_or_default().starts_with(why.unwrap_or_default()), "{policy:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_look_at_a_policy_reads_none_of_it_and_sees_what_is_done_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy.toml");
    let inputs = with_policy_in(&path);
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let mut seen = vec![inputs.stamps()];
    let mut must_differ = |what: &str| {
        let now = inputs.stamps();
        assert!(!seen.contains(&now), "{what}");
        seen.push(now);
    };
    fs::write(&path, "grace = \"9s\"\n").unwrap();
    mode(&path, 0o644);
    must_differ("it appeared");
    fs::write(&path, "grace = \"19s\"\n").unwrap();
    must_differ("it was written");
    mode(&path, 0o646);
    must_differ("others may write it");
    mode(&path, 0o644);
    if rustix::process::geteuid().is_root() {
        mode(directory.path(), 0o777);
        must_differ("others may put another one in its place");
        mode(directory.path(), 0o700);
    }
    let before = inputs.stamps();
    fs::write(&path, "").unwrap();
    assert!(inputs.stamps().have_emptied_since(&before));
    // Whoever reads a pipe waits for somebody who writes.
    fs::remove_file(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let (told, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || told.send(inputs.stamps()));
    assert!(heard.recv_timeout(std::time::Duration::from_secs(20)).is_ok());
}

/// Whatever a user writes into a file, the locked part stays what the policy says.
#[test]
fn no_key_of_a_file_changes_what_is_locked() {
    let locks = |inputs: &Inputs| {
        let loaded = examine(inputs).loaded;
        let config = &loaded.config;
        let upstreams: Vec<String> =
            config.upstreams.iter().map(|one| format!("{} {}", one.name, one.endpoint)).collect();
        (
            config.grace,
            config.routing.clone(),
            upstreams,
            config.profiles.len(),
            config.listeners.len(),
            config.direct_fallback,
        )
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("all.toml");
    // Every key of the example, whether it fits or not.
    let example = include_str!("../../../examples/hallpass.toml");
    let is_line = |line: &&str| line.contains(" = ") || line.starts_with('[');
    let all: Vec<&str> =
        example.lines().filter_map(|line| line.strip_prefix('#').map(str::trim)).filter(is_line).collect();
    write_private(&path, &all.join("\n"), false).unwrap();
    let inputs = |files| Inputs {
        files,
        environment: Environment::default(),
        flags: Layer::default(),
        policy: PolicyPlace::Recorded(vec![toml(OFFICE)]),
    };
    assert_eq!(locks(&inputs(Files::Only(path))), locks(&inputs(Files::Nothing)));
}
