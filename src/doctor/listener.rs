//! Whether a relay runs, whose it is, and whether it goes by the configuration that was looked at.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Case, Check, Finding, Stage};
use crate::config::Config;
use crate::http1::{Body, ReadError, Wire};
use crate::network::found_at;
use crate::owner::Owner;
use crate::process::{self, Owners, account, run_directories, running_relays};

pub(super) const NAME: &str = "listener";
/// On this machine whoever does not answer within this time does not answer.
const PATIENCE: Duration = Duration::from_secs(3);
const LIMIT: Duration = Duration::from_secs(15);
const MAX_HEAD: usize = 256 * 1024;

pub(super) fn check(case: &Arc<Case>) -> Check {
    let case = case.clone();
    Check::new(Stage::Listener, NAME, LIMIT, async move { look(&case.config).await })
}

async fn look(config: &Config) -> Finding {
    let addrs = places(config);
    for addr in &addrs {
        let Ok(Ok(stream)) = timeout(PATIENCE, TcpStream::connect(found_at(*addr))).await else { continue };
        return match owner(*addr).await {
            Some(owner) if !account::may_be_relied_on(&owner) => foreign(*addr, &owner),
            Some(_) | None => match timeout(PATIENCE, page(stream)).await {
                Ok(Ok(page)) if page["version"].is_string() && page["pid"].is_number() => {
                    of_relay(config, *addr, &page)
                }
                Ok(_) => other_program(*addr),
                Err(_) => Finding::failed(
                    format!("what listens on {addr} does not answer within {} s", PATIENCE.as_secs()),
                    "if it is a relay, end it and start it again: hallpass serve",
                ),
            },
        };
    }
    let tried = addrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let at = if tried.is_empty() { String::new() } else { format!(" at {tried}") };
    Finding::warning(
        format!("no relay runs{at}; what follows is what one would do"),
        "hallpass serve starts it, and hallpass run -- COMMAND starts one for a single program",
    )
}

/// Where the configuration says, and where one says itself.
fn places(config: &Config) -> Vec<SocketAddr> {
    let mut addrs: Vec<SocketAddr> = config.listen.iter().filter(|addr| addr.port() != 0).copied().collect();
    let directories = run_directories(&|name| config.environment.get(name).map(str::to_owned));
    addrs.extend(directories.iter().flat_map(|directory| running_relays(directory)));
    addrs
}

async fn owner(addr: SocketAddr) -> Option<Owner> {
    tokio::task::spawn_blocking(move || Owners::open().ok()?.of_listener(addr).ok()).await.ok().flatten()
}

fn foreign(addr: SocketAddr, owner: &Owner) -> Finding {
    let name = account::name_of(owner).map(|name| format!(" ({name})")).unwrap_or_default();
    Finding::failed(
        format!("what listens on {addr} belongs to user {owner}{name} and not to you"),
        "start a relay of your own on a free port: hallpass serve --listen auto",
    )
}

fn other_program(addr: SocketAddr) -> Finding {
    let who = process::holder_of(addr).map(|who| format!(" ({who})")).unwrap_or_default();
    Finding::failed(
        format!("what listens on {addr} is no hallpass{who}"),
        "end that program, or have the relay listen elsewhere: --listen auto",
    )
}

async fn page(stream: TcpStream) -> Result<Value, ReadError> {
    let mut wire = Wire::new(stream);
    let ask = b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    wire.stream.write_all(ask).await?;
    let head = wire.reader().response(MAX_HEAD).await?;
    let mut body = Body::of_response("GET", &head)?;
    let mut bytes = Vec::new();
    while let Ok(piece) = wire.reader().piece(&mut body).await? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > MAX_HEAD * 16 {
            break;
        }
    }
    Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

fn of_relay(config: &Config, addr: SocketAddr, page: &Value) -> Finding {
    let who = format!("hallpass {} (pid {}) on {addr}", page["version"].as_str().unwrap_or_default(), page["pid"]);
    let standing = &page["configuration"];
    if let Some(problems) = standing["problem"].as_array().filter(|problems| !problems.is_empty()) {
        return Finding::warning(
            format!("{who} goes by an older configuration, because the present one is wrong"),
            "correct it: hallpass config check",
        )
        .details(problems.iter().filter_map(Value::as_str).map(Into::into));
    }
    let its: Vec<&str> = standing["files"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let ours: Vec<String> = config.files.iter().map(|path| path.display().to_string()).collect();
    if its != ours {
        let name = |files: Vec<String>| if files.is_empty() { "no file".into() } else { files.join(", ") };
        let (its, ours) = (name(its.iter().map(ToString::to_string).collect()), name(ours));
        return Finding::warning(
            format!("{who} goes by another configuration ({its}) than the one looked at here ({ours})"),
            "name the same one with --config to look at that relay's way",
        );
    }
    let loaded = standing["loaded"].as_str().and_then(|at| at.parse().ok());
    match loaded.and_then(|loaded| config.files.iter().find(|path| is_newer(path, loaded))) {
        Some(path) => Finding::warning(
            format!("{who} has not loaded {} since it was changed", path.display()),
            "have it loaded: send SIGHUP to the relay, or start it again",
        ),
        None if page["phase"] == "serving" => Finding::fine(format!("{who}, same configuration")),
        None => Finding::warning(format!("{who} is about to end"), "start it again: hallpass serve"),
    }
}

/// A file's time is finer than the second that the relay tells.
fn is_newer(path: &Path, loaded: Timestamp) -> bool {
    let changed = std::fs::metadata(path).and_then(|about| about.modified()).ok();
    let changed = changed.and_then(|changed| Timestamp::try_from(changed).ok());
    changed.is_some_and(|changed| changed.as_second() > loaded.as_second())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::{Environment, Files, Inputs, Layer, PolicyPlace, load};
    use crate::doctor::State;

    #[test]
    fn a_relay_that_goes_by_something_else_is_told_of() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hallpass.toml");
        std::fs::write(&path, "").unwrap();
        let inputs = Inputs {
            files: Files::Only(path.clone()),
            environment: Environment::default(),
            flags: Layer::default(),
            policy: PolicyPlace::Nowhere,
        };
        let config = load(&inputs).unwrap().config;
        let addr = "127.0.0.1:3128".parse().unwrap();
        let page = |files: Value, loaded: &str, problem: Value| {
            let configuration = json!({ "files": files, "loaded": loaded, "problem": problem });
            json!({ "version": "1", "pid": 7, "phase": "serving", "configuration": configuration })
        };
        let (path, later) = (json!([path]), "2999-01-01T00:00:00Z");
        for (page, state, words) in [
            (page(path.clone(), later, Value::Null), State::Fine, "same configuration"),
            (page(path.clone(), "2001-01-01T00:00:00Z", Value::Null), State::Warning, "since it was changed"),
            (page(json!([]), later, Value::Null), State::Warning, "another configuration (no file)"),
            (page(path, later, json!(["x"])), State::Warning, "the present one is wrong"),
        ] {
            let finding = of_relay(&config, addr, &page);
            assert!(finding.state == state && finding.says.contains(words), "{finding:?}");
        }
    }
}
