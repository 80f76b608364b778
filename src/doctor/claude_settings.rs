//! What Claude Code is told in its settings file, and Node in its variables: proxies, certificates, versions.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

use super::proxy_value::ProxyValue;
use super::{Check, Finding, Stage};
use crate::config::Environment;

/// Of Node itself; Claude Code has its own, and what it starts may not.
const NODE: [&str; 4] = ["NODE_EXTRA_CA_CERTS", "NODE_TLS_REJECT_UNAUTHORIZED", "NODE_OPTIONS", "NODE_USE_ENV_PROXY"];

const PROXIES: [&str; 6] = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

pub(super) fn checks(environment: &Environment, relay: &[SocketAddr]) -> Vec<Check> {
    let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    let home = variable("HOME").or_else(|| variable("USERPROFILE"));
    let directory =
        variable("CLAUDE_CONFIG_DIR").map(PathBuf::from).or_else(|| home.map(|home| Path::new(home).join(".claude")));
    let own: BTreeMap<String, String> =
        NODE.iter().filter_map(|name| Some(((*name).to_string(), variable(name)?.to_string()))).collect();
    let relay = relay.to_vec();
    let settings = Check::new(Stage::Surroundings, "settings of Claude Code", super::LENIENCE, async move {
        directory.map_or_else(
            || Finding::skipped("nobody says where the home directory is"),
            |directory| of_settings(&directory.join("settings.json"), &relay),
        )
    });
    let node = Check::new(Stage::Surroundings, "variables of Node", super::LENIENCE, async move { of_node(&own) });
    vec![settings, node]
}

fn of_settings(path: &Path, relay: &[SocketAddr]) -> Finding {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Finding::fine(format!("{} is not there: Claude Code goes by its variables", path.display()));
        }
        Err(error) => {
            return Finding::warning(format!("{} cannot be read: {error}", path.display()), "let its owner read it");
        }
    };
    let settings: Value = match serde_json::from_str(&text) {
        Ok(settings) => settings,
        Err(error) => {
            let place = format!("{}, line {}, column {}", path.display(), error.line(), error.column());
            return Finding::warning(
                format!("{place}: this is no JSON, so Claude Code heeds none of it"),
                format!("correct that line ({error})"),
            );
        }
    };
    let Some(env) = settings.get("env").filter(|env| !env.is_null()) else {
        return Finding::fine(format!("{} has no env block: Claude Code goes by its variables", path.display()));
    };
    let Some(env) = env.as_object() else {
        return Finding::warning(format!("{}: env is no table", path.display()), "write it as {\"NAME\": \"value\"}");
    };
    let mut notes: Vec<String> = Vec::new();
    let mut words: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in env {
        match value {
            Value::String(value) => drop(words.insert(name.clone(), value.clone())),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                notes.push(format!("env.{name} is no text: write it in quotes"));
            }
        }
    }
    notes.extend(of_proxies(&words, relay));
    notes.extend(certificates(&words));
    if words.contains_key("ANTHROPIC_BASE_URL") {
        notes.push(
            "ANTHROPIC_BASE_URL is set: what needs api.anthropic.com itself, such as Remote Control, is off".into(),
        );
    }
    let leads = PROXIES.iter().find_map(|name| Some((name, ProxyValue::parse(words.get(*name)?))));
    let fine = match leads {
        Some((name, value)) => format!("{}: {name} is {value}", path.display()),
        None => format!("{} names no proxy: Claude Code goes by its variables", path.display()),
    };
    told(notes, fine, &format!("correct them in {}, or run hallpass env --for claude-code --write", path.display()))
}

fn of_proxies(words: &BTreeMap<String, String>, relay: &[SocketAddr]) -> Vec<String> {
    let mut notes = Vec::new();
    for (name, value) in PROXIES.iter().filter_map(|name| Some((name, words.get(*name)?))) {
        let proxy = ProxyValue::parse(value);
        let is_socks = proxy.scheme.as_deref().is_some_and(|scheme| scheme.starts_with("socks"));
        if name.eq_ignore_ascii_case("ALL_PROXY") {
            notes.push(format!("Claude Code does not read {name}"));
        } else if is_socks {
            notes.push(format!("{name} says SOCKS, which Claude Code does not speak"));
        } else if proxy.place.is_none() {
            notes.push(format!("{name} holds no address of a proxy"));
        } else if !proxy.leads_to(relay) {
            notes.push(format!("{name} leads to {proxy} and not to the relay"));
        } else if proxy.scheme.as_deref() == Some("https") {
            notes.push(format!("{name} says https:// for the relay, which is spoken to without TLS"));
        }
        if proxy.has_password {
            notes.push(format!("{name} has a password in it"));
        }
    }
    notes
}

