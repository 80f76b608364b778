//! systemctl(1), asked as a person would ask it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

use crate::service::unix::{said, told};
use crate::service::{Scope, ServiceError};

/// As much of the log as says why a start has failed.
const LAST_LINES: &str = "5";

pub struct Systemctl {
    scope: Scope,
    /// Where the user's manager listens.
    runtime_directory: Option<PathBuf>,
}

/// The properties of a unit.
pub struct Shown(HashMap<String, String>);

impl Systemctl {
    /// Refuses where there is nobody to ask.
    pub fn open(scope: Scope) -> Result<Self, ServiceError> {
        if !PathBuf::from("/run/systemd/system").is_dir() {
            let hint = "have what starts services here run hallpass serve; hallpass service install --print shows how";
            return Err(ServiceError::refused("this system is not run by systemd", hint));
        }
        let runtime_directory = match scope {
            Scope::System => None,
            Scope::User => Some(runtime_directory()?),
        };
        Ok(Self { scope, runtime_directory })
    }

    /// What it prints.
    pub fn run(&self, arguments: &[&str]) -> Result<String, ServiceError> {
        let output = self.output("systemctl", arguments)?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(ServiceError::Failed { command: self.command(arguments), said: said(&output) }),
        }
    }

    /// Starts a unit, and finds out why it does not run if it does not.
    pub fn bring_up(&self, verb: &str, name: &str) -> Result<(), ServiceError> {
        let begun = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        // What it ran into before is no reason not to try once more.
        let _ = self.run(&["reset-failed", name]);
        let started = self.run(&[verb, name]);
        let shown = self.show(name)?;
        if shown.is_active() {
            return Ok(());
        }
        let logged = shown.get("ExecMainPID").map(|pid| self.log_of(pid, begun)).unwrap_or_default();
        let said = match started {
            _ if shown.is("ConditionResult", "no") => self.why_not(),
            _ if !logged.is_empty() => logged,
            Err(ServiceError::Failed { said, .. }) => said,
            Err(error) => return Err(error),
            Ok(_) => format!("systemctl status {name} says more"),
        };
        Err(ServiceError::NotRunning { said })
    }

    /// A condition of the unit does not hold.
    fn why_not(&self) -> String {
        match self.scope {
            Scope::User => {
                "a relay of the machine serves everybody here, or this is an account of the system: hallpass \
                            service status --system"
                    .into()
            }
            Scope::System => "a condition of the unit does not hold: systemctl status hallpass.service".into(),
        }
    }

    pub fn show(&self, name: &str) -> Result<Shown, ServiceError> {
        let text = self.run(&["show", "--no-pager", name])?;
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Ok(Shown(pairs.map(|(name, value)| (name.into(), value.into())).collect()))
    }

    /// What a process has logged since then. By its number, because the journal cannot tell the unit of one that ended at once.
    fn log_of(&self, pid: &str, second: u64) -> String {
        let (pid, since) = (format!("_PID={pid}"), format!("--since=@{second}"));
        let arguments =
            ["--quiet", "--no-pager", "--output=cat", "--lines", LAST_LINES, &since, &pid, "_TRANSPORT=stdout"];
        match self.output("journalctl", &arguments) {
            Ok(output) if output.status.success() => {
                let text = String::from_utf8_lossy(&output.stdout);
                text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n  ")
            }
            Ok(_) | Err(_) => String::new(),
        }
    }

    fn output(&self, program: &str, arguments: &[&str]) -> Result<Output, ServiceError> {
        let mut command = Command::new(program);
        if self.scope == Scope::User && program == "systemctl" {
            command.arg("--user");
        }
        if let Some(directory) = &self.runtime_directory {
            command.env("XDG_RUNTIME_DIR", directory);
        }
        command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null());
        command.output().map_err(|cause| ServiceError::Start { program: program.into(), cause })
    }

    fn command(&self, arguments: &[&str]) -> String {
        let user = if self.scope == Scope::User { "--user " } else { "" };
        format!("systemctl {user}{}", arguments.join(" "))
    }
}

/// Also where a shell by su or cron was not told of it.
fn runtime_directory() -> Result<PathBuf, ServiceError> {
    let user = rustix::process::getuid().as_raw();
    if user == 0 && std::env::var_os("SUDO_USER").is_some() {
        return Err(ServiceError::refused("by sudo, your own service is not in reach", "call it without sudo"));
    }
    let directory = told("XDG_RUNTIME_DIR").unwrap_or_else(|| format!("/run/user/{user}").into());
    if directory.join("systemd").is_dir() {
        return Ok(directory);
    }
    let what = format!("nobody runs services of user {user} at the moment");
    let hint = format!(
        "log in as that user (by ssh or at the screen, not by su), or have them run without: sudo loginctl enable-linger {user}"
    );
    Err(ServiceError::refused(what, hint))
}

impl Shown {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub fn is(&self, name: &str, value: &str) -> bool {
        self.get(name) == Some(value)
    }

    pub fn is_loaded(&self) -> bool {
        self.is("LoadState", "loaded")
    }

    /// While it reloads it runs as well.
    pub fn is_active(&self) -> bool {
        self.is("ActiveState", "active") || self.is("ActiveState", "reloading")
    }

    /// It neither runs nor is about to.
    pub fn is_stopped(&self) -> bool {
        self.is("ActiveState", "inactive") || self.is("ActiveState", "failed")
    }

    pub fn is_enabled(&self) -> bool {
        self.get("UnitFileState").is_some_and(|state| state.starts_with("enabled"))
    }

    pub fn place(&self) -> Option<String> {
        self.get("FragmentPath").map(Into::into)
    }

    pub fn pid(&self) -> Option<u32> {
        self.get("MainPID").and_then(|pid| pid.parse().ok()).filter(|pid| *pid != 0)
    }

    pub fn since(&self) -> Option<String> {
        self.get("ActiveEnterTimestamp").map(Into::into)
    }

    pub fn says(&self) -> Option<String> {
        self.get("StatusText").map(Into::into)
    }

    /// What a person would want to know besides.
    pub fn remarks(&self, scope: Scope) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.is("LoadState", "masked") {
            remarks.push("an administrator has masked it: it cannot be started".into());
        }
        if let Some(result) = self.get("Result").filter(|result| *result != "success") {
            let status = self.get("ExecMainStatus").unwrap_or_default();
            let log = if scope == Scope::User { "journalctl --user -u hallpass" } else { "journalctl -u hallpass" };
            remarks.push(format!("the last run ended with {result} (status {status}): {log} says more"));
        }
        if let Some(count) = self.get("NRestarts").filter(|count| *count != "0") {
            remarks.push(format!("restarts after failures: {count}"));
        }
        if !self.is_active() && self.is("ConditionResult", "no") {
            remarks.push("a condition of the unit does not hold: the machine's own relay is enabled, or this is an account of the system".into());
        }
        if self.is("NeedDaemonReload", "yes") {
            remarks.push("its files were changed since: systemctl daemon-reload".into());
        }
        remarks
    }
}
