//! `hallpass env` as it is typed, in a home of its own.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

struct Home(TempDir);

/// What a command printed, and its exit code.
struct Said {
    out: String,
    error: String,
    code: Option<i32>,
}

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Nobody listens on the port of `listen`.
    fn env(&self, listen: &str, arguments: &[&str]) -> Said {
        self.run(&[&["--no-config", "--listen", listen], arguments].concat())
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hallpass"));
        command.env_clear().env("HOME", self.0.path()).env("SHELL", "/bin/sh").env("PATH", "/usr/bin:/bin");
        command.arg("env").args(arguments);
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { out: text(output.stdout), error: text(output.stderr), code: output.status.code() }
    }

    fn done(&self, listen: &str, arguments: &[&str]) -> String {
        let said = self.env(listen, arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.error);
        said.out
    }

    /// Every path below and what it holds, the state directory left out.
    fn everything(&self) -> Vec<(PathBuf, Vec<u8>, u32)> {
        let mut all = Vec::new();
        collect(self.0.path(), &mut all);
        all.retain(|(path, ..)| !path.starts_with(self.path(".local")));
        all.sort();
        all
    }
}

fn collect(directory: &Path, all: &mut Vec<(PathBuf, Vec<u8>, u32)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let found = fs::symlink_metadata(&path).unwrap();
        let bytes = if found.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        all.push((path.clone(), bytes, found.permissions().mode()));
        if found.is_dir() {
            collect(&path, all);
        }
    }
}

/// A port of the kernel's that nobody has, and what a relay there would be called.
const RELAY: &str = "127.0.0.1:1";
const MOVED: &str = "127.0.0.1:2";

const WITH_FILES: [&str; 13] =
    ["bash", "cargo", "claude", "fish", "git", "gradle", "maven", "npm", "pip", "pwsh", "sh", "vscode", "zsh"];

#[test]
fn a_shell_takes_the_lines_and_takes_them_back() {
    let home = Home::new();
    let lines = home.done(RELAY, &[]);
    let script = format!(
        "no_proxy=\"it's\"\n{lines}\necho \"$HTTPS_PROXY $no_proxy\"\n{}\necho \"[$HTTPS_PROXY]\"",
        home.done(RELAY, &["--unset"])
    );
    let output = Command::new("/bin/sh").arg("-c").arg(script).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "http://127.0.0.1:1 localhost,127.0.0.1,::1\n[]\n");
    assert!(home.done(RELAY, &["--shell", "fish"]).contains("set -gx HTTPS_PROXY 'http://127.0.0.1:1'"));
    assert!(home.done(RELAY, &["--shell", "cmd"]).contains("set \"HTTPS_PROXY=http://127.0.0.1:1\""));
    assert!(home.env(RELAY, &[]).error.contains("no relay is running at 127.0.0.1:1"));
}

