//! Property lists of launchd, launchd.plist(5), and what `launchctl print` says of a service.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plist::Value;

use super::{Running, Scope, Service};

/// Also the name of the file.
pub const LABEL: &str = "hallpass.relay";

/// Whom the machine's service runs as.
pub const ACCOUNT: &str = "_hallpass";
/// Where that account keeps what outlives the process, and where its log is: both its own.
pub const HOME_OF_ACCOUNT: &str = "/var/db/hallpass";
pub const LOG_OF_ACCOUNT: &str = "/var/log/hallpass/hallpass.log";

/// launchd gives a program 256, and a crowd of tunnels needs two each.
const FILES: u32 = 65_536;

/// Beyond the grace, for what is written and closed at the end.
const LAST_WORK: Duration = Duration::from_secs(15);

/// `log`: where stderr goes; launchd knows no `~`.
pub fn plist(service: &Service, sockets: bool, log: Option<&Path>) -> String {
    let words = [service.program.to_string_lossy().into_owned(), "serve".into()];
    let words = words.into_iter().chain(service.arguments.iter().map(|word| word.to_string_lossy().into_owned()));
    let files = || dictionary([("NumberOfFiles", FILES.into())]);
    let mut entries = vec![
        ("Label", LABEL.into()),
        ("ProgramArguments", Value::Array(words.map(Value::String).collect())),
        ("RunAtLoad", true.into()),
        // What ends well was stopped by somebody; a crash or a failure is not the end.
        ("KeepAlive", dictionary([("SuccessfulExit", false.into())])),
        // Programs wait for it, so it is not slowed down as work in the background is.
        ("ProcessType", "Interactive".into()),
        ("SoftResourceLimits", files()),
        ("HardResourceLimits", files()),
        ("ExitTimeOut", (service.grace + LAST_WORK).as_secs().into()),
        ("Umask", 0o077.into()),
    ];
    if service.scope == Scope::System {
        entries.push(("UserName", ACCOUNT.into()));
        entries.push(("GroupName", ACCOUNT.into()));
        entries.push(("EnvironmentVariables", dictionary([("HOME", HOME_OF_ACCOUNT.into())])));
    }
    if let Some(log) = log {
        entries.push(("StandardErrorPath", log.to_string_lossy().into_owned().into()));
    }
    if sockets {
        let listeners = Value::Array(service.listen.iter().map(socket).collect());
        entries.push(("Sockets", dictionary([("Listeners", listeners)])));
    }
    let mut bytes = Vec::new();
    // Into memory, and every value is of a kind that XML has: there is nothing that could fail.
    let _written = dictionary(entries).to_writer_xml(&mut bytes);
    bytes.push(b'\n');
    String::from_utf8_lossy(&bytes).into_owned()
}

/// In this order.
fn dictionary(entries: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value::Dictionary(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn socket(addr: &SocketAddr) -> Value {
    dictionary([
        ("SockNodeName", addr.ip().to_string().into()),
        ("SockServiceName", addr.port().to_string().into()),
        ("SockType", "stream".into()),
        ("SockFamily", if addr.is_ipv4() { "IPv4" } else { "IPv6" }.into()),
    ])
}

/// What `launchctl print` says of a service that is loaded: whether it runs, and remarks.
pub fn read_state(printed: &str) -> (Option<Running>, Vec<String>) {
    let value = |key| said_of(printed, key);
    let pid = value("pid").and_then(|pid| pid.parse().ok());
    let runs = value("state") == Some("running");
    let running = runs.then_some(Running { pid, since: None, says: None });
    let ended = value("last exit code").filter(|code| *code != "0" && *code != "(never exited)");
    let ended = ended.map(|code| format!("the last run ended with {code}"));
    // What stands in the place of a code where something else has ended it.
    let killed = value("last terminating signal").or_else(|| value("last exit reason"));
    let killed = killed.map(|signal| format!("the last run was ended by a signal, {signal}"));
    (running, killed.or(ended).filter(|_| !runs).into_iter().collect())
}

/// How long launchd lets it end before it kills it; `None` where that is not told.
pub fn exit_time_out(printed: &str) -> Option<Duration> {
    said_of(printed, "exit timeout").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs)
}

/// The file by which launchd knows it.
pub fn path(printed: &str) -> Option<PathBuf> {
    said_of(printed, "path").filter(|path| path.starts_with('/')).map(PathBuf::from)
}

/// By what `launchctl print-disabled` says of a domain; older ones say true and false.
pub fn is_disabled(printed: &str) -> bool {
    let line = printed.lines().find(|line| line.contains(&format!("\"{LABEL}\"")));
    line.is_some_and(|line| line.ends_with("disabled") || line.ends_with("true"))
}

/// The program and its arguments.
pub fn command(definition: &str) -> Vec<String> {
    let value = read(definition, "ProgramArguments").and_then(Value::into_array).unwrap_or_default();
    value.into_iter().filter_map(Value::into_string).collect()
}

/// Whether two definitions start the same program in the same manner; how long each may take to end is no matter here.
pub fn starts_the_same(one: &str, other: &str) -> bool {
    let begins = |text| (command(text), read(text, "Sockets"));
    begins(one) == begins(other)
}

fn read(definition: &str, key: &str) -> Option<Value> {
    let value = Value::from_reader_xml(definition.as_bytes()).ok()?;
    value.into_dictionary()?.remove(key)
}

/// What stands further in is of endpoints and the like.
fn said_of<'a>(printed: &'a str, key: &str) -> Option<&'a str> {
    let lines = printed.lines().filter_map(|line| line.strip_prefix('\t'));
    lines.filter_map(|line| line.split_once(" = ")).find(|(name, _)| *name == key).map(|(_, value)| value.trim())
}

