//! The whole way from texts to a `Config`: layers, mistakes, and back to text.

#[cfg(unix)]
use std::fs;
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::owner::Owner;
use crate::secret::Secret;

/// A directory with a configuration file that only its owner reads.
fn written(text: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f.toml");
    write_private(&path, text, false).unwrap();
    (directory, path)
}

fn inputs(files: Files, environment: &[(&str, &str)]) -> Inputs {
    let environment = Environment::from_pairs(environment.iter().copied());
    Inputs { files, environment, flags: Layer::default(), policy: PolicyPlace::Nowhere }
}

fn load_with(text: &str, environment: &[(&str, &str)]) -> Result<Loaded, Mistakes> {
    let (_directory, path) = written(text);
    load(&inputs(Files::Only(path), environment))
}

fn config(text: &str) -> Config {
    load_with(text, &[]).unwrap().config
}

/// The mistakes with the directory cut off.
fn mistakes(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let mistakes = load_with(text, environment).map(|loaded| loaded.config).unwrap_err();
    mistakes.0.iter().map(|mistake| cut(&mistake.to_string())).collect()
}

fn cut(text: &str) -> String {
    match text.split_once("f.toml:") {
        Some((before, rest)) if Path::new(before).is_absolute() => rest.into(),
        _ => text.into(),
    }
}

#[test]
fn nothing_configured_is_the_defaults_of_the_manual() {
    let config = load(&inputs(Files::Nothing, &[])).unwrap().config;
    assert_eq!(config.listen, DEFAULT_LISTEN);
    assert_eq!((config.upstreams.len(), config.credentials.len()), (0, 0));
    assert_eq!(config.grace, Duration::from_secs(5));
    assert_eq!((config.idle_timeout, config.connect_ports.clone(), config.user_agent.clone()), (None, None, None));
    let max_age = Some(Duration::from_secs(30 * 86_400));
    assert_eq!(config.audit, Audit { to: AuditTo::Stderr, max_size: 16 << 20, max_age, keep: 5 });
    assert_eq!(config.log, Log { level: Level::Info, format: LogFormat::Text });
}

#[test]
fn five_mistakes_are_reported_in_one_go_with_their_lines() {
    let text = "grcae = \"5s\"
connect_timeout = 5

[upstreams.office]
url = \"http://proxy.corp.example\"
credential = \"crop\"

[credentials.corp]
user = 'CORP\\alice'
password = \"x\"
nt_hash = \"123\"
";
    let found = mistakes(text, &[]);
    let starts = [
        "1:1: grcae: no such key (did you mean grace?)",
        "2:1: connect_timeout: a duration needs a unit (write \"5s\")",
        "5:1: upstreams.office.url: the port is missing (http://HOST:PORT, often :8080 or :3128)",
        "6:1: upstreams.office.credential: there is no credential \"crop\" (did you mean corp?)",
        "11:1: credentials.corp.nt_hash: an NT hash is 32 hexadecimal digits",
        "11:1: credentials.corp.nt_hash: a password stands beside nt_hash (keep one of them)",
    ];
    assert_eq!(found, starts);
}