#[test]
fn every_tools_file_is_written_once_and_undone_to_the_byte() {
    let home = Home::new();
    home.write(".npmrc", "//r/:_authToken=t\r\nproxy=http://old:1\r\n");
    fs::set_permissions(home.path(".npmrc"), fs::Permissions::from_mode(0o640)).unwrap();
    home.write("dotfiles/gitconfig", "[user]\n\tname = A");
    symlink("dotfiles/gitconfig", home.path(".gitconfig")).unwrap();
    home.write(".claude/settings.json", "\u{feff}{\n  \"model\": \"opus\", // mine\n}\n");
    home.write(".bashrc", "export A=1\n");
    let before = home.everything();
    for tool in WITH_FILES {
        let shown = home.env(RELAY, &["--for", tool]);
        assert!(shown.code == Some(0) && shown.out.contains("127.0.0.1"), "{tool} {} {}", shown.out, shown.error);
        assert_eq!(home.everything(), before, "{tool}: showing changes nothing");
        assert!(home.done(RELAY, &["--for", tool, "--write"]).contains("is written"), "{tool}");
        let once = home.everything();
        assert_ne!(once, before, "{tool}");
        assert!(home.done(RELAY, &["--for", tool, "--write"]).contains("nothing is changed"), "{tool}");
        assert_eq!(home.everything(), once, "{tool}");
        assert!(home.done(MOVED, &["--for", tool, "--write"]).contains("is written"), "{tool}");
        assert_ne!(home.everything(), once, "{tool}");
        home.done(RELAY, &["--for", tool, "--undo"]);
        assert_eq!(home.everything(), before, "{tool}");
        assert!(home.done(RELAY, &["--for", tool, "--undo"]).contains("nothing was written"), "{tool}");
    }
    let journal = fs::metadata(home.path(".local/state/hallpass/tools.json")).unwrap();
    assert_eq!(journal.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_proxy_that_was_there_is_named_and_comes_back() {
    let home = Home::new();
    home.write(".npmrc", "proxy=http://old:1\n");
    let said = home.done(RELAY, &["--for", "npm", "--write"]);
    assert!(said.contains("in place of proxy: http://old:1"), "{said}");
    assert!(home.read(".npmrc").contains("proxy=http://127.0.0.1:1\n"));
    home.write(".npmrc", &(home.read(".npmrc") + "fund=false\n"));
    home.done(RELAY, &["--for", "npm", "--undo"]);
    assert_eq!(home.read(".npmrc"), "proxy=http://old:1\nfund=false\n");
}

#[test]
fn a_setting_that_somebody_has_changed_since_is_left_and_named() {
    let home = Home::new();
    home.done(RELAY, &["--for", "git", "--write"]);
    home.write(".gitconfig", "[http]\n\tproxy = http://mine:1\n");
    let said = home.done(RELAY, &["--for", "git", "--undo"]);
    assert!(said.contains("left as it is now: http.proxy"), "{said}");
    assert_eq!(home.read(".gitconfig"), "[http]\n\tproxy = http://mine:1\n");
}

#[test]
fn what_cannot_be_understood_is_not_touched() {
    let home = Home::new();
    home.write(".claude/settings.json", "{\n  \"a\": 1\n  \"b\": 2\n}\n");
    let before = home.everything();
    let said = home.env(RELAY, &["--for", "claude", "--write"]);
    assert_eq!(said.code, Some(1));
    assert!(said.error.contains("settings.json is not touched: line 2:"), "{}", said.error);
    symlink("nowhere", home.path(".gitconfig")).unwrap();
    let said = home.env(RELAY, &["--for", "git", "--write"]);
    assert!(said.code == Some(1) && said.error.contains("link to nothing"), "{}", said.error);
    fs::remove_file(home.path(".gitconfig")).unwrap();
    assert_eq!(home.everything(), before);
}

#[test]
fn certificates_are_added_to_those_of_the_system() {
    let home = Home::new();
    let made = rcgen::generate_simple_self_signed(vec!["corp.example".into()]).unwrap();
    home.write("corp.pem", &made.cert.pem());
    let file = home.path("corp.pem").display().to_string();
    let said = home.env(RELAY, &["--ca", &file]);
    let bundle = home.path(".local/state/hallpass/ca-bundle.pem");
    if said.error.contains("the system's certificates cannot be read") {
        assert!(!bundle.exists(), "a machine without certificates gets no file with one alone");
        return;
    }
    assert!(said.out.contains(&format!("export NODE_EXTRA_CA_CERTS='{file}'")), "{}", said.out);
    assert!(said.out.contains(&format!("export SSL_CERT_FILE='{}'", bundle.display())), "{}", said.out);
    let all = fs::read_to_string(&bundle).unwrap();
    let last: String = made.cert.pem().lines().filter(|line| !line.starts_with("-----")).collect();
    assert!(all.matches("BEGIN CERTIFICATE").count() > 1 && all.replace('\n', "").contains(&last));
    home.done(RELAY, &["--for", "git", "--write", "--ca", &file]);
    assert!(home.read(".gitconfig").contains("sslCAInfo = "), "{}", home.read(".gitconfig"));
    // Without it the next time, it goes.
    home.done(RELAY, &["--for", "git", "--write"]);
    assert_eq!(home.read(".gitconfig"), "[http]\n\tproxy = http://127.0.0.1:1\n");
}

#[test]
fn an_unknown_tool_is_answered_with_those_that_are_known() {
    let said = Home::new().env(RELAY, &["--for", "carg"]);
    assert_eq!(said.code, Some(2));
    assert!(said.error.contains("did you mean cargo?") && said.error.contains("gradle"), "{}", said.error);
}

#[test]
fn where_there_is_no_file_there_is_advice() {
    let home = Home::new();
    for tool in ["uv", "claude-desktop", "docker-build", "docker-daemon"] {
        assert!(home.done(RELAY, &["--for", tool]).contains("127.0.0.1:1"), "{tool}");
        assert_eq!(home.env(RELAY, &["--for", tool, "--write"]).code, Some(1), "{tool}");
    }
    let said = home.env(RELAY, &["--for", "docker"]);
    assert!(said.code == Some(1) && said.error.contains("[[listeners]]"), "{}", said.error);
    home.write("open.toml", "listen = [\"172.17.0.1:3128\"]\n[access]\nallow = [\"172.17.0.0/16\"]\n");
    let config = home.path("open.toml");
    let said = home.run(&["--config", config.to_str().unwrap(), "--for", "docker"]);
    assert!(said.code == Some(0) && said.out.contains("http://172.17.0.1:3128"), "{}{}", said.out, said.error);
}

#[test]
fn a_password_in_what_was_there_before_is_not_shown() {
    let home = Home::new();
    home.write(".claude/settings.json", "{\"env\": {\"HTTPS_PROXY\": \"http://alice:s3cr@t@old.test:8080\"}}\n");
    home.write(".npmrc", "proxy=http://alice:s3cr@t@old.test:8080/\n");
    for tool in ["claude", "npm"] {
        for mode in [&["--for", tool][..], &["--for", tool, "--write"]] {
            let said = home.env("127.0.0.1:1", mode);
            let all = said.out + &said.error;
            assert!(all.contains("in place of") && all.contains("old.test:8080"), "{all}");
            assert!(!all.contains("s3cr") && !all.contains("t@old"), "{all}");
        }
    }
}

#[test]
fn nobody_is_told_that_a_file_was_removed_which_somebody_else_has_taken_away() {
    let home = Home::new();
    home.write(".gitconfig", "[user]\n\tname = a\n");
    home.done("127.0.0.1:1", &["--for", "git", "--write"]);
    fs::remove_file(home.path(".gitconfig")).unwrap();
    let said = home.done("127.0.0.1:1", &["--for", "git", "--undo"]);
    assert!(said.contains("is without it again") && !said.contains("removed"), "{said}");
    assert!(!home.path(".gitconfig").exists());
}
