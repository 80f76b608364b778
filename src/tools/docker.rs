//! Docker: the client's file gives variables to containers and builds, the daemon pulls images and has a file of its own.
//!
//! 127.0.0.1 in a container is the container. Docker Desktop leads `host.docker.internal` to the machine's loopback; on
//! Linux the relay must listen on the bridge.

use serde_json::Value;

use super::change::{Setting, Wanted};
use super::syntax::Syntax;
use super::variables::exceptions;
use super::{Asked, Cannot, FileRecipe, Recipe, Tool};

pub const CLIENT: Tool = Tool {
    name: "docker",
    aliases: &["docker-client", "docker-run", "docker-compose"],
    syntax: Some(Syntax::Json),
    recipe: client,
};

pub const BUILD: Tool = Tool { name: "docker-build", aliases: &["buildx"], syntax: None, recipe: build };

pub const DAEMON: Tool = Tool { name: "docker-daemon", aliases: &["dockerd"], syntax: None, recipe: daemon };

/// As a container names the relay.
fn url(asked: &Asked<'_>) -> Result<String, Cannot> {
    let port = asked.relay.port();
    if asked.is_windows() || asked.is_macos() {
        return Ok(format!("http://host.docker.internal:{port}"));
    }
    let address = Some(asked.relay).filter(|relay| !relay.ip().is_loopback()).or(asked.for_containers);
    address.map(|address| format!("http://{address}")).ok_or(Cannot::OnlyLoopback { port })
}

fn client(asked: &Asked<'_>) -> Result<Recipe, Cannot> {
    let directory = match asked.path("DOCKER_CONFIG") {
        Some(path) => path,
        None => asked.home()?.join(".docker"),
    };
    let url = Value::String(url(asked)?).to_string();
    let key = |name: &str| vec!["proxies".into(), "default".into(), name.into()];
    let more = |before: Option<&str>| {
        let before = before.and_then(|text| serde_json::from_str::<String>(text).ok()).unwrap_or_default();
        Value::String(exceptions(&before)).to_string()
    };
    let settings = vec![
        Setting { key: key("httpProxy"), value: Wanted::Is(url.clone()) },
        Setting { key: key("httpsProxy"), value: Wanted::Is(url) },
        Setting { key: key("noProxy"), value: Wanted::Of(more) },
    ];
    let notes = vec![
        "it counts for containers and builds that are started from now on".into(),
        "docker pull is the daemon's: see hallpass env --for docker-daemon".into(),
    ];
    Ok(Recipe::File(FileRecipe { path: directory.join("config.json"), syntax: Syntax::Json, settings, notes }))
}

fn build(asked: &Asked<'_>) -> Result<Recipe, Cannot> {
    let line = |url: &str, more: &str| {
        format!(
            "    docker build{more} --build-arg HTTP_PROXY={url} --build-arg HTTPS_PROXY={url} --build-arg NO_PROXY=localhost,127.0.0.1 ."
        )
    };
    let on_host = line(&asked.url(), " --network=host");
    Ok(Recipe::Advice(match url(asked) {
        Ok(url) => format!(
            "These arguments are known to every build and stay out of the image:\n\n{}\n\nor for all builds and containers: hallpass \
             env --for docker --write. Never ENV in the Dockerfile: it would stay in the image.",
            line(&url, "")
        ),
        Err(cannot) => {
            format!("On the machine's own network 127.0.0.1 is this machine:\n\n{on_host}\n\nOtherwise {cannot}")
        }
    }))
}

fn daemon(asked: &Asked<'_>) -> Result<Recipe, Cannot> {
    let url = asked.url();
    if asked.is_windows() || asked.is_macos() {
        return Ok(Recipe::Advice(format!(
            "Docker Desktop takes no proxy from daemon.json: in its window, Settings > Resources > Proxies > Manual:\n\n    \
             http://host.docker.internal:{} for HTTP and HTTPS",
            asked.relay.port()
        )));
    }
    Ok(Recipe::Advice(format!(
        "The daemon is the machine's, so this needs root. It runs on the machine's own network and reaches {url}; let the relay \
         serve it: users = [\"self\"] in [access] does, because the daemon is root. Docker 23 and newer, in \
         /etc/docker/daemon.json (add the key, keep the others):\n\n    \
         {{\"proxies\": {{\"http-proxy\": \"{url}\", \"https-proxy\": \"{url}\", \"no-proxy\": \"localhost,127.0.0.0/8\"}}}}\n\n\
         or older, in /etc/systemd/system/docker.service.d/http-proxy.conf:\n\n    [Service]\n    \
         Environment=\"HTTP_PROXY={url}\" \"HTTPS_PROXY={url}\" \"NO_PROXY=localhost,127.0.0.0/8\"\n\n\
         then: sudo systemctl daemon-reload && sudo systemctl restart docker"
    )))
}