#[test]
fn every_mistake_has_its_own_words() {
    let upstream = |lines: &str| format!("[upstreams.a]\nurl = \"http://p:1\"\n{lines}\n");
    let secure = |lines: &str| format!("[upstreams.a]\nurl = \"https://p:1\"\n{lines}\n");
    let credential = |lines: &str| format!("[credentials.c]\n{lines}\n");
    let listener = |lines: &str| format!("[[listeners]]\n{lines}\n");
    let tunnel = |listen: &str, target: &str| format!("[[tunnels]]\nlisten = \"{listen}\"\ntarget = \"{target}\"\n");
    for (text, wanted) in [
        ("listen = [\"0.0.0.0:3128\"]".into(), "1:11: listen: 0.0.0.0 is not a loopback address"),
        (
            "listen = \"auto\"".into(),
            if cfg!(windows) {
                "1:1: listen: there is no state directory to keep the port in (set LOCALAPPDATA, or name a port)"
            } else {
                "1:1: listen: there is no state directory to keep the port in (set HOME"
            },
        ),
        ("listen = [\"auto\", \"3128\"]".into(), "1:11: listen: \"auto\" stands alone"),
        ("listen = []".into(), "1:1: listen: there is nowhere to listen"),
        ("listen = [\"127.0.0.1:1\",\n\"127.0.0.1:1\"]".into(), "2:1: listen: 127.0.0.1:1 stands here twice"),
        ("listen = [\"localhost:1\", \"[::1]:1\"]".into(), "1:26: listen: [::1]:1 stands here twice"),
        ("grace = \"5\"".into(), "1:1: grace: a duration needs a unit"),
        ("grace = \"off\"".into(), "1:1: grace: \"off\" is no duration"),
        ("head_timeout = \"off\"".into(), "1:1: head_timeout: this cannot be off"),
        ("idle_timeout = \"0s\"".into(), "1:1: idle_timeout: this cannot be zero (\"off\" is never)"),
        ("keepalive = \"1500ms\"".into(), "1:1: keepalive: the kernel counts"),
        ("max_clients = 0".into(), "1:1: max_clients: \"0\" is not a whole number from 1"),
        ("max_clients = 1.5".into(), "1:1: max_clients: a fraction cannot stand here"),
        ("max_head = \"1KiB\"".into(), "1:1: max_head: max_head is from 4KiB to 16MiB"),
        ("max_head = 65536".into(), "1:1: max_head: a size needs a unit"),
        ("connect_ports = [443, 70000]".into(), "1:23: connect_ports: \"70000\" is no port"),
        ("no_proxy = [\"a\", \"10.0.0.0/40\"]".into(), "1:18: no_proxy: \"10.0.0.0/40\": the network"),
        ("user_agent = \"ä\"".into(), "1:1: user_agent: a header value"),
        ("local_hosts = [\"a b\"]".into(), "1:16: local_hosts: the host has a character"),
        ("user_agent = \"${env:NONE}\"".into(), "1:1: user_agent: the variable NONE is not set"),
        ("[log]\nlevel = \"loud\"".into(), "2:1: log.level: \"loud\" is none of the choices (one of \"off\""),
        if cfg!(windows) {
            ("[audit]\nto = \"journald\"".into(), "2:1: audit.to: there is no journald on ")
        } else {
            ("[audit]\nto = \"eventlog\"".into(), "2:1: audit.to: there is no eventlog on ")
        },
        ("[audit]\nto = \"stdout\"".into(), "2:1: audit.to: \"stdout\" is no place for records (\"off\", \"stderr\", "),
        ("connect_port_80 = \"off\"".into(), "1:1: connect_port_80: \"off\" is none of the choices"),
        ("tunnels = 1".into(), "1:1: tunnels: this is a list of tables (write [[tunnels]]"),
        (tunnel("127.0.0.1:1", "h"), "3:1: tunnels.1.target: the port is missing (\"git.example.com:22\")"),
        (tunnel("0.0.0.0:1", "h:1"), "2:1: tunnels.1.listen: 0.0.0.0 is not a loopback address"),
        (tunnel("127.0.0.1:3128", "h:1"), "2:1: tunnels.1.listen: 127.0.0.1:3128 is listened on already"),
        (tunnel("127.0.0.1:1", "127.0.0.1:1"), "3:1: tunnels.1.target: 127.0.0.1:1 is hallpass itself"),
        (tunnel("127.0.0.1:1", "localhost:3128"), "3:1: tunnels.1.target: localhost:3128 is hallpass itself"),
        (
            tunnel("127.0.0.1:1", "h:1") + &tunnel("localhost:1", "h:2"),
            "5:1: tunnels.2.listen: 127.0.0.1:1 is listened on already (choose another port)",
        ),
        (
            tunnel("127.0.0.1:1", "127.0.0.1:2") + &tunnel("127.0.0.1:2", "h:2"),
            "3:1: tunnels.1.target: 127.0.0.1:2 is hallpass itself",
        ),
        ("[[tunnels]]\nlisten = \"127.0.0.1:1\"".into(), "1:1: tunnels.1.target: the tunnel has no target"),
        ("[[tunnels]]\ntarget = \"h:1\"".into(), "1:1: tunnels.1.listen: the tunnel has no listen"),
        (listener("port = 1"), "1:1: listeners.1.interface: the listener has no interface (interface = \"docker0\")"),
        (listener("interface = \"lo\""), "1:1: listeners.1.port: the listener has no port (port = 3128)"),
        (listener("interface = \"a/b\"\nport = 1"), "2:1: listeners.1.interface: this is no name of an interface"),
        (listener("interface = \"lo\"\nport = 3128"), "3:1: listeners.1.port: 127.0.0.1:3128 is listened on already"),
        (listener("interface = \"lo\"\nport = 70000"), "3:1: listeners.1.port: \"70000\" is not a whole number"),
        (listener("interface = \"d\"\nport = 1\nallow = \"x\""), "4:1: listeners.1.allow: \"x\" is no network"),
        (listener("interface = \"d\"\nport = 1\nallow = []"), "4:1: listeners.1.allow: this allows nobody"),
        (
            listener("interface = \"lo\"\nport = 1\nallow = \"10.0.0.0/8\""),
            "4:1: listeners.1.allow: loopback is for the users of this machine",
        ),
        (
            listener("interface = \"lo\"\nport = 1\ntoken = \"${x}\""),
            "4:1: listeners.1.token: a secret is one ${…} or plain text",
        ),
        ("max_logons = 0".into(), "1:1: max_logons: \"0\" is not a whole number from 1 to 1000"),
        ("[access]\nusers = []".into(), "2:1: access.users: this serves nobody"),
        (
            "[access]\nusers = [\"self\", \"no-such-user\"]".into(),
            "2:18: access.users: there is no user \"no-such-user\"",
        ),
        ("[access]\nusers = [99999999999]".into(), "2:10: access.users: there is no user \"99999999999\""),
        ("[access]\nallow = \"all\"".into(), "2:1: access.allow: \"all\" is no network"),
        ("profile = \"office\"".into(), "1:1: profile: there is no profile \"office\" (add [profiles.office])"),
        ("direct_fallback = \"on-error\"".into(), "1:1: direct_fallback: \"on-error\" is none of the choices"),
        ("never_direct = [\"claude.ai\", \"10.0.0.0/8\"]".into(), "1:30: never_direct: a host, not a network"),
        ("[pac]\nurl = \"ftp://h/p\"".into(), "2:1: pac.url: a PAC script does not come by ftp://"),
        ("[pac]\nmemory = \"1MiB\"".into(), "2:1: pac.memory: memory is from 4MiB to 1GiB"),
        ("[pac]\nwpad = \"yes\"".into(), "2:1: pac.wpad: \"yes\" is none of the choices"),
        ("wpad = true".into(), "1:1: wpad: no such key (write wpad in the table [pac])"),
        ("[[rules]]\nhosts = \"a\"".into(), "1:1: rules.1.use: the rule does not say where to go"),
        ("[[rules]]\nuse = \"office\"".into(), "2:1: rules.1.use: there is no upstream \"office\" (add [upstreams"),
        ("[[rules]]\nuse = [\"direct\", \"deny\"]".into(), "2:18: rules.1.use: \"deny\" stands alone"),
        ("[[rules]]\nuse = []".into(), "2:1: rules.1.use: the list is empty"),
        ("[[rules]]\nuse = \"pac\"\nhosts = []".into(), "3:1: rules.1.hosts: the list is empty"),
        ("[[rules]]\nuse = \"pac\"\nresolve = true".into(), "3:1: rules.1.resolve: resolve is for cidr"),
        ("[[rules]]\nuse = \"pac\"\ncidr = [\"10/8\"]".into(), "3:9: rules.1.cidr: \"10/8\" is no network"),
        ("[[rules]]\nuse = \"pac\"\nports = [\"9-8\"]".into(), "3:10: rules.1.ports: \"9-8\" is no port"),
        ("[[rules]]\nuse = \"pac\"\nschemes = \"tls\"".into(), "3:1: rules.1.schemes: \"tls\" is no scheme"),
        ("[[rules]]\nuse = \"pac\"\nprograms = \"/bin/git\"".into(), "3:1: rules.1.programs: \"/bin/git\" is no"),
        ("[rules]\nuse = \"pac\"".into(), "1:2: rules: this is a list of tables (write [[rules]]"),
        ("[profiles.auto]".into(), "1:11: profiles.auto: \"auto\" means that a profile is chosen"),
        ("[profiles.a]\nlisten = 1".into(), "2:1: profiles.a.listen: no such key"),
        ("[profiles.a]\nupstreams = [\"b\"]".into(), "2:14: profiles.a.upstreams: there is no upstream \"b\""),
        ("[profiles.a]\nwhen = { subnet = \"x\" }".into(), "2:10: profiles.a.when.subnet: \"x\" is no network"),
        ("[profiles.a]\nwhen = { reachable = \"x\" }".into(), "2:10: profiles.a.when.reachable: the port is missing"),
        ("[profiles.a]\nwhen = { resolves = \"10.0.0.1\" }".into(), "2:10: profiles.a.when.resolves: an address needs"),
        ("[profiles.a]\nwhen = { gateway = \"g\" }".into(), "2:10: profiles.a.when.gateway: \"g\" is no IP address"),
        ("[upstreams.deny]\nurl = \"http://p:1\"".into(), "1:12: upstreams.deny: \"deny\" means something else"),
        ("[upstreams.a]".into(), "1:12: upstreams.a.url: the upstream has no url"),
        ("[upstreams.a]\nurl = \"socks://p:1\"".into(), "2:1: upstreams.a.url: which SOCKS?"),
        ("[upstreams.a]\nurl = \"http://u:pw@p:1\"".into(), "2:1: upstreams.a.url: a user name or password stands"),
        ("[upstreams.a]\nurl = \"http://127.0.0.1:3128\"".into(), "2:1: upstreams.a.url: 127.0.0.1:3128 is hallpass"),
        ("[upstreams.a]\nurl = \"localhost:3128\"".into(), "2:1: upstreams.a.url: localhost:3128 is hallpass"),
        (
            upstream("") + &tunnel("127.0.0.1:2", "h:1") + "[upstreams.b]\nurl = \"http://127.0.0.1:2\"",
            "8:1: upstreams.b.url: 127.0.0.1:2 is hallpass itself",
        ),
        (upstream("schemes = [\"ntlm\", \"kerberos\"]"), "3:20: upstreams.a.schemes: no such scheme: \"kerberos\""),
        (upstream("schemes = []"), "3:1: upstreams.a.schemes: the list is empty"),
        (upstream("schemes = [\"ntlm\", \"NTLM\"]"), "3:1: upstreams.a.schemes: a scheme stands here twice"),
        (upstream("spn = \"proxy\""), "3:1: upstreams.a.spn: \"proxy\" is no service principal name"),
        (upstream("canonicalize = true"), "3:1: upstreams.a.canonicalize: \"true\" is none"),
        (upstream("channel_bindings = \"on\""), "3:1: upstreams.a.channel_bindings: \"on\" is none"),
        (
            upstream("credential = \"c\""),
            "3:1: upstreams.a.credential: there is no credential \"c\" (add [credentials.c])",
        ),
        (upstream("[credentials.c]\n[credentials.d]"), "1:12: upstreams.a.credential: which credential?"),
        (secure("ca_file = \"/nowhere.pem\""), "3:1: upstreams.a.ca_file: cannot read "),
        (
            secure("ca_file = \"~/ca.pem\""),
            "3:1: upstreams.a.ca_file: ~ is not expanded (write \"${env:HOME}/ca.pem\")",
        ),
        (secure("ca_file = \"f.toml\""), "3:1: upstreams.a.ca_file: there is no certificate in"),
        (secure("client_key = \"f.toml\""), "3:1: upstreams.a.client_key: client_key without client_cert"),
        (credential("user = '\\alice'"), "2:1: credentials.c.user: the domain before the \\ is empty"),
        (credential("user = \"CORP\\tom\""), "2:1: credentials.c.user: there is a control character"),
        (credential("user = ''"), "2:1: credentials.c.user: the user is empty"),
        (credential("password = 'x'"), "2:1: credentials.c.password: password without a user"),
        (credential("user = 'a'\npassword = 12345"), "3:1: credentials.c.password: this wants text, not a number"),
        (credential("user = 'a'\npassword = ''"), "3:1: credentials.c.password: the secret is empty"),
        (credential("user = 'a'\npassword = '${vault:x}'"), "3:1: credentials.c.password: no such place of a secret"),
        (
            credential("user = 'a'\npassword = 'x'\npassword_command = ['y']"),
            "4:1: credentials.c.password_command: password stands beside password_command",
        ),
        (
            credential("user = 'a'\npassword_command = ['echo', '${file:/proc/version}']"),
            "3:1: credentials.c.password_command: what a file holds would be seen",
        ),
        (credential("user = 'a'\npassword_command = []"), "3:1: credentials.c.password_command: there is no program"),
        (credential("user = 'a'\nnt_hash = 'xyz'"), "3:1: credentials.c.nt_hash: an NT hash is 32"),
        (credential("user = 'a'\nkeytab = 'f.toml'"), "3:1: credentials.c.keytab: a keytab needs a realm"),
        (credential("user = 'a@R'\nkeytab = '/nowhere.kt'"), "3:1: credentials.c.keytab: there is no file "),
        (credential("keytab = 'f.toml'"), "2:1: credentials.c.keytab: keytab without a user"),
        (credential("realm = 'A B'"), "2:1: credentials.c.realm: \"A B\" is no Kerberos realm"),
        (credential("kdc = ['dc1:x']"), "2:8: credentials.c.kdc: the port is not a number"),
        (credential("separate_account = 'yes'"), "2:1: credentials.c.separate_account: \"yes\" is none"),
        (credential("for = ['http://a']"), "2:8: credentials.c.for: \"//a\" is no port"),
        (credential("for = ['a..b']"), "2:8: credentials.c.for: the host is empty"),
    ] {
        let found = mistakes(&text, &[]);
        assert_eq!(found.len(), 1, "{text}\n{found:#?}");
        assert!(found[0].starts_with(wanted), "{text}\n{found:#?}\n{wanted}");
        assert!(!found[0].contains("pw@"), "{found:#?}");
    }
}

