//! Programs of this user and the variables they were started with, from /proc (proc(5)).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Program, VARIABLES};
use crate::process::account;

/// From where people start others.
const STARTERS: [&str; 24] = [
    "bash",
    "zsh",
    "fish",
    "sh",
    "dash",
    "ksh",
    "tcsh",
    "pwsh",
    "nu",
    "elvish",
    "code",
    "code-insiders",
    "codium",
    "cursor",
    "windsurf",
    "zed",
    "idea",
    "pycharm",
    "webstorm",
    "goland",
    "clion",
    "rider",
    "rustrover",
    "claude",
];

pub(super) fn programs() -> Option<Vec<Program>> {
    let own = account::own()?.uid()?;
    let entries = fs::read_dir("/proc").ok()?;
    let mut programs: Vec<Program> = entries
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let is_ours = entry.metadata().ok()?.uid() == own && pid != std::process::id();
            is_ours.then(|| program(pid, &entry.path()))?
        })
        .collect();
    programs.sort_by_key(|program| program.pid);
    Some(programs)
}

/// One from which others are started.
fn program(pid: u32, place: &Path) -> Option<Program> {
    let name = fs::read_to_string(place.join("comm")).ok()?.trim().to_string();
    if !STARTERS.contains(&name.trim_start_matches('-')) {
        return None;
    }
    Some(Program { name, pid: Some(pid), variables: variables(&fs::read(place.join("environ")).ok()?) })
}

fn variables(environ: &[u8]) -> BTreeMap<String, String> {
    let pairs = environ.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let pairs =
        pairs.filter_map(|pair| pair.split_once('=').map(|(name, value)| (name.to_string(), value.to_string())));
    pairs.filter(|(name, _)| is_about_proxies(name)).collect()
}

fn is_about_proxies(name: &str) -> bool {
    VARIABLES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_that_runs_is_seen_with_its_proxy_variables_and_no_others() {
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "read line"])
            .env_clear()
            .envs([("https_proxy", "http://u:hunter2@proxy.test:8080"), ("SECRET", "x"), ("No_Proxy", "a")])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pid = shell.id();
        // Until it has become a shell, it is still ourselves.
        let found = std::iter::repeat_with(|| programs().unwrap().into_iter().find(|program| program.pid == Some(pid)))
            .take(10_000)
            .find(Option::is_some)
            .flatten()
            .unwrap();
        drop(shell.stdin.take());
        shell.wait().unwrap();
        let names: Vec<&str> = found.variables.keys().map(String::as_str).collect();
        assert_eq!(names, ["No_Proxy", "https_proxy"]);
        assert!(["sh", "dash", "bash"].contains(&found.name.as_str()), "{}", found.name);
    }
}