/// The users who are logged in at the screen, by what `ps -axo uid=,comm=` says. Where nobody is, the window is root's.
pub fn sessions(processes: &str) -> Vec<u32> {
    let of_a_window = |line: &str| {
        let (uid, program) = line.trim().split_once(char::is_whitespace)?;
        program.ends_with("/loginwindow").then(|| uid.parse().ok()).flatten().filter(|uid| *uid != 0)
    };
    let mut users: Vec<u32> = processes.lines().filter_map(of_a_window).collect();
    users.sort_unstable();
    users.dedup();
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(scope: Scope, arguments: &[&str]) -> Service {
        Service {
            scope,
            program: "/usr/local/bin/hallpass".into(),
            arguments: arguments.iter().map(Into::into).collect(),
            listen: crate::config::DEFAULT_LISTEN.into(),
            grace: crate::config::DEFAULT_GRACE,
        }
    }

    #[cfg(unix)]
    /// A property list as Python's own reader has it, in JSON.
    fn as_python_reads(text: &str) -> serde_json::Value {
        use std::io::Write as _;
        let script = "import json, plistlib, sys; print(json.dumps(plistlib.loads(sys.stdin.buffer.read())))";
        let mut python = std::process::Command::new("python3")
            .args(["-c", script])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = python.wait_with_output().unwrap();
        assert!(output.status.success(), "{text}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    #[cfg(unix)]
    #[test]
    fn a_property_list_is_read_as_it_was_meant() {
        let arguments = ["--user", "CORP\\a&b <c>", "--grace", "30s"];
        let wanted = Service { grace: Duration::from_secs(30), ..service(Scope::System, &arguments) };
        let list = as_python_reads(&plist(&wanted, true, Some(Path::new(LOG_OF_ACCOUNT))));
        let words = ["/usr/local/bin/hallpass", "serve", "--user", "CORP\\a&b <c>", "--grace", "30s"];
        assert_eq!(list["ProgramArguments"], serde_json::json!(words));
        assert_eq!(list["ExitTimeOut"], 45, "longer than the grace");
        assert_eq!(list["SoftResourceLimits"]["NumberOfFiles"], 65_536);
        assert_eq!(list["KeepAlive"]["SuccessfulExit"], false);
        assert_eq!(
            (&list["UserName"], &list["EnvironmentVariables"]["HOME"]),
            (&"_hallpass".into(), &HOME_OF_ACCOUNT.into())
        );
        assert_eq!(list["StandardErrorPath"], LOG_OF_ACCOUNT);
        let listeners = list["Sockets"]["Listeners"].as_array().unwrap();
        assert_eq!(listeners.len(), 2);
        assert_eq!(
            (&listeners[0]["SockNodeName"], &listeners[0]["SockServiceName"]),
            (&"127.0.0.1".into(), &"3128".into())
        );
        assert_eq!((&listeners[1]["SockNodeName"], &listeners[1]["SockFamily"]), (&"::1".into(), &"IPv6".into()));
    }

    #[cfg(unix)]
    #[test]
    fn an_agent_runs_as_its_user_and_listens_itself() {
        let list = as_python_reads(&plist(&service(Scope::User, &[]), false, None));
        for key in ["UserName", "Sockets", "StandardErrorPath", "EnvironmentVariables"] {
            assert!(list.get(key).is_none(), "{key}: {list}");
        }
        assert_eq!((&list["RunAtLoad"], &list["ProcessType"]), (&true.into(), &"Interactive".into()));
    }

    /// `HALLPASS_WORDS=write` writes them.
    #[test]
    fn what_packages_ship_is_what_we_would_write_for_their_program() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/macos");
        for (place, scope, log) in
            [("LaunchAgents", Scope::User, None), ("LaunchDaemons", Scope::System, Some(Path::new(LOG_OF_ACCOUNT)))]
        {
            let file = root.join(place).join(format!("{LABEL}.plist"));
            let wanted = plist(&service(scope, &[]), false, log);
            if std::env::var_os("HALLPASS_WORDS").is_some_and(|value| value == "write") {
                std::fs::write(&file, &wanted).unwrap();
            }
            assert_eq!(std::fs::read_to_string(&file).unwrap(), wanted, "{}", file.display());
        }
    }

    #[test]
    fn launchctl_tells_whether_a_service_runs() {
        let loaded = "gui/501/hallpass.relay = {\n\tactive count = 1\n\tpath = /Users/a/Library/LaunchAgents/hallpass.relay.plist\n\t\
                      type = LaunchAgent\n\tstate = running\n\n\tprogram = /usr/local/bin/hallpass\n\tdomain = gui/501 [100005]\n\t\
                      runs = 1\n\tpid = 4711\n\timmediate reason = speculative\n\tlast exit code = (never exited)\n\n\tendpoints = {\n\t\t\
                      \"x\" = {\n\t\t\tstate = active\n\t\t\tpid = 1\n\t\t}\n\t}\n}\n";
        let (running, remarks) = read_state(loaded);
        assert_eq!((running.unwrap().pid, remarks.len()), (Some(4711), 0));
        assert_eq!(exit_time_out(loaded), None);
        assert_eq!(
            exit_time_out("x = {\n\tminimum runtime = 10\n\texit timeout = 20\n}\n"),
            Some(Duration::from_secs(20))
        );
        let failed = "gui/501/hallpass.relay = {\n\tstate = spawn scheduled\n\truns = 3\n\tlast exit code = 2\n\n\tx = {\n\t\tstate = running\n\t}\n}\n";
        let (running, remarks) = read_state(failed);
        assert_eq!((running, remarks.as_slice()), (None, &["the last run ended with 2".to_owned()][..]));
        for (how, said) in [
            ("last terminating signal = Killed: 9", &["the last run was ended by a signal, Killed: 9"][..]),
            ("last exit reason = JETSAM_HIGHWATER", &["the last run was ended by a signal, JETSAM_HIGHWATER"]),
            ("last exit code = 0", &[]),
            ("last exit code = 78: EX_CONFIG", &["the last run ended with 78: EX_CONFIG"]),
        ] {
            let (running, remarks) = read_state(&format!("x = {{\n\tstate = not running\n\t{how}\n}}\n"));
            assert_eq!((running, remarks.iter().map(String::as_str).collect::<Vec<_>>().as_slice()), (None, said));
            let (running, remarks) = read_state(&format!("x = {{\n\tstate = running\n\t{how}\n}}\n"));
            assert!(running.is_some() && remarks.is_empty(), "of a former run: {remarks:?}");
        }
    }

    #[test]
    fn a_definition_is_known_by_what_it_starts() {
        let own = service(Scope::User, &["--config", "lab"]);
        let text = plist(&own, false, None);
        assert_eq!(command(&text), ["/usr/local/bin/hallpass", "serve", "--config", "lab"]);
        let patient = Service { grace: Duration::from_secs(60), ..own.clone() };
        assert!(starts_the_same(&text, &plist(&patient, false, Some(Path::new("/x.log")))));
        assert!(!starts_the_same(&text, &plist(&own, true, None)), "with sockets");
        assert!(!starts_the_same(&text, &plist(&service(Scope::User, &[]), false, None)));
        assert!(!starts_the_same(&text, "no list") && command("no list").is_empty());
    }

    #[test]
    fn launchctl_tells_what_is_disabled_and_whence_a_service_is() {
        let older = "disabled services = {\n\t\"a\" => true\n\t\"hallpass.relay\" => false\n}\n";
        assert!(!is_disabled(older) && is_disabled(&older.replace("false", "true")));
        let newer = "\tdisabled services = {\n\t\t\"hallpass.relay\" => enabled\n\t}\n";
        assert!(!is_disabled(newer) && is_disabled(&newer.replace("enabled", "disabled")) && !is_disabled(""));
        assert_eq!(path("x = {\n\tpath = /a b/x.plist\n}\n"), Some(PathBuf::from("/a b/x.plist")));
        assert_eq!(path("x = {\n\tpath = (submitted by x)\n}\n"), None);
    }

    #[test]
    fn whoever_is_logged_in_has_a_login_window() {
        let window = "/System/Library/CoreServices/loginwindow.app/Contents/MacOS/loginwindow";
        let processes = format!(
            "    0 /sbin/launchd\n  502 {window}\n  501 /bin/zsh\n  501 {window}\n    0 {window}\n  501 {window}\n"
        );
        assert_eq!(sessions(&processes), [501, 502]);
        assert!(sessions(&format!("    0 {window}\n")).is_empty());
    }
}