#[test]
fn what_is_for_tls_is_refused_without_it() {
    let text = "[upstreams.a]\nurl = \"http://p:1\"\nca_file = \"f.toml\"\n# -----BEGIN CERTIFICATE-----\n";
    assert_eq!(
        mistakes(text, &[]),
        ["3:1: upstreams.a.ca_file: ca_file is for https:// upstreams (write https:// in url)"]
    );
}

#[cfg(unix)]
#[test]
fn a_plain_text_password_is_only_taken_from_a_file_that_others_cannot_read() {
    let text = "[credentials.c]\nuser = 'a'\npassword = 'hunter2'\n";
    let (_directory, path) = written(text);
    let inputs = inputs(Files::Only(path.clone()), &[]);
    assert!(load(&inputs).is_ok());
    for mode in [0o640, 0o604, 0o644] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let found = load(&inputs).unwrap_err().to_string();
        assert!(found.contains(":3:1: credentials.c.password: a plain-text secret") && !found.contains("hunter2"));
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_holds_a_secret_is_only_taken_where_others_cannot_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    fs::write(&secret, "hunter2").unwrap();
    let place = secret.display();
    for line in [
        format!("password = '${{file:{place}}}'"),
        format!("nt_hash = '${{file:{place}}}'"),
        format!("keytab = '{place}'\nrealm = 'R'"),
    ] {
        let text = format!("[credentials.c]\nuser = 'a'\n{line}\n");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(load_with(&text, &[]).is_ok(), "{line}");
        for mode in [0o640, 0o644] {
            fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
            let found = mistakes(&text, &[]);
            assert_eq!(found.len(), 1, "{line} {found:?}");
            assert!(found[0].contains("others can read the secret in") && found[0].contains("chmod 600"), "{found:?}");
        }
    }
}