fn of_node(words: &BTreeMap<String, String>) -> Finding {
    let notes = certificates(words);
    let set = words.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let fine = if set.is_empty() { "none is set".into() } else { format!("{set}: nothing is wrong with them") };
    told(notes, fine, "correct them where the shell sets them")
}

/// What Node makes of certificates.
fn certificates(words: &BTreeMap<String, String>) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(file) = words.get("NODE_EXTRA_CA_CERTS") {
        notes.extend(of_certificates(Path::new(file)));
    }
    if words.get("NODE_TLS_REJECT_UNAUTHORIZED").is_some_and(|value| value == "0") {
        notes.push(
            "NODE_TLS_REJECT_UNAUTHORIZED=0 switches all checks of certificates off: anybody on the way can read and \
             change everything"
                .into(),
        );
    }
    notes
}

/// Node says nothing but a warning when it cannot use the file.
fn of_certificates(file: &Path) -> Option<String> {
    let name = format!("NODE_EXTRA_CA_CERTS names {}", file.display());
    if let Err(error) = fs::metadata(file) {
        return Some(format!("{name}, which cannot be read: {error}"));
    }
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Some(format!("{name}, which holds no certificate in PEM form")),
        Ok(_) => None,
        Err(error) => Some(format!("{name}, which is not PEM: {error}")),
    }
}

fn told(notes: Vec<String>, fine: String, advice: &str) -> Finding {
    match notes.split_first() {
        None => Finding::fine(fine),
        Some((first, others)) => Finding::warning(first.clone(), advice).details(others.iter().cloned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    fn relay() -> Vec<SocketAddr> {
        vec!["127.0.0.1:3128".parse().unwrap()]
    }

    #[test]
    fn settings_of_claude_code_are_read_to_the_line_and_judged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("settings.json");
        let (pem, text) = (directory.path().join("ca.pem"), directory.path().join("ca.txt"));
        let certificate = rcgen::generate_simple_self_signed(["ca.test".to_string()]).unwrap().cert.pem();
        fs::write(&pem, certificate).unwrap();
        fs::write(&text, "no certificate").unwrap();
        let env = |body: &str| format!("{{\"env\": {{{body}}}}}");
        let names = |file: &Path| env(&format!("\"NODE_EXTRA_CA_CERTS\": {}", serde_json::Value::from(file.to_str())));
        for (settings, state, says) in [
            ("{\n \"env\": {,}\n}".to_string(), State::Warning, "line 2, column 10"),
            ("{}".into(), State::Fine, "no env block"),
            ("{\"env\": 3}".into(), State::Warning, "no table"),
            (env("\"HTTPS_PROXY\": \"http://127.0.0.1:3128\""), State::Fine, "HTTPS_PROXY is http://127.0.0.1:3128"),
            (env("\"HTTPS_PROXY\": 3128"), State::Warning, "env.HTTPS_PROXY is no text"),
            (env("\"HTTPS_PROXY\": \"http://a:hunter2@proxy.test:1\""), State::Warning, "leads to http://proxy.test:1"),
            (env("\"HTTPS_PROXY\": \"https://127.0.0.1:3128\""), State::Warning, "without TLS"),
            (env("\"HTTP_PROXY\": \"socks5://127.0.0.1:3128\""), State::Warning, "SOCKS"),
            (env("\"ALL_PROXY\": \"http://127.0.0.1:3128\""), State::Warning, "does not read ALL_PROXY"),
            (env("\"NODE_TLS_REJECT_UNAUTHORIZED\": \"0\""), State::Warning, "checks of certificates off"),
            (env("\"ANTHROPIC_BASE_URL\": \"http://x\""), State::Warning, "Remote Control"),
            (names(&pem), State::Fine, "names no proxy"),
            (names(&text), State::Warning, "no certificate in PEM form"),
            (names(Path::new("/nowhere/ca.pem")), State::Warning, "cannot be read"),
        ] {
            fs::write(&path, &settings).unwrap();
            let finding = of_settings(&path, &relay());
            assert_eq!(finding.state, state, "{settings}: {finding:?}");
            assert!(finding.says.contains(says), "{settings}: {finding:?}");
            assert!(!format!("{finding:?}").contains("hunter2"), "{finding:?}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(of_settings(&path, &relay()).state, State::Fine);
    }

    #[test]
    fn nodes_own_variables_are_judged_the_same_way() {
        let of = |pairs: &[(&str, &str)]| {
            of_node(&pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
        };
        assert_eq!(of(&[]).state, State::Fine);
        assert_eq!(of(&[("NODE_USE_ENV_PROXY", "1")]).state, State::Fine);
        let off = of(&[("NODE_TLS_REJECT_UNAUTHORIZED", "0"), ("NODE_EXTRA_CA_CERTS", "/nowhere")]);
        assert_eq!((off.state, off.details.len()), (State::Warning, 1));
    }
}
