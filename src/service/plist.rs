//! Property lists of launchd, launchd.plist(5), and what `launchctl print` says of a service.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use quick_xml::escape::escape;

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
    let words: String = words.map(|word| format!("\n\t\t{}", text(&word))).collect();
    let mut entries = vec![
        ("Label", text(LABEL)),
        ("ProgramArguments", format!("<array>{words}\n\t</array>")),
        ("RunAtLoad", "<true/>".into()),
        // What ends well was stopped by somebody; a crash or a failure is not the end.
        ("KeepAlive", dict(&[("SuccessfulExit", "<false/>".into())])),
        // Programs wait for it, so it is not slowed down as work in the background is.
        ("ProcessType", text("Interactive")),
        ("SoftResourceLimits", dict(&[("NumberOfFiles", integer(FILES))])),
        ("HardResourceLimits", dict(&[("NumberOfFiles", integer(FILES))])),
        ("ExitTimeOut", integer((service.grace + LAST_WORK).as_secs())),
        ("Umask", integer(0o077)),
    ];
    if service.scope == Scope::System {
        entries.push(("UserName", text(ACCOUNT)));
        entries.push(("GroupName", text(ACCOUNT)));
        entries.push(("EnvironmentVariables", dict(&[("HOME", text(HOME_OF_ACCOUNT))])));
    }
    if let Some(log) = log {
        entries.push(("StandardErrorPath", text(&log.to_string_lossy())));
    }
    if sockets {
        let list: String = service.listen.iter().map(socket).collect();
        entries
            .push(("Sockets", format!("<dict>\n\t\t<key>Listeners</key>\n\t\t<array>{list}\n\t\t</array>\n\t</dict>")));
    }
    let entries: String = entries.iter().map(|(key, value)| format!("\t<key>{key}</key>\n\t{value}\n")).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\">\n<dict>\n{entries}</dict>\n</plist>\n"
    )
}

fn text(value: &str) -> String {
    format!("<string>{}</string>", escape(value))
}

fn integer(value: impl std::fmt::Display) -> String {
    format!("<integer>{value}</integer>")
}

fn dict(entries: &[(&str, String)]) -> String {
    let entries: String = entries.iter().map(|(key, value)| format!("\n\t\t<key>{key}</key>\n\t\t{value}")).collect();
    format!("<dict>{entries}\n\t</dict>")
}

fn socket(addr: &SocketAddr) -> String {
    let family = if addr.is_ipv4() { "IPv4" } else { "IPv6" };
    let entries = [
        ("SockNodeName", text(&addr.ip().to_string())),
        ("SockServiceName", text(&addr.port().to_string())),
        ("SockType", text("stream")),
        ("SockFamily", text(family)),
    ];
    let entries: String =
        entries.iter().map(|(key, value)| format!("\n\t\t\t\t<key>{key}</key>\n\t\t\t\t{value}")).collect();
    format!("\n\t\t\t<dict>{entries}\n\t\t\t</dict>")
}

/// What `launchctl print` says of a service that is loaded: whether it runs, and remarks.
pub fn read_state(printed: &str) -> (Option<Running>, Vec<String>) {
    // What stands further in is of endpoints and the like.
    let value = |key: &str| {
        let line = printed
            .lines()
            .filter_map(|line| line.strip_prefix('\t'))
            .find(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(" = ")));
        line.and_then(|line| line.split_once(" = ")).map(|(_, value)| value.trim())
    };
    let pid = value("pid").and_then(|pid| pid.parse().ok());
    let runs = value("state") == Some("running");
    let running = runs.then_some(Running { pid, since: None, says: None });
    let ended = value("last exit code").filter(|code| !runs && *code != "0" && *code != "(never exited)");
    let remarks = ended.map(|code| format!("the last run ended with {code}")).into_iter().collect();
    (running, remarks)
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

    /// A property list as Python's own reader has it, in JSON.
    fn read(text: &str) -> serde_json::Value {
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

    #[test]
    fn a_property_list_is_read_as_it_was_meant() {
        let arguments = ["--user", "CORP\\a&b <c>", "--grace", "30s"];
        let wanted = Service { grace: Duration::from_secs(30), ..service(Scope::System, &arguments) };
        let list = read(&plist(&wanted, true, Some(Path::new(LOG_OF_ACCOUNT))));
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

    #[test]
    fn an_agent_runs_as_its_user_and_listens_itself() {
        let list = read(&plist(&service(Scope::User, &[]), false, None));
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
        let failed = "gui/501/hallpass.relay = {\n\tstate = spawn scheduled\n\truns = 3\n\tlast exit code = 2\n\n\tx = {\n\t\tstate = running\n\t}\n}\n";
        let (running, remarks) = read_state(failed);
        assert_eq!((running, remarks.as_slice()), (None, &["the last run ended with 2".to_owned()][..]));
    }
}