#[test]
fn a_keytab_of_the_unit_is_where_the_unit_has_it_and_no_mistake_elsewhere() {
    let text = "[credentials.c]\nuser = 'a@R'\nkeytab = '${credential:kt}'\n";
    let keytab = |variables: &[(&str, &str)]| load_with(text, variables).unwrap().config.credentials[0].keytab.clone();
    assert_eq!(keytab(&[("CREDENTIALS_DIRECTORY", "/run/c")]), Some("/run/c/kt".into()));
    assert_eq!(keytab(&[]), Some("/run/credentials/hallpass.service/kt".into()));
}

#[test]
fn basic_that_everybody_on_the_way_can_read_is_worth_a_warning() {
    for (url, schemes, warned) in [
        ("http://proxy.corp.example:1", "\"ntlm\", \"basic\"", true),
        ("socks5://proxy.corp.example:1", "\"basic\"", true),
        ("http://10.0.0.1:1", "\"basic\"", true),
        ("https://proxy.corp.example:1", "\"basic\"", false),
        ("http://127.0.0.1:1", "\"basic\"", false),
        ("http://localhost:1", "\"basic\"", false),
        ("http://proxy.corp.example:1", "\"ntlm\"", false),
    ] {
        let loaded = load_with(&format!("[upstreams.a]\nurl = \"{url}\"\nschemes = [{schemes}]\n"), &[]).unwrap();
        let warnings: Vec<String> = loaded.warnings.iter().map(|warning| cut(&warning.to_string())).collect();
        assert_eq!(warnings.len(), usize::from(warned), "{url} {schemes} {warnings:?}");
        let starts = |warning: &String| warning.starts_with("3:1: upstreams.a.schemes: basic shows the password");
        assert!(warnings.iter().all(starts), "{warnings:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_machine_wide_file_that_others_may_write_is_refused() {
    let (directory, path) = written("grace = \"1s\"\n");
    let inputs = inputs(Files::Standard { machine: path.clone(), user: None }, &[]);
    assert_eq!(load(&inputs).unwrap().config.grace, Duration::from_secs(1));
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let found = load(&inputs).unwrap_err().to_string();
    assert!(found.contains("f.toml:1:1: others than root may change this machine-wide file"), "{found}");
}

#[test]
fn a_higher_layer_replaces_whole_keys_and_tables_merge() {
    let (_one, machine) = written(
        "grace = \"1s\"\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nhead_timeout = \"1s\"\nconnect_timeout = \"1s\"
[upstreams.a]\nurl = \"http://a:1\"\nspn = \"HTTP/a\"\n[log]\nlevel = \"warn\"\nformat = \"json\"\n",
    );
    let (_two, user) = written(
        "grace = \"2s\"\nlisten = [\"127.0.0.1:3\"]\nhead_timeout = \"2s\"
[upstreams.b]\nurl = \"http://b:1\"\n[upstreams.a]\nurl = \"http://aa:1\"\n[log]\nlevel = \"debug\"\n",
    );
    let files = Files::Standard { machine: machine.clone(), user: Some(user.clone()) };
    let mut inputs = inputs(files, &[("HALLPASS_GRACE", "3s"), ("HALLPASS_HEAD_TIMEOUT", "3s")]);
    inputs.flags.set(&["grace"], Value::Text("4s".into()), Origin::Flag("--grace"));
    let loaded = load(&inputs).unwrap();
    let config = &loaded.config;
    let seconds = [config.connect_timeout, config.head_timeout, config.grace].map(|time| time.as_secs());
    assert_eq!(seconds, [1, 3, 4]);
    assert_eq!(config.listen, ["127.0.0.1:3".parse().unwrap()]);
    let upstreams: Vec<String> = config.upstreams.iter().map(|u| format!("{} {}", u.name, u.endpoint)).collect();
    assert_eq!(upstreams, ["a http://aa:1", "b http://b:1"]);
    assert_eq!(config.upstreams[0].spn.as_deref(), Some("HTTP/a"));
    assert_eq!(config.log, Log { level: Level::Debug, format: LogFormat::Json });
    assert_eq!(config.files, [machine, user.clone()]);
    assert_eq!(loaded.origin(&["grace"]), Origin::Flag("--grace"));
    assert_eq!(loaded.origin(&["head_timeout"]), Origin::Variable("HALLPASS_HEAD_TIMEOUT".into()));
    assert_eq!(loaded.origin(&["log", "level"]), Origin::File { path: user, line: 9, column: 1 });
    assert_eq!(loaded.origin(&["keepalive"]), Origin::Default);
}

#[test]
fn only_a_file_that_was_named_must_be_there() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = directory.path().join("hallpass.toml");
    let absent = Files::Standard { machine: nowhere.clone(), user: Some(nowhere.clone()) };
    assert!(load(&inputs(absent, &[])).is_ok());
    let found = load(&inputs(Files::Only(nowhere.clone()), &[])).unwrap_err().to_string();
    let wanted = format!("{}:1:1: cannot read the file: ", nowhere.display());
    assert!(found.starts_with(&wanted) && found.contains("(os error 2)"), "{found}");
}

const OFFICE: &str = "[upstreams.office]\nurl = \"http://office:1\"\ncredential = \"corp\"
[credentials.corp]\nuser = 'CORP\\alice'\npassword_command = [\"ask\"]\n";

#[test]
fn a_rule_beside_an_upstream_from_above_is_told_why_its_upstream_is_gone() {
    let (_directory, path) =
        written("[upstreams.office]\nurl = \"http://a:1\"\n[[rules]]\nhosts = \"b\"\nuse = \"office\"\n");
    let inputs = inputs(Files::Only(path), &[("HALLPASS_UPSTREAM", "http://c:1")]);
    let said = load(&inputs).unwrap_err().to_string();
    assert!(
        said.contains("there is no upstream \"office\" (HALLPASS_UPSTREAM replaces the upstreams of the"),
        "{said}"
    );
}

#[test]
fn an_upstream_from_above_replaces_those_of_the_files() {
    let environment = [("HALLPASS_UPSTREAM", "x:1,https://y:2"), ("HALLPASS_SCHEME", "ntlm,basic")];
    let config = load_with(OFFICE, &environment).unwrap().config;
    let upstreams: Vec<String> = config.upstreams.iter().map(|u| format!("{} {}", u.name, u.endpoint)).collect();
    assert_eq!(upstreams, ["upstream-1 http://x:1", "upstream-2 https://y:2"]);
    assert_eq!(config.upstreams[1].schemes, [Scheme::Ntlm, Scheme::Basic]);
    assert_eq!(config.upstreams[1].credential.name, "corp");
}

#[test]
fn a_user_from_above_never_gets_another_users_password() {
    let credential = |environment: &[(&str, &str)]| {
        let config = load_with(OFFICE, environment).unwrap().config;
        assert_eq!(config.credentials.len(), 1);
        assert_eq!(config.upstreams[0].credential, config.credentials[0]);
        config.credentials[0].clone()
    };
    let other = credential(&[("HALLPASS_USER", "bob")]);
    assert_eq!((other.name.as_str(), &other.secret), ("default", &Some(Source::Store("bob".into()))));
    let same = credential(&[("HALLPASS_USER", r"CORP\alice")]);
    assert_eq!(same.secret, Some(Source::Command(vec!["ask".into()])));
    let with_password = credential(&[("HALLPASS_USER", "bob"), ("HALLPASS_PASSWORD", "x")]);
    let captured = Source::Variable { name: "HALLPASS_PASSWORD".into(), value: Some(Secret::new("x")) };
    assert_eq!(with_password.secret, Some(captured.clone()));
    let password_only = credential(&[("HALLPASS_PASSWORD", "x")]);
    assert_eq!((password_only.name.as_str(), &password_only.secret), ("corp", &Some(captured)));
}

#[test]
fn a_password_that_belongs_to_nobody_in_particular_is_a_mistake() {
    let found = mistakes("", &[("HALLPASS_PASSWORD", "hunter2")]);
    assert_eq!(
        found,
        ["HALLPASS_PASSWORD: a password without a user (name the user with --user, HALLPASS_USER or in a file)"]
    );
    let found = mistakes("[credentials.a]\n[credentials.b]\n", &[("HALLPASS_PASSWORD", "hunter2")]);
    assert!(found[0].starts_with("HALLPASS_PASSWORD: whose? There are several credentials"), "{found:?}");
}

#[test]
fn without_a_credential_the_logged_in_identity_is_used_and_basic_is_not() {
    let config = config("[upstreams.a]\nurl = \"http://a:1\"\n");
    assert_eq!(*config.upstreams[0].credential, Credential::logged_in());
    assert!(config.credentials.is_empty());
    assert_eq!(config.upstreams[0].schemes, Scheme::DEFAULT);
}

#[test]
fn secrets_are_not_read_by_loading() {
    let config = config(
        "[credentials.c]\nuser = 'a'\npassword = '${file:/nowhere/pw}'\n[credentials.d]\nuser = 'b'\npassword = '${env:NONE}'\n",
    );
    assert_eq!(config.credentials[0].secret, Some(Source::File("/nowhere/pw".into())));
    assert!(matches!(&config.credentials[1].secret, Some(Source::Variable { value: None, .. })));
}

#[test]
fn a_user_without_any_other_secret_has_it_in_the_systems_store() {
    for user in ["'CORP\\alice'", "'CORP/alice'"] {
        let loaded = load_with(&format!("[credentials.c]\nuser = {user}\n"), &[]).unwrap();
        assert_eq!(loaded.config.credentials[0].secret, Some(Source::Store("CORP\\alice".into())));
        assert_eq!(loaded.warnings.len(), 0);
    }
    let elsewhere = load_with("[credentials.c]\nuser = 'a'\nnt_hash = '${env:H}'\n", &[]).unwrap();
    assert_eq!(elsewhere.config.credentials[0].secret, None);
    let logged_in = load_with("[credentials.c]\nrealm = 'CORP.EXAMPLE'\n", &[]).unwrap();
    assert_eq!(logged_in.config.credentials[0].secret, None);
}

#[test]
fn relative_paths_start_at_the_file_that_names_them() {
    let (directory, path) = written(
        "# -----BEGIN CERTIFICATE-----\n[upstreams.a]\nurl = \"https://p:1\"\nca_file = \"f.toml\"
client_cert = \"./f.toml\"\nclient_key = \"f.toml\"\n",
    );
    let config = load(&inputs(Files::Only(path.clone()), &[])).unwrap().config;
    assert_eq!(config.upstreams[0].ca_file.as_deref(), Some(path.as_path()));
    let client = config.upstreams[0].client.as_ref().unwrap();
    assert_eq!((client.certificate.as_path(), client.key.as_path()), (&*directory.path().join("./f.toml"), &*path));
}

/// Everything that can be written, with odd characters.
fn everything(directory: &Path) -> String {
    let pem = directory.join("c.pem");
    write_private(&pem, "-----BEGIN CERTIFICATE-----\n", false).unwrap();
    format!(
        r#"
listen = ["127.0.0.1:0", "[::1]:8080"]
grace = "1m"
connect_timeout = "1500ms"
handshake_timeout = "1m"
head_timeout = "7s"
idle_timeout = "2h"
half_close_timeout = "90s"
keepalive = "off"
max_clients = 12
max_head = "70000B"
local_hosts = ["Relay.example", "192.0.2.1"]
connect_ports = [443, 8443]
no_proxy = ["a.example, .b.example", "10.0.0.0/8", "*.c.example:80"]
user_agent = "it's \"odd\" $${{x}} \\ # no comment"
[upstreams."dotted.name"]
url = "https://[2001:db8::1]:3129"
credential = "two words"
schemes = ["basic", "digest"]
spn = "HTTP/proxy.corp.example"
canonicalize = "fallback"
channel_bindings = "off"
ca_file = '{pem}'
client_cert = '{pem}'
client_key = '{pem}'
[upstreams.second]
url = "http://b:1"
credential = "hash"
[credentials."two words"]
user = 'CORP\alice'
password = "${{file:/nowhere/pw}}"
realm = "CORP.EXAMPLE"
kdc = ["dc1.corp.example", "dc2:8888"]
keytab = '{pem}'
separate_account = true
for = ["*.corp.example"]
[credentials.hash]
user = "bob@CORP.EXAMPLE"
nt_hash = "${{credential:hash}}"
[credentials.command]
user = "bob"
password_command = ["a b", "it's", "$${{y}}"]
[credentials.variable]
user = "bob"
password = "${{env:PW}}"
[audit]
to = "/var/log/a b.jsonl"
max_size = "1MiB"
max_age = "off"
keep = 0
[log]
level = "trace"
format = "json"
"#,
        pem = pem.display()
    )
}

#[test]
fn what_is_shown_loads_back_to_the_same_configuration() {
    let directory = tempfile::tempdir().unwrap();
    for text in [everything(directory.path()), String::new(), OFFICE.into(), "[upstreams.a]\nurl = 'a:1'".into()] {
        let environment = [("PW", "hunter2")];
        let first = load_with(&text, &environment).unwrap();
        let shown = first.to_toml();
        assert!(!shown.contains("hunter2"), "{shown}");
        let mut second = load_with(&shown, &environment).unwrap_or_else(|found| panic!("{found}\n{shown}")).config;
        second.files = first.config.files.clone();
        assert_eq!(second, first.config, "{shown}");
    }
}

#[test]
fn a_secret_is_not_shown_and_its_place_is() {
    let shown = load_with(
        "[credentials.c]\nuser='a'\npassword='hunter2'\n[credentials.d]\nuser='b'\nnt_hash='0123456789abcdef0123456789ABCDEF'\n",
        &[],
    );
    let shown = shown.unwrap().to_toml();
    assert!(!shown.contains("hunter2") && !shown.contains("0123456789"), "{shown}");
    assert!(shown.contains("# password = \"(not shown)\"") && shown.contains("# nt_hash = \"(not shown)\""), "{shown}");
    let shown = load_with(OFFICE, &[("HALLPASS_PASSWORD", "hunter2")]).unwrap().to_toml();
    assert!(shown.contains("password = \"${env:HALLPASS_PASSWORD}\"  # HALLPASS_PASSWORD\n"), "{shown}");
}

#[test]
fn ways_in_are_read_in_order_and_shown_as_they_are_written() {
    let text = "connect_port_80 = \"absolute-form\"
[[listeners]]
interface = \"lo\"
port = 1080
socks5 = true
[[listeners]]
interface = \"lo\"
port = 0
[[tunnels]]
listen = \"127.0.0.1:2222\"
target = \"Git.Example.com:22\"
[[tunnels]]
listen = \"3389\"
target = \"[2001:db8::1]:3389\"
";
    let loaded = load_with(text, &[]).unwrap();
    let config = &loaded.config;
    assert_eq!(config.connect_port_80, ConnectPort80::AbsoluteForm);
    let listener =
        |port, socks5| Listener { interface: "lo".into(), port, allow: Allow::InterfaceSubnet, token: None, socks5 };
    assert_eq!(config.listeners, [listener(1080, true), listener(0, false)]);
    let shown: Vec<String> =
        config.tunnels.iter().map(|tunnel| format!("{:?} {}", tunnel.listen, tunnel.target)).collect();
    let wanted = ["[127.0.0.1:2222] git.example.com:22", "[127.0.0.1:3389, [::1]:3389] [2001:db8::1]:3389"];
    assert_eq!(shown, wanted);
    let toml = loaded.to_toml();
    assert!(toml.contains("\n[[tunnels]]\nlisten = \"127.0.0.1:2222\"  # "), "{toml}");
    let again = self::config(&toml);
    let ways = |config: &Config| (config.listeners.clone(), config.tunnels.clone(), config.connect_port_80);
    assert_eq!(ways(&again), ways(config));
}

#[test]
fn a_port_of_the_users_own_is_the_same_each_time_and_shown_as_it_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let home = ["HOME", "LOCALAPPDATA"].map(|name| (name, directory.path().to_str().unwrap()));
    for text in ["listen = \"auto\"\n", "listen = [\"auto\"]\n"] {
        let loaded = load_with(text, &home).unwrap();
        let port = loaded.config.listen[0].port();
        assert_eq!(
            loaded.config.listen,
            [format!("127.0.0.1:{port}"), format!("[::1]:{port}")].map(|addr| addr.parse().unwrap())
        );
        assert!(loaded.config.listen_auto && loaded.to_toml().contains("listen = \"auto\""));
        assert_eq!(load_with(&loaded.to_toml(), &home).unwrap().config.listen, loaded.config.listen);
    }
}

#[test]
fn who_may_come_in_is_shown_as_it_is_written() {
    let [one, other] = if cfg!(windows) { ["\"S-1-5-18\"", "\"S-1-5-21-1-2-3-1001\""] } else { ["\"root\"", "4711"] };
    let users = format!("users = [\"self\", {one}, {other}]");
    let wanted = match cfg!(windows) {
        true => ["S-1-5-18", "S-1-5-21-1-2-3-1001"].map(|sid| Owner::Sid(sid.into())),
        false => [Owner::ROOT, Owner::Uid(4711)],
    };
    let text = "listen = [\"0.0.0.0:3128\"]
[access]
USERS
token = \"${env:TOKEN}\"
allow = [\"192.0.2.0/24\", \"2001:db8::/32\"]
[[listeners]]
interface = \"docker0\"
port = 3128
[[listeners]]
interface = \"vEthernet (WSL)\"
port = 3128
allow = [\"172.17.0.0/16\"]
token = \"${file:/run/token}\"
";
    let loaded = load_with(&text.replace("USERS", &users), &[("TOKEN", "hunter2")]).unwrap();
    let (access, listeners) = (&loaded.config.access, &loaded.config.listeners);
    let owners = access.users.owners.as_ref().unwrap();
    assert!(wanted.iter().all(|owner| owners.contains(owner)), "{owners:?}");
    assert_eq!(access.allow.len(), 2);
    assert_eq!(listeners[0].allow, Allow::InterfaceSubnet);
    assert_eq!(listeners[1].allow, Allow::Networks(vec!["172.17.0.0/16".parse().unwrap()]));
    let toml = loaded.to_toml();
    assert!(!toml.contains("hunter2") && toml.contains("token = \"${env:TOKEN}\""), "{toml}");
    let again = load_with(&toml, &[("TOKEN", "hunter2")]).unwrap().config;
    assert_eq!((&again.access, &again.listeners), (access, listeners));
    let empty = config("[access]\ntoken = \"\"\n").access;
    assert_eq!((empty.token, empty.users), (None, Users::default()));
    let any = load_with("", &[("HALLPASS_ACCESS_USERS", "any"), ("HALLPASS_ACCESS_ALLOW", "10.0.0.0/8,::1/128")]);
    let any = any.unwrap().config.access;
    assert_eq!((any.users.owners, any.allow.len()), (None, 2));
}

/// A configuration with everything that says where requests go.
const ROUTES: &str = "
profile = \"auto\"
direct_fallback = \"never\"
never_direct = [\"claude.ai\", \"*.Anthropic.com\"]
no_proxy = [\"*.direct.example\"]

[upstreams.office]
url = \"http://proxy.corp.example:8080\"
[upstreams.backup]
url = \"http://backup.corp.example:8080\"

[pac]
url = \"http://wpad.corp.example/proxy.pac\"
refresh = \"10m\"

[[rules]]
hosts = [\"gateway.internal\"]
use = \"direct\"

[[rules]]
cidr = [\"10.1.2.3/8\"]
resolve = true
ports = [443, \"8000-8999\"]
schemes = [\"HTTPS\"]
programs = [\"git\"]
use = [\"office\", \"backup\", \"direct\"]
reason = \"internal\"

[profiles.office]
when = { dns_suffix = \"corp.example\", subnet = [\"10.0.0.0/8\"] }
rules = [{ hosts = \"a\", use = \"deny\" }]

[profiles.vpn]
when = { resolves = \"proxy.corp.example\" }
upstreams = [\"backup\"]

[profiles.home]
pac = \"\"
no_proxy = []
";

#[test]
fn a_profile_replaces_what_it_names_and_keeps_the_rest() {
    let config = config(ROUTES);
    let of = |at| config.routing(at);
    let [office, vpn, home] = [of(Some(0)), of(Some(1)), of(Some(2))];
    assert_eq!(of(None).upstreams, ["office", "backup"]);
    assert_eq!((of(None).rules.len(), office.rules.len(), vpn.rules.len()), (2, 1, 2));
    assert_eq!(office.pac, of(None).pac);
    // Upstreams and PAC are one choice.
    assert_eq!((vpn.upstreams.as_slice(), &vpn.pac), (&["backup".to_string()][..], &None));
    assert_eq!((home.upstreams.len(), &home.pac, home.no_proxy.written().count()), (0, &None, 0));
    assert_eq!(vpn.no_proxy, of(None).no_proxy);
    assert_eq!(config.routing(Some(7)), of(None));
}

#[test]
fn addresses_are_what_the_machine_calls_them_however_they_are_written() {
    let config = config(
        "[[rules]]\nuse = \"direct\"\ncidr = [\"::ffff:10.0.0.0/104\", \"[fd00::1]/8\"]\n\
         [profiles.a]\nwhen = { subnet = \"::ffff:10.1.0.0/112\", gateway = \"::ffff:10.1.0.1\" }\n",
    );
    let shown: Vec<String> = config.routing.rules[0].cidr.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["10.0.0.0/8", "fd00::/8"]);
    let when = &config.profiles[0].when;
    assert_eq!((when.subnet[0].to_string(), when.gateway[0].to_string()), ("10.1.0.0/16".into(), "10.1.0.1".into()));
}

#[test]
fn a_rule_is_read_with_its_place() {
    let config = config(ROUTES);
    let rule = &config.routing.rules[1];
    assert_eq!(rule.place, "rule 2 at line 20 of f.toml");
    assert_eq!(rule.cidr[0].to_string(), "10.0.0.0/8");
    assert_eq!((rule.schemes.as_slice(), rule.reason.as_deref()), (&["https".to_string()][..], Some("internal")));
    let hops: Vec<String> = match &rule.action {
        crate::route::rules::Use::Hops(hops) => hops.iter().map(ToString::to_string).collect(),
        other @ (crate::route::rules::Use::Pac | crate::route::rules::Use::Deny) => panic!("{other:?}"),
    };
    assert_eq!(hops, ["http://proxy.corp.example:8080", "http://backup.corp.example:8080", "direct"]);
}

#[test]
fn routes_that_are_shown_load_back_to_the_same_routes() {
    let loaded = load_with(ROUTES, &[]).unwrap();
    let again = load_with(&loaded.to_toml(), &[]).unwrap_or_else(|mistakes| panic!("{:?}", mistakes.0));
    let strip = |mut config: Config| {
        config.files.clear();
        config.environment = Environment::default();
        let routings = config.profiles.iter_mut().map(|profile| &mut profile.routing);
        for rule in routings.chain([&mut config.routing]).flat_map(|routing| &mut routing.rules) {
            rule.place.clear();
        }
        config
    };
    assert_eq!(strip(again.config), strip(loaded.config));
}

#[test]
fn an_upstream_or_script_of_a_flag_counts_instead_of_the_routes_of_the_files() {
    let from = |variable: (&str, &str)| load_with(&ROUTES.replace("[[rules]]", "[[profiles.x.rules]]"), &[variable]);
    let loaded = from(("HALLPASS_UPSTREAM", "http://p:1")).unwrap().config;
    assert_eq!((loaded.routing.upstreams.len(), &loaded.routing.pac, loaded.profiles.len()), (1, &None, 0));
    let loaded = from(("HALLPASS_PAC", "/etc/other.pac")).unwrap().config;
    assert_eq!(loaded.profiles.len(), 4);
    for at in [None, Some(0), Some(1), Some(2), Some(3)] {
        let pac = loaded.routing(at).pac.as_ref().map(|pac| pac.written.as_str());
        assert_eq!(pac, Some("/etc/other.pac"), "{at:?}");
    }
}
