//! `hallpass config` as a user runs it, and the configurations in `examples/`.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// Runs the command in a home of its own, without any variable of the machine.
fn hallpass(home: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallpass"));
    command.env_clear().env("HOME", home.path()).current_dir(home.path()).args(arguments).output().unwrap()
}

fn home() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

#[test]
fn five_mistakes_are_five_lines_and_exit_code_2() {
    let home = home();
    let lines = [
        "listen = [\"0.0.0.0:3128\"]",
        "grace = 5",
        "idle_timout = \"1h\"",
        "[upstreams.office]",
        "url = \"socks://proxy.corp.example:1080\"",
        "credential = \"corp\"",
    ];
    fs::write(home.path().join("f.toml"), lines.join("\n")).unwrap();
    let output = hallpass(&home, &["config", "check", "--config", "f.toml"]);
    assert_eq!(code(&output), Some(2));
    assert_eq!(text(&output.stdout), "");
    let printed = text(&output.stderr);
    let places: Vec<&str> = printed.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["f.toml:1:11", "f.toml:2:1", "f.toml:3:1", "f.toml:5:1", "f.toml:6:1"], "{printed}");
}

#[test]
fn wrong_usage_is_exit_code_2_and_help_is_0() {
    let home = home();
    assert_eq!(code(&hallpass(&home, &["config", "check", "--no-such-flag"])), Some(2));
    assert_eq!(code(&hallpass(&home, &["--help"])), Some(0));
    assert_eq!(code(&hallpass(&home, &["config", "check", "--no-config", "--grace", "5"])), Some(2));
}

#[test]
fn flags_are_checked_and_named() {
    let output = hallpass(&home(), &["config", "check", "--upstream", "proxy", "--user", "CORP\\", "--scheme", "ntml"]);
    assert_eq!(
        text(&output.stderr).lines().map(|line| line.split(": ").next().unwrap()).collect::<Vec<_>>(),
        ["--scheme", "--upstream", "--user"]
    );
}

#[test]
fn what_init_writes_is_right_private_and_not_overwritten() {
    let home = home();
    let flags = ["--upstream", "proxy.corp.example:8080", "--user", r"CORP\alice", "--listen", "127.0.0.1:3129"];
    let init = [&["config", "init", "--no-try"][..], &flags].concat();
    let output = hallpass(&home, &init);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    let last: Vec<&str> = printed.lines().rev().take(2).collect();
    assert!(last.iter().all(|line| line.starts_with("export HTTP") && line.contains("http://127.0.0.1:3129")));

    let path = home.path().join(".config/hallpass/hallpass.toml");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let output = hallpass(&home, &["config", "show"]);
    let shown = text(&output.stdout);
    assert!(shown.contains("url = \"http://proxy.corp.example:8080\"  # "), "{shown}");
    assert!(shown.contains(r"user = 'CORP\alice'  # ") && shown.contains("listen = [\"127.0.0.1:3129\"]"), "{shown}");

    let again = hallpass(&home, &init);
    assert_eq!(code(&again), Some(1));
    assert!(text(&again.stderr).contains("is there already; --force replaces it"));
    assert_eq!(code(&hallpass(&home, &["config", "init", "--template", "--force"])), Some(0));
    assert_eq!(code(&hallpass(&home, &["config", "check"])), Some(0));
    assert!(!text(&hallpass(&home, &["config", "show"]).stdout).contains("alice"));
}

/// What `config show` printed, without the heading and where values stand.
fn values(shown: &[u8]) -> Vec<String> {
    let shown = text(shown);
    let lines = shown.lines().skip_while(|line| line.starts_with('#'));
    lines.map(|line| line.split("  # ").next().unwrap().to_owned()).collect()
}

#[test]
fn show_begins_with_what_was_read_and_what_counts_where_nothing_is_written() {
    let home = home();
    let shown = text(&hallpass(&home, &["config", "show"]).stdout);
    let file = home.path().join(".config/hallpass/hallpass.toml");
    assert!(shown.contains(&format!("# not there: {}\n", file.display())), "{shown}");
    assert!(shown.contains("hallpass config init writes one") && shown.contains("everything goes direct"), "{shown}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallpass"));
    command.env_clear().env("HOME", home.path()).env("https_proxy", "http://proxy.test:8080");
    let shown = text(&command.args(["config", "show"]).output().unwrap().stdout);
    assert!(shown.contains("the environment variable https_proxy names http://proxy.test:8080"), "{shown}");

    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "grace = \"7s\"\n").unwrap();
    let shown = text(&hallpass(&home, &["config", "show", "--written", "--user", "alice"]).stdout);
    assert!(shown.contains(&format!("# read: {}\n", file.display())), "{shown}");
    let written: Vec<&str> = shown.lines().filter(|line| line.contains(" = ") && !line.starts_with('#')).collect();
    let grace = format!("grace = \"7s\"  # {}:1:1", file.display());
    assert_eq!(written, [grace.as_str(), "user = \"alice\"  # --user"], "{shown}");
}

