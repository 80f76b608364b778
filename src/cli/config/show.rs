//! `hallpass config show`: what counts, where each value stands, what is wrong: what somebody who is to help asks for.

use std::fs::File;
use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use super::init::found;
use super::tried;
use crate::cli::flags::Flags;
use crate::cli::{output, relay};
use crate::config::{self, Credential, Examined, FoundPolicy, Inputs, Loaded, Mistakes, Origin, Problem};
use crate::credential::{Source, others_may_read};

#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    flags: Flags,
    /// Only what stands in a file, a variable, a flag or a policy, without the defaults.
    #[arg(long)]
    written: bool,
    /// The same as JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Show) -> anyhow::Result<()> {
    let inputs = arguments.flags.inputs();
    let examined = config::examine(&inputs);
    let report = Report { inputs: &inputs, examined: &examined, relay: relay_of(&arguments.flags, &examined) };
    if arguments.json {
        output::say(format_args!("{:#}", report.json(arguments.written)));
    } else {
        report.heading().iter().for_each(output::say);
        output::say(format_args!("\n{}", examined.to_toml(!arguments.written).trim()));
    }
    match examined.mistakes.is_empty() {
        true => Ok(()),
        // Who asks for the exit code wants to know, and for whoever reads it stands above, too.
        false => Err(Mistakes(examined.mistakes).into()),
    }
}

struct Report<'a> {
    inputs: &'a Inputs,
    examined: &'a Examined,
    /// What the relay that runs says, or why nothing does.
    relay: Result<Value, String>,
}

fn relay_of(flags: &Flags, examined: &Examined) -> Result<Value, String> {
    if !examined.mistakes.is_empty() {
        return Err("not asked, because the configuration is wrong".into());
    }
    let asked = || -> anyhow::Result<Value> {
        let stream = relay::find(flags)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (status, body) = runtime.block_on(relay::page(stream, "/status"))?;
        anyhow::ensure!(status == 200, "it answers /status with {status}");
        Ok(serde_json::from_slice(&body)?)
    };
    asked().map_err(|error| format!("{error:#}"))
}

impl Report<'_> {
    fn loaded(&self) -> &Loaded {
        &self.examined.loaded
    }

    /// Comments: what is printed can be a file.
    fn heading(&self) -> Vec<String> {
        let mut lines = vec![
            format!("# {}", version()),
            "# What counts. Behind each value where it stands: file:line:column, a variable, a flag, a policy, or nowhere \
             (default)."
                .into(),
        ];
        lines.extend(self.files().into_iter().map(|(path, state)| format!("# {state}: {path}")));
        lines.extend(self.policies().into_iter().map(|(place, state, why)| {
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            format!("# policy {state}: {place}{why}")
        }));
        if self.loaded().config.files.is_empty() {
            lines.push("# No file was read; hallpass config init writes one.".into());
        }
        if self.examined.mistakes.is_empty() && self.loaded().config.says_nothing_of_routes() {
            lines.push(format!(
                "# No way is configured, so the system's settings count: {}.",
                of_the_system(self.loaded())
            ));
        }
        lines.extend(self.examined.mistakes.iter().map(|mistake| format!("# wrong: {mistake}")));
        lines.extend(self.loaded().warnings.iter().map(|warning| format!("# warning: {warning}")));
        for credential in tried::in_use(&self.loaded().config) {
            let told = tried::told(&self.loaded().config, credential);
            lines.push(format!(
                "# credential {}: {}; {}; {told}",
                credential.name,
                user_of(credential),
                secret_of(credential)
            ));
        }
        match &self.relay {
            Ok(status) => {
                lines.extend(of_the_relay(status).into_iter().map(|line| format!("# the relay that runs: {line}")))
            }
            Err(why) => lines.push(format!("# the relay: {why}")),
        }
        // What came from outside must not begin a line of its own.
        lines.iter().map(|line| line.replace(char::is_control, " ")).collect()
    }

    fn files(&self) -> Vec<(String, &'static str)> {
        let read = |path: &Path| self.loaded().config.files.iter().any(|file| file == path);
        let state = |path: &Path| match (read(path), path.exists()) {
            (true, _) => "read",
            (false, true) => "not taken",
            (false, false) => "not there",
        };
        let files = config::places_of(&self.inputs.files);
        files.iter().map(|path| (path.display().to_string(), state(path))).collect()
    }

    /// Each place, what became of it, and why.
    fn policies(&self) -> Vec<(String, &'static str, Option<&Problem>)> {
        let found = |place: &str| self.loaded().policies().iter().find(|found| found.place == place);
        let state = |place: String| match found(&place) {
            Some(FoundPolicy { refused: Some(why), .. }) => (place, "refused", Some(why)),
            Some(FoundPolicy { refused: None, .. }) => (place, "read", None),
            None => (place, "not there", None),
        };
        self.inputs.policy.looked_at().into_iter().map(state).collect()
    }

    fn json(&self, written: bool) -> Value {
        let loaded = self.loaded();
        let file = |(path, state): (String, &str)| json!({ "path": path, "state": state });
        let policy = |(path, state, why): (String, &str, Option<&Problem>)| json!({ "path": path, "state": state, "why": why.map(ToString::to_string) });
        let keys = loaded.keys().into_iter().filter(|shown| !written || shown.origin != Origin::Default);
        let keys = keys.map(|shown| {
            let key = shown.key.join(".");
            let wrong = self.examined.mistakes.iter().filter(|mistake| mistake.key == key);
            json!({
                "key": key,
                "value": serde_json::from_str(&shown.value).unwrap_or(Value::Null),
                "origin": shown.origin.to_string(),
                "locked_by": shown.locked_by.map(|by| by.to_string()),
                "instead_of": shown.instead_of.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "wrong": wrong.map(ToString::to_string).collect::<Vec<_>>(),
            })
        });
        let credentials = tried::in_use(&loaded.config).into_iter().map(|credential| {
            json!({
                "name": credential.name,
                "user": credential.user.as_ref().map(ToString::to_string),
                "secret": secret_of(credential),
                "tried": tried::told(&loaded.config, credential),
            })
        });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "system": system(),
            "files": self.files().into_iter().map(file).collect::<Vec<_>>(),
            "policies": self.policies().into_iter().map(policy).collect::<Vec<_>>(),
            "mistakes": self.examined.mistakes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "warnings": loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "keys": keys.collect::<Vec<_>>(),
            "credentials": credentials.collect::<Vec<_>>(),
            "relay": self.relay.as_ref().map_or_else(|why| json!(why), |status| json!(of_the_relay(status))),
        })
    }
}

