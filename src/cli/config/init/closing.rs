//! The last words: what was written, whether a relay goes by it, and the lines that have programs use it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::Runtime;

use crate::cli::flags::Flags;
use crate::cli::{output, relay};
use crate::config::{Config, DEFAULT_LISTEN, Environment};

/// A relay that runs sees a changed file within a second or two.
const TAKES_IT: Duration = Duration::from_secs(5);

const PAUSE: Duration = Duration::from_millis(100);

/// Of the shell that reads the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Posix,
    Fish,
    PowerShell,
}

impl Dialect {
    /// Windows has no SHELL, but a path for PowerShell's modules.
    fn of(environment: &Environment) -> Self {
        let name = environment.get("SHELL").map(|shell| shell.rsplit(['/', '\\']).next().unwrap_or_default());
        match (name, environment.get("PSModulePath")) {
            (Some("fish"), _) => Self::Fish,
            (Some("pwsh" | "pwsh.exe"), _) | (None, Some(_)) => Self::PowerShell,
            (Some(_) | None, _) => Self::Posix,
        }
    }

    /// Programs read one or the other case; Windows tells them not apart.
    fn lines(self, relay: SocketAddr) -> [String; 2] {
        ["HTTPS_PROXY", "HTTP_PROXY"].map(|name| {
            let lower = name.to_lowercase();
            match self {
                Self::Posix => format!("export {name}=http://{relay} {lower}=http://{relay}"),
                Self::Fish => format!("set -gx {name} http://{relay}; set -gx {lower} http://{relay}"),
                Self::PowerShell => format!("$env:{name} = \"http://{relay}\""),
            }
        })
    }

    /// What it reads when it starts.
    fn file(self) -> &'static str {
        match self {
            Self::Posix => "~/.profile",
            Self::Fish => "~/.config/fish/config.fish",
            Self::PowerShell => "$PROFILE",
        }
    }
}

/// A relay of this user, as its own page tells it.
pub struct Running {
    pid: u64,
    listen: Option<SocketAddr>,
    files: Vec<String>,
    loaded: String,
    problems: Vec<String>,
}

/// `None`: none is running, or none that talks with us.
pub fn running(flags: &Flags, runtime: &Runtime) -> Option<Running> {
    let (status, body) = runtime.block_on(relay::page(relay::find(flags).ok()?, "/status")).ok()?;
    let page: Value = serde_json::from_slice(&body).ok().filter(|_| status == 200)?;
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let configuration = &page["configuration"];
    Some(Running {
        pid: page["pid"].as_u64()?,
        listen: words(&page["listen"]).iter().find_map(|addr| addr.parse().ok()),
        files: words(&configuration["files"]),
        loaded: configuration["loaded"].as_str()?.to_owned(),
        problems: words(&configuration["problem"]),
    })
}

/// Has a relay that runs take the file. What is to be done next, as a comment for the shell, and where that relay is
/// found.
pub fn next_step(
    flags: &Flags,
    path: &Path,
    before: Option<&Running>,
    runtime: &Runtime,
) -> (String, Option<SocketAddr>) {
    let began = Instant::now();
    loop {
        let Some(now) = running(flags, runtime) else { return (format!("# start it: {}", start(flags, path)), None) };
        let has_taken_it = now.files.iter().any(|file| Path::new(file) == absolute(path));
        let is_new = before.is_none_or(|before| (before.pid, &before.loaded) != (now.pid, &now.loaded));
        if has_taken_it && is_new {
            return (format!("# hallpass already runs (pid {}) and has taken the file", now.pid), now.listen);
        }
        if began.elapsed() < TAKES_IT {
            std::thread::sleep(PAUSE);
            continue;
        }
        let pid = now.pid;
        return match (has_taken_it, now.problems.first()) {
            (_, Some(problem)) => (format!("# hallpass runs (pid {pid}) and cannot use the file: {problem}"), None),
            (true, None) => {
                (format!("# hallpass already runs (pid {pid}), and this file says the same as before"), now.listen)
            }
            (false, None) => (
                format!(
                    "# hallpass runs (pid {pid}), but not by this file: end it, and start it again: {}",
                    start(flags, path)
                ),
                None,
            ),
        };
    }
}

/// The command by which a relay goes by this file. A shell takes what stands in quotes as one word.
fn start(flags: &Flags, path: &Path) -> String {
    match &flags.config {
        None => "hallpass".into(),
        Some(_) => format!("hallpass --config '{}'", absolute(path).display()),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}

/// The two lines to paste come last.
pub fn paste(config: &Config, running: Option<SocketAddr>, environment: &Environment) {
    let configured = config.listen.iter().find(|address| address.port() != 0).unwrap_or(&DEFAULT_LISTEN[0]);
    let relay = running.unwrap_or(*configured);
    let dialect = Dialect::of(environment);
    output::say(format_args!("# then paste these two lines, or add them to {}:", dialect.file()));
    dialect.lines(relay).iter().for_each(output::say);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_gets_lines_of_its_own() {
        let relay = "127.0.0.1:3128".parse().unwrap();
        for (variables, line) in [
            (
                vec![("SHELL", "/bin/bash")],
                "export HTTPS_PROXY=http://127.0.0.1:3128 https_proxy=http://127.0.0.1:3128",
            ),
            (vec![], "export HTTPS_PROXY=http://127.0.0.1:3128 https_proxy=http://127.0.0.1:3128"),
            (
                vec![("SHELL", "/usr/bin/fish")],
                "set -gx HTTPS_PROXY http://127.0.0.1:3128; set -gx https_proxy http://127.0.0.1:3128",
            ),
            (vec![("PSModulePath", "C:\\x")], "$env:HTTPS_PROXY = \"http://127.0.0.1:3128\""),
            (
                vec![("PSModulePath", "C:\\x"), ("SHELL", "/usr/bin/bash.exe")],
                "export HTTPS_PROXY=http://127.0.0.1:3128 https_proxy=http://127.0.0.1:3128",
            ),
        ] {
            let environment = Environment::from_pairs(variables.iter().copied());
            assert_eq!(Dialect::of(&environment).lines(relay)[0], line, "{variables:?}");
        }
    }
}
