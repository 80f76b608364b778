//! Users who share a machine: a relay for each by `--listen auto`, one that the system starts for several. Needs root,
//! to be several users.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// Numbers of people, whether they have names here or not.
const ALICE: u32 = 70_001;
const BOB: u32 = 70_002;

fn can_be_others(test: &str) -> bool {
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if !is_root {
        // Past the capture of what tests print: whoever runs them should see it.
        let _unseen = writeln!(std::io::stderr(), "SKIPPED: {test}: only root can be other users");
    }
    is_root
}

/// A machine with homes, and the program where everybody may run it.
struct Machine {
    root: TempDir,
    program: PathBuf,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let program = root.path().join("hallpass");
        // By another process: a file that this one writes is busy for whatever its other tests start meanwhile.
        let copied = Command::new("cp").args([Path::new(env!("CARGO_BIN_EXE_hallpass")), &program]).status().unwrap();
        assert!(copied.success());
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let machine = Self { root, program };
        for uid in [ALICE, BOB] {
            fs::create_dir_all(machine.state(uid)).unwrap();
            for path in ["", ".local", ".local/state", ".local/state/hallpass"] {
                chown(machine.home(uid).join(path), Some(uid), Some(uid)).unwrap();
            }
        }
        machine
    }

    fn home(&self, uid: u32) -> PathBuf {
        self.root.path().join(uid.to_string())
    }

    fn state(&self, uid: u32) -> PathBuf {
        self.home(uid).join(".local/state/hallpass")
    }

    fn command(&self, uid: u32, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.uid(uid).gid(uid).env_clear().env("HOME", self.home(uid)).current_dir(Path::new("/")).args(arguments);
        command
    }

    fn run(&self, uid: u32, arguments: &[&str]) -> Output {
        self.command(uid, arguments).output().unwrap()
    }

    fn serve(&self, uid: u32) -> Serving {
        let mut command = self.command(uid, &["serve", "--no-config", "--listen", "auto"]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut seen = String::new();
        let port = loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the log ended:\n{seen}");
            if let Some((_, addr)) = line.split_once("listening on 127.0.0.1:") {
                break addr.trim().parse().unwrap();
            }
            seen += &line;
        };
        // Nobody reads on, and nobody waits for that.
        std::thread::spawn(move || while matches!(log.read_line(&mut String::new()), Ok(1..)) {});
        Serving { child, port }
    }
}

struct Serving {
    child: Child,
    port: u16,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn two_users_with_ports_of_their_own_do_not_meet() {
    if !can_be_others("two_users_with_ports_of_their_own_do_not_meet") {
        return;
    }
    let machine = Machine::new();
    let alice = machine.serve(ALICE);
    // However unlikely, bob's port of the last time is alice's now.
    let record = machine.state(BOB).join("port");
    fs::write(&record, format!("{}\n", alice.port)).unwrap();
    chown(&record, Some(BOB), Some(BOB)).unwrap();
    let before = machine.run(BOB, &["status", "--no-config", "--listen", "auto"]);
    let said = text(&before);
    assert!(!before.status.success() && said.contains("belongs to user 70001"), "{said}");
    let bob = machine.serve(BOB);
    assert_ne!(bob.port, alice.port);
    for (uid, serving) in [(ALICE, &alice), (BOB, &bob)] {
        let status = machine.run(uid, &["status", "--no-config", "--listen", "auto"]);
        let said = text(&status);
        assert!(status.status.success() && said.contains(&format!("(pid {})", serving.child.id())), "{said}");
        let said = text(&machine.run(uid, &["connect", "--no-config", "--listen", "auto", "127.0.0.1:1"]));
        assert!(said.contains("no tunnel to 127.0.0.1:1: 502"), "{said}");
    }
    let elsewhere = format!("127.0.0.1:{}", alice.port);
    let said = text(&machine.run(BOB, &["connect", "--no-config", "--listen", &elsewhere, "127.0.0.1:1"]));
    assert!(said.contains("belongs to user 70001"), "{said}");
    // The next time it is the same port again, and the same user's second relay says that there is one.
    let port = bob.port;
    let second = machine.run(BOB, &["serve", "--no-config", "--listen", "auto"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second).contains(&format!("127.0.0.1:{port} is in use by hallpass")), "{}", text(&second));
    drop(bob);
    assert_eq!(machine.serve(BOB).port, port);
}

/// What `config check` says to a child of the first process, which is what systemd's units are.
fn as_child_of_init(machine: &Machine, uid: u32, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new("unshare");
    // The shell is the first process of its namespace, and stays it because it has more to do.
    command.args(["--pid", "--fork", "--kill-child", "--", "sh", "-c"]);
    command.arg("setpriv --reuid \"$1\" --clear-groups -- \"$2\" config check; exit $?");
    command.arg("sh").arg(uid.to_string()).arg(&machine.program);
    command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("HOME", machine.root.path());
    let output = command.envs(variables.iter().copied()).output().unwrap();
    (output.status.code(), text(&output))
}

#[test]
fn a_relay_that_the_system_starts_must_be_told_whom_it_serves() {
    if !can_be_others("a_relay_that_the_system_starts_must_be_told_whom_it_serves") {
        return;
    }
    let machine = Machine::new();
    let unit = ("INVOCATION_ID", "2f4a8e0d");
    for (uid, variables, right) in [
        (0, &[unit][..], false),
        (998, &[unit], false),
        (0, &[unit, ("HALLPASS_ACCESS_USERS", "root")], true),
        (998, &[unit, ("HALLPASS_ACCESS_USERS", "any")], true),
        // For a person, and in a container.
        (ALICE, &[unit], true),
        (0, &[], true),
    ] {
        let (code, said) = as_child_of_init(&machine, uid, variables);
        assert_eq!(code, Some(if right { 0 } else { 2 }), "{uid} {variables:?}: {said}");
        assert!(right || said.contains("must be told whom it serves (users = [\"alice\"] in [access]"), "{said}");
    }
}