fn version() -> String {
    format!("hallpass {} on {}", env!("CARGO_PKG_VERSION"), system())
}

fn system() -> String {
    format!("{} ({})", std::env::consts::OS, std::env::consts::ARCH)
}

fn user_of(credential: &Credential) -> String {
    match (&credential.user, &credential.keytab) {
        (Some(user), _) => format!("user {user}"),
        (None, Some(_)) => "no user".into(),
        (None, None) => "whoever is logged in".into(),
    }
}

/// Where the secret comes from and whether it could be had; it is not read.
fn secret_of(credential: &Credential) -> String {
    let source = credential.secret.as_ref().or(credential.nt_hash.as_ref());
    match (source, &credential.keytab) {
        (Some(source), _) => format!("secret from {source}, {}", reach_of(source)),
        (None, Some(keytab)) => format!("keytab {}, {}", keytab.display(), reach_of_file(keytab)),
        (None, None) => "no secret".into(),
    }
}

fn reach_of(source: &Source) -> String {
    match source {
        Source::Literal(_) => "which is not shown".into(),
        Source::Variable { value: Some(_), .. } => "which is set here".into(),
        Source::Variable { value: None, .. } => "which is not set here".into(),
        Source::File(path) => reach_of_file(path),
        Source::Systemd { name, directory: Some(directory) } => reach_of_file(&directory.join(name)),
        Source::Systemd { directory: None, .. } => "which only a unit has".into(),
        Source::Command(_) => "which is not run for this".into(),
        Source::Store(_) => "which is not asked for this".into(),
    }
}

/// Opened and closed.
fn reach_of_file(path: &Path) -> String {
    match File::open(path) {
        Ok(_) if others_may_read(path).unwrap_or(false) => "which is refused: others can read it".into(),
        Ok(_) => "which can be read".into(),
        Err(error) => format!("which cannot be read: {error}"),
    }
}

/// What it says of its log-ins.
fn of_the_relay(status: &Value) -> Vec<String> {
    let list = |key: &str| status[key].as_array().cloned().unwrap_or_default();
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut lines = vec!["it answers".to_owned()];
    for upstream in list("upstreams") {
        let count = |key: &str| upstream["logons"][key].as_u64().unwrap_or(0);
        lines.push(format!(
            "{} is {}: {} log-ins accepted, {} rejected, last success {}",
            word(&upstream["upstream"]),
            word(&upstream["state"]),
            count("accepted"),
            count("rejected"),
            word(&upstream["last_success"])
        ));
    }
    for trouble in list("lockout") {
        lines.push(format!(
            "nothing is sent for {}: {} since {}",
            word(&trouble["account"]),
            word(&trouble["reason"]),
            word(&trouble["since"])
        ));
    }
    lines
}

fn of_the_system(loaded: &Loaded) -> String {
    let found = found::way(&loaded.config.environment, &loaded.config.listen, loaded.config.state_directory.clone());
    match &found.way {
        Some(way) => format!("{} names {way}", found.source),
        None => "they name no proxy, and everything goes direct".into(),
    }
}