#[test]
fn what_show_prints_is_a_file_that_shows_the_same() {
    let home = home();
    let first = hallpass(&home, &["config", "show", "--upstream", "a:1", "--user", "alice@R", "--no-proxy", "b,.c"]);
    fs::write(home.path().join("f.toml"), &first.stdout).unwrap();
    let second = hallpass(&home, &["config", "show", "--config", "f.toml"]);
    assert_eq!(values(&first.stdout), values(&second.stdout));
    assert!(text(&first.stdout).contains("# --upstream") && text(&second.stdout).contains("# f.toml:"));
}

#[test]
fn init_lets_the_proxies_of_the_script_have_the_credential() {
    let home = home();
    let script =
        "function FindProxyForURL(url, host) { return 'PROXY proxy.corp.test:8080; PROXY backup.corp.test:8080'; }";
    fs::write(home.path().join("p.pac"), script).unwrap();
    let output =
        hallpass(&home, &["config", "init", "--no-try", "--config", "new.toml", "--pac", "p.pac", "--user", "alice"]);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let written = fs::read_to_string(home.path().join("new.toml")).unwrap();
    assert!(written.contains("\nfor = [\"proxy.corp.test\", \"backup.corp.test\"]\n"), "{written}");
}

#[test]
fn every_example_is_right() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let home = home();
    for name in ["corp-ca.pem", "me.pem", "me.key"] {
        fs::write(home.path().join(name), "-----BEGIN CERTIFICATE-----\n").unwrap();
    }
    let mut checked = 0;
    for file in fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().path()) {
        let name = file.file_name().unwrap().to_str().unwrap();
        fs::copy(&file, home.path().join(name)).unwrap();
        let output = hallpass(&home, &["config", "check", "--config", name]);
        assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
        assert!(text(&output.stdout).lines().any(|line| line.starts_with(&format!("ok: {name}"))));
        checked += 1;
    }
    assert!(checked >= 10, "only {checked} examples were found");
}

