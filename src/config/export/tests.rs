//! What is exported and imported again is the same configuration, key by key.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::config::import::exported;
use crate::config::{
    Config, Environment, Files, Inputs, PolicyPlace, RegistryKey, RegistryValue, Statement, keys, load, write_private,
};

/// Every key there is, with something else than its default. DIR is where the files are.
const EVERYTHING: &str = "\
listen = [\"127.0.0.1:4128\", 4129]
grace = \"7s\"
drain_delay = \"3s\"
connect_timeout = \"6s\"
handshake_timeout = \"21s\"
head_timeout = \"31s\"
idle_timeout = \"1h\"
half_close_timeout = \"11m\"
keepalive = \"off\"
max_clients = 500
max_logons = 3
warm_handshakes = 1
max_head = \"128KiB\"
local_hosts = [\"relay.example\"]
connect_ports = [443, 8443]
connect_port_80 = \"absolute-form\"
profile = \"z office\"
direct_fallback = \"never\"
never_direct = [\"claude.ai\", \"*.example.org\"]
no_proxy = [\"*.corp.example\", \"10.0.0.0/8\"]
user_agent = \"a \\\"quoted\\\" \\\\ agent\"

[access]
metrics = [\"10.244.0.0/16\"]
users = [\"self\", 4711]
token = \"${env:TOKEN}\"
allow = [\"192.0.2.0/24\"]

[pac]
url = \"proxy.pac\"
refresh = \"2h\"
timeout = \"2s\"
memory = \"16MiB\"
wpad = true

[[listeners]]
interface = \"docker0\"
port = 1080
allow = [\"172.17.0.0/16\"]
token = \"${file:DIR/secret}\"
socks5 = true

[[tunnels]]
listen = \"127.0.0.1:2222\"
target = \"git.example.com:22\"

[[rules]]
hosts = [\"a.example\", \"*.b.example\"]
cidr = [\"10.0.0.0/8\"]
resolve = true
ports = [443, \"8000-8999\"]
schemes = [\"https\"]
programs = [\"git\"]
use = [\"z\", \"direct\"]
reason = \"internal, and \\\"so\\\"\"

[[rules]]
hosts = \"c.example\"
use = \"deny\"

[profiles.\"z office\"]
upstreams = [\"z\"]
no_proxy = [\"d.example\"]
rules = [{ hosts = [\"e\"], cidr = [\"10.1.0.0/16\"], resolve = true, ports = 80, schemes = [\"http\"], programs = [\"curl\"], use = \"direct\", reason = \"r\" }]
when = { dns_suffix = [\"corp.example\"], subnet = [\"10.0.0.0/8\"], resolves = [\"p.example\"], reachable = [\"p.example:80\"], gateway = [\"10.0.0.1\"] }

[profiles.\"a\\\\b.c\"]
pac = \"http://wpad.example/p.pac\"

[profiles.nothing]

[upstreams.z]
url = \"https://proxy.corp.example:8443\"
credential = \"password\"
schemes = [\"ntlm\", \"negotiate\"]
spn = \"HTTP/proxy.corp.example\"
canonicalize = \"always\"
channel_bindings = \"off\"
ca_file = \"ca.pem\"
client_cert = \"me.pem\"
client_key = \"me.key\"

[upstreams.a]
url = \"http://backup.corp.example:8080\"
credential = \"keytab\"

[credentials.password]
user = 'CORP\\alice'
password = \"${file:DIR/secret}\"
kdc = [\"dc1.corp.example:88\"]
separate_account = true
for = [\"*.corp.example\"]

[credentials.command]
user = \"bob@CORP.EXAMPLE\"
password_command = [\"secret-tool\", \"lookup\", \"\", \"a b\"]

[credentials.hash]
user = 'CORP\\carol'
nt_hash = \"${env:HASH}\"

[credentials.keytab]
user = \"dave\"
keytab = \"dave.keytab\"
realm = \"CORP.EXAMPLE\"

[audit]
to = \"DIR/audit\"
max_size = \"8MiB\"
max_age = \"off\"
keep = 2

[log]
level = \"debug\"
format = \"json\"
";

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        for name in ["secret", "ca.pem", "corp-ca.pem", "me.pem", "me.key", "dave.keytab", "proxy.pac"] {
            home.put(name, b"-----BEGIN CERTIFICATE-----\n");
        }
        home
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        write_private(&path, "", true).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Windows numbers its users otherwise, and takes either stroke in a path.
    fn everything(&self) -> String {
        let text = EVERYTHING.replace("DIR", &self.0.path().to_str().unwrap().replace('\\', "/"));
        if cfg!(windows) { text.replace("4711", "\"S-1-5-21-1-2-3-1001\"") } else { text }
    }

    fn load(&self, file: &Path, policy: PolicyPlace) -> Loaded {
        let home = self.0.path().to_str().unwrap();
        let environment =
            Environment::from_pairs([("HOME", home), ("LOCALAPPDATA", home), ("TOKEN", "t"), ("USER", "alice")]);
        let inputs = Inputs { files: Files::Only(file.into()), environment, flags: Layer::default(), policy };
        load(&inputs).unwrap_or_else(|mistakes| panic!("{}: {mistakes}", file.display()))
    }
}

/// Without what says where it was read.
fn effective(mut config: Config) -> Config {
    config.files.clear();
    let routings = config.profiles.iter_mut().map(|profile| &mut profile.routing);
    for routing in routings.chain([&mut config.routing]) {
        routing.rules.iter_mut().for_each(|rule| rule.place.clear());
        if let Some(pac) = &mut routing.pac {
            pac.written.clear();
        }
    }
    config
}

/// In all forms, under the names that they would have.
fn exported(portable: &Portable, half: Half) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("machine.reg", registry_file(portable, Hive::Machine, half)),
        ("user.reg", registry_file(portable, Hive::User, half)),
        ("machine.mobileconfig", mobileconfig(portable, Scope::System, half).unwrap()),
        ("user.mobileconfig", mobileconfig(portable, Scope::User, half).unwrap()),
        ("out.toml", toml(portable, half).into_bytes()),
    ]
}

fn goes_round(home: &Home, file: &Path) {
    let before = home.load(file, PolicyPlace::Nowhere);
    for with_defaults in [false, true] {
        let portable = Portable::of(&before, with_defaults);
        assert!(portable.left_out.is_empty(), "{:?}", portable.left_out);
        for half in [Half::Locked, Half::Recommended] {
            for (name, bytes) in exported(&portable, half) {
                let path = home.put(name, &bytes);
                let what = format!("{} as {name}, {half:?}, defaults {with_defaults}", file.display());
                let read = exported::read(&path, &bytes).unwrap_or_else(|| panic!("{what}: it is not ours"));
                let read =
                    read.unwrap_or_else(|mistakes| panic!("{what}: {mistakes}\n{}", String::from_utf8_lossy(&bytes)));
                let again = home.put("again.toml", toml(&read, Half::Locked).as_bytes());
                let again = home.load(&again, PolicyPlace::Nowhere);
                assert_eq!(effective(again.config), effective(before.config.clone()), "{what}");
            }
        }
    }
}

#[test]
fn every_key_goes_out_in_every_form_and_comes_back() {
    let home = Home::new();
    let text = home.everything();
    let file = home.put("everything.toml", text.as_bytes());
    let layer = home.load(&file, PolicyPlace::Nowhere).layer().clone();
    let said: Vec<&str> = layer.entries.iter().filter_map(|entry| keys::pattern(&entry.path())).collect();
    for key in keys::all() {
        assert!(said.contains(&key), "{key} is missing here");
    }
    goes_round(&home, &file);
}

#[test]
fn every_example_goes_out_in_every_form_and_comes_back() {
    let home = Home::new();
    let mut done = 0;
    for example in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).unwrap() {
        let example = example.unwrap().path();
        // It names users by their numbers, and the journal.
        if cfg!(windows) && example.ends_with("system-unit.toml") {
            continue;
        }
        let file = home.put(example.file_name().unwrap().to_str().unwrap(), &fs::read(&example).unwrap());
        goes_round(&home, &file);
        done += 1;
    }
    assert!(done + usize::from(cfg!(windows)) >= 10, "only {done} examples were found");
}

#[test]
fn what_is_exported_as_a_policy_counts_as_one() {
    let home = Home::new();
    let text = home.everything();
    let file = home.put("everything.toml", text.as_bytes());
    let before = home.load(&file, PolicyPlace::Nowhere);
    let nothing = home.put("nothing.toml", b"");
    for half in [Half::Locked, Half::Recommended] {
        let text = toml(&Portable::of(&before, false), half);
        let statement = crate::config::Statement::Toml { path: "/etc/hallpass/policy.toml".into(), text };
        let managed = home.load(&nothing, PolicyPlace::Recorded(vec![statement]));
        assert_eq!(effective(managed.config.clone()), effective(before.config.clone()), "{half:?}");
        assert_eq!(managed.lock(&["grace"]).is_some(), half == Half::Locked);
    }
}

#[test]
fn a_plain_secret_is_left_out_and_named_and_references_stay() {
    let home = Home::new();
    let file = home.put(
        "f.toml",
        b"user_agent = \"${env:USER}\"\n[access]\ntoken = \"hunter1\"\n[credentials.a]\nuser = \"${env:USER}\"\npassword = \"hunter2\"\n\
          [credentials.b]\nuser = \"b\"\nnt_hash = \"00112233445566778899aabbccddeeff\"\n",
    );
    let portable = Portable::of(&home.load(&file, PolicyPlace::Nowhere), false);
    assert_eq!(portable.left_out, ["access.token", "credentials.a.password", "credentials.b.nt_hash"]);
    for (name, bytes) in exported(&portable, Half::Locked) {
        let text = crate::config::import::decode(&bytes);
        assert!(
            text.contains("${env:USER}") && !text.contains("hunter") && !text.contains("00112233"),
            "{name}: {text}"
        );
    }
}

#[test]
fn the_same_configuration_is_the_same_profile_and_another_is_another() {
    let home = Home::new();
    let of = |text: &[u8], scope| {
        let file = home.put("f.toml", text);
        mobileconfig(&Portable::of(&home.load(&file, PolicyPlace::Nowhere), false), scope, Half::Locked).unwrap()
    };
    let uuids = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let found = text.lines().filter(|line| line.matches('-').count() == 4 && line.contains("<string>"));
        found.map(str::to_owned).collect::<Vec<_>>()
    };
    let one = of(b"grace = \"1s\"\n", Scope::System);
    assert_eq!(one, of(b"grace = \"1s\"\n", Scope::System));
    let other = of(b"grace = \"2s\"\n", Scope::System);
    assert_eq!((uuids(&one).len(), uuids(&other).len()), (2, 2));
    assert!(uuids(&one).iter().all(|uuid| !uuids(&other).contains(uuid)));
    assert_ne!(uuids(&one), uuids(&of(b"grace = \"1s\"\n", Scope::User)));
}

#[test]
fn a_registry_file_says_what_a_person_would_expect() {
    let home = Home::new();
    let file = home.put(
        "f.toml",
        b"grace = \"9s\"\nmax_clients = 5\nno_proxy = [\"a\"]\n[pac]\nwpad = true\n[upstreams.office]\nurl = \"http://p:1\"\n\
          [[rules]]\nhosts = \"h\"\nuse = \"direct\"\n",
    );
    let bytes =
        registry_file(&Portable::of(&home.load(&file, PolicyPlace::Nowhere), false), Hive::Machine, Half::Locked);
    assert_eq!(&bytes[..2], [0xff, 0xfe]);
    let text = crate::config::import::decode(&bytes);
    let root = r"HKEY_LOCAL_MACHINE\SOFTWARE\Policies\hallpass";
    let wanted = format!(
        "Windows Registry Editor Version 5.00\r\n\r\n[-{root}]\r\n\r\n[{root}]\r\n\"grace\"=\"9s\"\r\n\
         \"max_clients\"=dword:00000005\r\n\"no_proxy\"=hex(7):61,00,00,00,00,00\r\n\r\n[{root}\\pac]\r\n\
         \"wpad\"=dword:00000001\r\n\r\n[{root}\\upstreams\\office]\r\n\"url\"=\"http://p:1\"\r\n\r\n[{root}\\rules]\r\n\
         \"1\"=\"{{\\\"hosts\\\": \\\"h\\\", \\\"use\\\": \\\"direct\\\"}}\"\r\n"
    );
    assert_eq!(text, wanted);
}

#[test]
fn what_others_write_in_a_registry_file_is_read_as_well() {
    let text = "Windows Registry Editor Version 5.00\n\n; a comment\n[HKEY_LOCAL_MACHINE\\Software\\Policies\\Hallpass]\n\"Grace\"=\"9s\"\n@=\"x\"\n\
                \"no_proxy\"=hex(7):61,00,62,00,\\\n  00,00,63,00,00,00,00,00\n\n\
                [HKEY_CURRENT_USER\\Software\\Other]\n\"grace\"=\"1s\"\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\hallpassx]\n\"a\"=\"b\"\n";
    let read = exported::read(Path::new("x.reg"), text.as_bytes()).unwrap().unwrap();
    let text = super::toml(&read, Half::Locked);
    assert!(text.contains("grace = \"9s\"\n") && text.contains("no_proxy = [\"ab\", \"c\"]\n"), "{text}");
    assert_eq!(text.lines().filter(|line| line.contains(" = ") && !line.starts_with('#')).count(), 2, "{text}");
}

/// Attributes of the elements of this name, by its tag.
fn attributes(xml: &str, tag: &str) -> Vec<std::collections::BTreeMap<String, String>> {
    let mut found = Vec::new();
    for rest in xml.split(&format!("<{tag} ")).skip(1) {
        let head = rest.split('>').next().unwrap();
        let mut pairs = head.split('"');
        let mut all = std::collections::BTreeMap::new();
        while let (Some(name), Some(value)) = (pairs.next(), pairs.next()) {
            all.insert(name.trim().trim_end_matches('=').to_owned(), value.to_owned());
        }
        found.push(all);
    }
    found
}

#[test]
fn every_key_is_in_the_templates_with_its_own_type() {
    let (admx, adml) = (admx::admx(), admx::adml());
    let policies: Vec<&str> = admx.split("<policy ").skip(1).collect();
    let schema = crate::config::schema().unwrap();
    for root in [r"SOFTWARE\Policies\hallpass", r"SOFTWARE\Policies\hallpass\Recommended"] {
        for key in keys::all() {
            let parts: Vec<&str> = key.split('.').collect();
            let below = |parts: &[&str]| parts.iter().fold(root.to_owned(), |all, part| format!(r"{all}\{part}"));
            if let Some(at) = parts.iter().position(|part| ["*", "#"].contains(part)) {
                let kind = if parts[at] == "*" { "explicitValue=\"true\"" } else { "valuePrefix=\"\"" };
                let list = format!("key=\"{}\" {kind}/>", below(&parts[..at]));
                assert_eq!(admx.matches(&list).count(), 1, "{key}: {list}");
                let explained = format!(" {}", parts[at + 1..].join("."));
                assert!(adml.contains(&explained), "{key} is not explained");
                continue;
            }
            let (last, table) = parts.split_last().unwrap();
            let (at, name) = (format!("key=\"{}\"", below(table)), format!("valueName=\"{last}\""));
            let found: Vec<_> =
                policies.iter().filter(|policy| policy.contains(&at) && policy.contains(&name)).collect();
            assert_eq!(found.len(), 1, "{key} below {root}");
            // What the JSON schema says of it, which is what the reader takes.
            let leaf = parts.iter().fold(&schema, |within, part| &within["properties"][*part]);
            let forms = leaf["anyOf"].as_array().cloned().unwrap_or_else(|| vec![leaf.clone()]);
            let has = |wanted: &str| forms.iter().any(|form| form["type"] == wanted);
            let is_words = forms.iter().any(|form| form["enum"].is_array());
            let element = match () {
                () if has("array") => "<multiText ",
                () if has("boolean") => "<enabledValue><decimal value=\"1\"/>",
                () if has("integer") => "<decimal id=",
                () if is_words => "<enum ",
                () => "<text ",
            };
            assert!(found[0].contains(element), "{key} wants {element}: {}", found[0]);
        }
    }
}

#[test]
fn what_the_templates_offer_is_what_the_reader_takes_and_nothing_beyond() {
    let (admx, adml) = (admx::admx(), admx::adml());
    let home = Home::new();
    let nothing = home.put("nothing.toml", b"");
    let takes = |key: &str, name: &str, value: RegistryValue| {
        let path = key.strip_prefix(r"SOFTWARE\Policies\hallpass").unwrap();
        let values = RegistryKey { values: vec![(name.into(), value)], keys: Vec::new() };
        let key = path
            .split('\\')
            .skip(1)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .fold(values, |below, name| RegistryKey { values: Vec::new(), keys: vec![(name.into(), below)] });
        let policy = PolicyPlace::Recorded(vec![Statement::Registry { root: "HKLM".into(), key }]);
        let (files, environment) = (Files::Only(nothing.clone()), Environment::default());
        load(&Inputs { files, environment, flags: Layer::default(), policy }).is_ok()
    };
    let (mut words, mut numbers) = (0, 0);
    for policy in admx.split("<policy ").skip(1) {
        let of =
            |name: &str| policy.split_once(&format!(" {name}=\"")).map(|(_, rest)| rest.split('"').next().unwrap());
        let Some((key, name)) = of("key").zip(of("valueName")) else { continue };
        for word in policy.split("<string>").skip(1).map(|rest| rest.split('<').next().unwrap()) {
            assert!(takes(key, name, RegistryValue::Text(word.into())), "{key} {name} {word}");
            words += 1;
        }
        if !policy.contains("<decimal id=") {
            continue;
        }
        let bound = |name| of(name).unwrap().parse::<u64>().unwrap();
        let (from, to) = (bound("minValue"), bound("maxValue"));
        for (number, is_taken) in
            [(Some(from), true), (Some(to), true), (from.checked_sub(1), false), (Some(to + 1), false)]
        {
            let Some(number) = number else { continue };
            assert_eq!(takes(key, name, RegistryValue::Number(number)), is_taken, "{key} {name} {number}");
        }
        // Whoever says yes to what the editor shows first changes nothing.
        let id = policy.split_once("<decimal id=\"").unwrap().1.split('"').next().unwrap();
        let shown = format!("<decimalTextBox refId=\"{id}\" defaultValue=\"");
        let shown = adml.split_once(&shown).unwrap().1.split('"').next().unwrap();
        let schema = crate::config::schema().unwrap();
        let parts = key.trim_start_matches(r"SOFTWARE\Policies\hallpass").trim_start_matches(r"\Recommended");
        let parts = parts.split('\\').skip(1).chain([name]);
        let leaf = parts.fold(&schema, |within, part| &within["properties"][part]);
        assert_eq!(leaf["default"].to_string(), shown, "{key} {name}");
        numbers += 1;
    }
    assert!(words > 20 && numbers >= 8, "{words} {numbers}");
}

#[test]
fn the_two_templates_know_each_others_names() {
    let (admx, adml) = (admx::admx(), admx::adml());
    let ids = |tag: &str, name: &str, xml: &str| -> Vec<String> {
        attributes(xml, tag).iter().filter_map(|all| all.get(name).cloned()).collect()
    };
    let mut strings = ids("string", "id", &adml);
    let mut presentations = ids("presentation", "id", &adml);
    for (all, sign) in [(&mut strings, "$(string."), (&mut presentations, "$(presentation.")] {
        let before = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), before, "{sign}: a name is there twice");
        let used = admx.split(sign).skip(1).map(|rest| rest.split(')').next().unwrap().to_owned());
        let mut used: Vec<String> = used.collect();
        used.sort();
        used.dedup();
        assert_eq!(&used, all, "{sign}");
    }
    let elements = ["text", "multiText", "decimal", "enum", "list"].into_iter().flat_map(|tag| ids(tag, "id", &admx));
    let boxes = ["textBox", "multiTextBox", "decimalTextBox", "dropdownList", "listBox"];
    let boxes = boxes.into_iter().flat_map(|tag| ids(tag, "refId", &adml));
    let sorted = |all: Vec<String>| {
        let mut all = all;
        all.sort();
        all
    };
    assert_eq!(sorted(elements.collect()), sorted(boxes.collect()));
    let categories = ids("category", "name", &admx);
    for parent in ids("parentCategory", "ref", &admx) {
        assert!(categories.contains(&parent), "{parent}");
    }
    let names = sorted(ids("policy", "name", &admx));
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]) && names.len() > 60, "{names:?}");
}
