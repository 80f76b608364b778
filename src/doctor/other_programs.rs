//! What programs that are installed here say of themselves: whether Node knows proxies by variables, where git and npm go.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::proxy_value::ProxyValue;
use super::{Check, Finding, Stage};
use crate::config::Environment;

/// A program that starts slowly is asked no longer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn checks(environment: &Environment, relay: &[SocketAddr]) -> Vec<Check> {
    let home = environment.get("HOME").or_else(|| environment.get("USERPROFILE")).map(str::to_owned);
    let (for_git, for_npm) = (relay.to_vec(), relay.to_vec());
    let limit = PATIENCE + super::LENIENCE;
    vec![
        Check::new(Stage::Surroundings, "version of Node", limit, async {
            of_node(ask("node", &["--version"]).await.as_deref())
        }),
        Check::new(Stage::Surroundings, "proxy of git", limit, async move {
            match ask("git", &["--version"]).await {
                None => Finding::skipped("git is not here"),
                Some(_) => {
                    // It fails where there is no such entry.
                    let said =
                        ask("git", &["config", "--get-regexp", r"^https?\.(.*\.)?proxy$"]).await.unwrap_or_default();
                    of_entries("git", said.lines().filter_map(|line| line.split_once(' ')), &for_git)
                }
            }
        }),
        Check::new(Stage::Surroundings, "proxy of npm", limit, async move {
            let text = home.and_then(|home| std::fs::read_to_string(Path::new(&home).join(".npmrc")).ok());
            text.map_or_else(
                || Finding::skipped("there is no .npmrc in the home directory"),
                |text| of_npmrc(&text, &for_npm),
            )
        }),
    ]
}

/// What it prints, if it is there and ends well.
async fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn of_node(said: Option<&str>) -> Finding {
    let Some(said) = said else { return Finding::skipped("Node is not here; Claude Code brings its own") };
    let version = said.trim().trim_start_matches('v');
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    let (Some(major), minor) = (numbers.next(), numbers.next().unwrap_or(0)) else {
        return Finding::skipped(format!("Node calls itself {version}, which is no version that we know"));
    };
    if knows_variables(major, minor) {
        return Finding::fine(format!("Node {version} goes by proxy variables where NODE_USE_ENV_PROXY=1 is set"));
    }
    Finding::warning(
        format!("Node {version} does not know NODE_USE_ENV_PROXY: its own fetch and https go direct"),
        "install Node 24.5 or 22.21 and later for MCP servers and scripts that use them; Claude Code itself does not need it",
    )
}

/// It came with 24.5 and was brought to 22.21; what lies between never got it.
fn knows_variables(major: u32, minor: u32) -> bool {
    match major {
        22 => minor >= 21,
        24 => minor >= 5,
        major => major > 24,
    }
}

fn of_npmrc(text: &str, relay: &[SocketAddr]) -> Finding {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    let entries =
        lines.filter_map(|line| line.split_once('=')).map(|(key, value)| (key.trim(), value.trim().trim_matches('"')));
    of_entries("npm", entries.filter(|(key, _)| ["proxy", "https-proxy", "http-proxy"].contains(key)), relay)
}

/// A setting stands before variables, so one that leads elsewhere counts.
fn of_entries<'a>(program: &str, entries: impl Iterator<Item = (&'a str, &'a str)>, relay: &[SocketAddr]) -> Finding {
    let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
    for (key, value) in entries.filter(|(_, value)| !["", "null", "false"].contains(value)) {
        let proxy = ProxyValue::parse(value);
        let password = if proxy.has_password { ", with a password in it" } else { "" };
        match proxy.leads_to(relay) {
            true => here.push(format!("{key} leads to the relay{password}")),
            false => elsewhere.push(format!("{key} leads to {proxy} and not to the relay{password}")),
        }
    }
    match (elsewhere.first(), here.first()) {
        (Some(first), _) => Finding::warning(
            format!("{program} goes by its own setting: {first}"),
            format!("take it out, or let it lead to the relay: hallpass env --for {program}"),
        )
        .details(elsewhere.iter().skip(1).cloned()),
        (None, Some(first)) => Finding::fine(first.clone()),
        (None, None) => Finding::fine(format!("{program} has no proxy in its settings and goes by variables")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn nodes_that_know_proxy_variables_are_told_from_those_that_do_not() {
        for (said, state) in [
            ("v24.5.0\n", State::Fine),
            ("v24.4.9", State::Warning),
            ("v22.21.0", State::Fine),
            ("v22.20.0", State::Warning),
            ("v23.11.0", State::Warning),
            ("v18.20.4", State::Warning),
            ("v26.0.0-nightly", State::Fine),
            ("node", State::Skipped),
        ] {
            assert_eq!(of_node(Some(said)).state, state, "{said}");
        }
        assert_eq!(of_node(None).state, State::Skipped);
    }

    #[test]
    fn settings_that_lead_elsewhere_are_named_without_their_password() {
        let relay: Vec<SocketAddr> = vec!["127.0.0.1:3128".parse().unwrap()];
        for (text, state, says) in [
            ("# proxy=http://x:1\nregistry=https://r.test\n", State::Fine, "no proxy"),
            ("https-proxy = \"http://localhost:3128\"\n", State::Fine, "leads to the relay"),
            ("proxy=null\n", State::Fine, "no proxy"),
            ("proxy=http://u:hunter2@proxy.test:80/\n", State::Warning, "proxy leads to http://proxy.test:80 and not"),
        ] {
            let finding = of_npmrc(text, &relay);
            assert_eq!(finding.state, state, "{text}: {finding:?}");
            assert!(finding.says.contains(says) && !format!("{finding:?}").contains("hunter2"), "{finding:?}");
        }
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_or_fails_says_nothing() {
        assert_eq!(ask("no-program-has-this-name", &[]).await, None);
        // One that is everywhere.
        let own = std::env::current_exe().unwrap();
        let own = own.to_str().unwrap();
        assert_eq!(ask(own, &["--no-such-option"]).await, None);
        assert!(ask(own, &["--help"]).await.unwrap().starts_with("Usage: "));
    }
}