/// The example with every key, as if its user had removed the comment marks of the keys with a default.
fn uncommented(example: &str) -> String {
    let is_key = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let lines = example.lines().take_while(|line| !line.starts_with("# Corporate proxies"));
    let tables = example.lines().skip_while(|line| !line.starts_with("# A script that says"));
    let bare = lines.chain(tables).filter_map(|line| line.strip_prefix("# "));
    bare.filter(|line| is_key(line) || line.starts_with('[')).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_defaults_in_the_example_are_the_defaults() {
    let home = home();
    let example = include_str!("../examples/hallpass.toml");
    fs::write(home.path().join("all.toml"), uncommented(example)).unwrap();
    let shown_by = |arguments: &[&str]| -> Vec<String> {
        let output = hallpass(&home, arguments);
        assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
        values(&output.stdout)
    };
    let shown = hallpass(&home, &["config", "show", "--config", "all.toml"]);
    assert!(!text(&shown.stdout).contains("# default"), "a key is missing in the example: {}", text(&shown.stdout));
    assert_eq!(shown_by(&["config", "show", "--config", "all.toml"]), shown_by(&["config", "show", "--no-config"]));
}

#[test]
fn a_wrong_configuration_is_shown_with_what_is_wrong_beside_it() {
    let home = home();
    let text = "grace = \"5\"\nidle_timout = \"1h\"\nmax_clients = 7\n[credentials.corp]\nuser = 'CORP\\alice'\npassword = \"${file:/nowhere/secret}\"\n";
    fs::write(home.path().join("f.toml"), text).unwrap();
    let output = hallpass(&home, &["config", "show", "--config", "f.toml"]);
    assert_eq!(code(&output), Some(2), "{}", text_of(&output));
    let shown = self::text(&output.stdout);
    let wrong = "# wrong: f.toml:1:1: grace: a duration needs a unit (write \"5s\")\n";
    assert_eq!(shown.matches(wrong).count(), 2, "above all and beside the key: {shown}");
    assert!(shown.contains(&format!("{wrong}grace = \"5s\"  # f.toml:1:1\n")), "{shown}");
    assert!(
        shown.contains("# wrong: f.toml:2:1: idle_timout: no such key") && shown.contains("max_clients = 7"),
        "{shown}"
    );
    assert!(shown.contains(&format!("# hallpass {} on ", env!("CARGO_PKG_VERSION"))), "{shown}");
    let credential =
        "# credential corp: user CORP\\alice; secret from the file /nowhere/secret, which cannot be read: ";
    assert!(shown.contains(credential) && shown.contains("; never tried\n"), "{shown}");
    assert!(shown.contains("# the relay: not asked, because the configuration is wrong"), "{shown}");
    assert!(toml::from_str::<toml::Table>(&shown).is_ok(), "{shown}");
    assert_eq!(self::text(&output.stderr).lines().count(), 2);
}

fn text_of(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn what_replaces_what_is_told_as_text_and_as_json() {
    let home = home();
    let file = home.path().join(".config/hallpass/hallpass.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "grace = \"7s\"\n[credentials.corp]\nuser = \"alice\"\npassword_command = [\"never-run\"]\n")
        .unwrap();
    let output = hallpass(&home, &["config", "show", "--grace", "8s"]);
    let shown = text(&output.stdout);
    assert!(shown.contains(&format!("grace = \"8s\"  # --grace, instead of {}:1:1\n", file.display())), "{shown}");
    assert!(shown.contains("# policy not there: /etc/hallpass/policy.toml\n"), "{shown}");
    let output = hallpass(&home, &["config", "show", "--json", "--grace", "8s"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let key = |name: &str| json["keys"].as_array().unwrap().iter().find(|key| key["key"] == name).unwrap().clone();
    let grace = key("grace");
    assert_eq!((grace["value"].as_str(), grace["origin"].as_str()), (Some("8s"), Some("--grace")), "{grace}");
    assert_eq!(grace["instead_of"][0], format!("{}:1:1", file.display()), "{grace}");
    assert_eq!(key("max_clients")["value"], 10_000);
    assert_eq!(
        (&json["credentials"][0]["user"], &json["credentials"][0]["tried"]),
        (&"alice".into(), &"never tried".into())
    );
    assert!(json["credentials"][0]["secret"].as_str().unwrap().ends_with("which is not run for this"), "{json}");
}

#[test]
fn a_configuration_has_a_name_and_an_unknown_one_is_told_which_there_are() {
    let home = home();
    let directory = home.path().join(".config/hallpass");
    fs::create_dir_all(&directory).unwrap();
    for (name, text) in [("hallpass", "grace = \"1s\"\n"), ("office", "grace = \"2s\"\n"), ("home", "grace = 3\n")] {
        fs::write(directory.join(format!("{name}.toml")), text).unwrap();
    }
    let shown = text(&hallpass(&home, &["config", "show", "--config", "office"]).stdout);
    assert!(shown.contains(&format!("grace = \"2s\"  # {}", directory.join("office.toml").display())), "{shown}");
    let mut by_variable = Command::new(env!("CARGO_BIN_EXE_hallpass"));
    by_variable.env_clear().env("HOME", home.path()).env("HALLPASS_CONFIG", "office").current_dir(home.path());
    assert!(text(&by_variable.args(["config", "show"]).output().unwrap().stdout).contains("grace = \"2s\""));

    let listed = text(&hallpass(&home, &["config", "list", "--config", "office"]).stdout);
    let lines: Vec<&str> = listed.lines().collect();
    let of = |name: &str| directory.join(format!("{name}.toml")).display().to_string();
    let wanted = [
        format!("  hallpass: ok: {}", of("hallpass")),
        format!("  home: 1 mistake: {}", of("home")),
        format!("* office: ok: {}", of("office")),
    ];
    assert_eq!(lines, wanted);
    assert!(text(&hallpass(&home, &["config", "list"]).stdout).starts_with("* hallpass: ok: "));

    let unknown = hallpass(&home, &["config", "check", "--config", "offcie"]);
    assert_eq!(code(&unknown), Some(2));
    let said = text(&unknown.stderr);
    let wanted = "--config: there is no configuration \"offcie\", and no file of this name here (did you mean office? there is hallpass, home, office; looked for ";
    assert!(said.starts_with(wanted), "{said}");
    let mut by_variable = Command::new(env!("CARGO_BIN_EXE_hallpass"));
    by_variable.env_clear().env("HOME", home.path()).env("HALLPASS_CONFIG", "offcie");
    let said = text(&by_variable.args(["config", "check"]).output().unwrap().stderr);
    assert!(said.starts_with("HALLPASS_CONFIG: there is no configuration \"offcie\""), "{said}");
    // A file here is meant before a name.
    fs::write(home.path().join("office"), "grace = \"9s\"\n").unwrap();
    assert!(text(&hallpass(&home, &["config", "show", "--config", "office"]).stdout).contains("grace = \"9s\""));
    let written = hallpass(&home, &["config", "init", "--no-try", "--template", "--config", "new"]);
    assert_eq!(code(&written), Some(0), "{}", text_of(&written));
    assert!(directory.join("new.toml").exists());
}

#[test]
fn what_is_exported_is_imported_again_and_an_untried_credential_is_not_handed_out() {
    let home = home();
    let text = "grace = \"7s\"\n[upstreams.office]\nurl = \"http://proxy.corp.example:8080\"\n";
    fs::write(home.path().join("f.toml"), text).unwrap();
    let values_of = |file: &str| values(&hallpass(&home, &["config", "show", "--config", file]).stdout);
    for (format, name) in [("reg", "out.reg"), ("mobileconfig", "out.mobileconfig"), ("txt", "out.toml")] {
        let output = hallpass(&home, &["config", "export", "--config", "f.toml", "--format", format, "--out", name]);
        assert_eq!(code(&output), Some(0), "{}", text_of(&output));
        let printed = hallpass(&home, &["config", "export", "--config", "f.toml", "--format", format]);
        assert_eq!(printed.stdout, fs::read(home.path().join(name)).unwrap(), "{format}");
        let back = format!("back-{format}.toml");
        let output = hallpass(&home, &["config", "import", name, "--config", &back]);
        assert_eq!(code(&output), Some(0), "{}", text_of(&output));
        assert_eq!(values_of(&back), values_of("f.toml"), "{format}");
    }
    let shown = self::text(&hallpass(&home, &["config", "show", "--config", "f.toml"]).stdout);
    let ticket = "# credential logged-in: whoever is logged in; no secret; logs in with its Kerberos ticket alone";
    assert!(shown.contains(ticket), "{shown}");
    let with_user = [&["config", "export", "--config", "f.toml", "--format", "txt"][..], &["--user", "alice"]].concat();
    let output = hallpass(&home, &with_user);
    assert_eq!((code(&output), output.stdout.len()), (Some(1), 0));
    assert!(
        self::text(&output.stderr)
            .contains("no proxy is known to have accepted the credential default: hallpass config check --try"),
        "{}",
        text_of(&output)
    );
    let output = hallpass(&home, &[&with_user[..], &["--untried"]].concat());
    assert_eq!(code(&output), Some(0), "{}", text_of(&output));
    assert!(self::text(&output.stdout).contains("[credentials.default]\n"), "{}", text_of(&output));
    // What the record of log-ins says of an accepted one.
    let state = home.path().join(".local/state/hallpass");
    fs::create_dir_all(&state).unwrap();
    let entry = r#"{"digest": "00", "changes": 1, "generation": 0, "accepted": true}"#;
    fs::write(
        state.join("lockout.json"),
        format!(r#"{{"accounts": {{"alice": {{"id": "0", "entries": [{entry}]}}}}}}"#),
    )
    .unwrap();
    assert_eq!(code(&hallpass(&home, &with_user)), Some(0));
    let shown = self::text(&hallpass(&home, &["config", "show", "--user", "alice"]).stdout);
    assert!(shown.contains("; accepted by a proxy\n"), "{shown}");
}

/// The templates that are in the sources are those that the program writes.
#[test]
fn the_templates_of_group_policy_are_made_from_the_keys() {
    let home = home();
    let output = hallpass(&home, &["config", "export", "--format", "admx", "--out", "templates"]);
    assert_eq!(code(&output), Some(0), "{}", text_of(&output));
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/policy");
    for name in ["hallpass.admx", "en-US/hallpass.adml"] {
        let made = fs::read_to_string(home.path().join("templates").join(name)).unwrap();
        let kept = directory.join(name);
        if std::env::var_os("HALLPASS_WORDS").is_some_and(|value| value == "write") {
            fs::create_dir_all(kept.parent().unwrap()).unwrap();
            fs::write(&kept, &made).unwrap();
        }
        let mend = "write it with: HALLPASS_WORDS=write cargo test --test config templates";
        assert!(
            fs::read_to_string(&kept).unwrap_or_default() == made,
            "{} is not what is made: {mend}",
            kept.display()
        );
    }
}
