//! What `hallpass doctor` does on demand: presets, event streams, silence, a file for support, a recorded log-in.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::Value;

use crate::cli::output;
use crate::config::{self, Config, Environment, Loaded};
use crate::doctor::{Bundle, Preset, Probing, Recorder, Redactor, SILENCE};
use crate::network;
use crate::process::account;
use crate::proxy::Proxy;

/// Its hosts are known to everybody; those of a preset of the user's own may be anybody's.
const PUBLIC: &str = "claude";

#[derive(Debug, Args)]
pub(super) struct Demands {
    /// Check every host that a product needs: claude, a name in presets/ of the configuration directory, or a file.
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Print the preset's hosts for whoever looks after the proxy or the firewall, and do nothing else.
    #[arg(long, requires = "preset")]
    allow_list: bool,
    /// A stream of events (text/event-stream) that anybody may ask for: do its events arrive as they are sent?
    #[arg(long, value_name = "URL")]
    sse_url: Option<String>,
    /// Leave connections and streams alone for two minutes, to see whether somebody cuts them off.
    #[arg(long)]
    slow: bool,
    /// Write all that support may want to know into one file, without names and secrets.
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// Write the heads of one log-in at a proxy into a file that a test can play, without names and secrets.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

/// The flags, as far as they can be gone by.
pub(super) struct Further {
    pub probing: Probing,
    allow_list: bool,
    bundle: Option<PathBuf>,
    record: Option<PathBuf>,
    recorder: Arc<Recorder>,
    redactor: Redactor,
    configuration: String,
}

impl Demands {
    pub fn prepare(&self) -> anyhow::Result<Further> {
        let directory = configuration_directory();
        let preset = self.preset.as_deref().map(|name| Preset::find(name, directory.as_deref())).transpose()?;
        let public = Preset::find(PUBLIC, None).map(|preset| preset.hosts).unwrap_or_default();
        let public: Vec<_> = public.into_iter().map(|entry| entry.hosts).collect();
        let silence = self.slow.then_some(SILENCE);
        Ok(Further {
            probing: Probing { preset, event_stream: self.sse_url.clone(), silence, ..Probing::default() },
            allow_list: self.allow_list,
            bundle: self.bundle.clone(),
            record: self.record.clone(),
            recorder: Arc::default(),
            redactor: Redactor::new(public),
            configuration: String::new(),
        })
    }
}

fn configuration_directory() -> Option<PathBuf> {
    let environment = Environment::of_process();
    let file = config::user_file(&|name| environment.get(name).map(str::to_owned))?;
    file.parent().map(Path::to_path_buf)
}

impl Further {
    pub fn allow_list(&self) -> Option<String> {
        self.probing.preset.as_ref().filter(|_| self.allow_list).map(Preset::allow_list)
    }

    /// What is to be reached where nobody names anything.
    pub fn first(&self) -> Option<String> {
        let first = self.probing.preset.as_ref()?.first()?;
        Some(format!("https://{}/", first.sample))
    }

    /// The configuration as far as it was loaded.
    pub fn note(&mut self, loaded: &Loaded) {
        self.configuration = loaded.to_toml();
        self.redactor = names(std::mem::take(&mut self.redactor), &loaded.config);
    }

    pub fn listen_to(&self, proxy: &Proxy) {
        if self.bundle.is_some() || self.record.is_some() {
            proxy.upstreams.live.show_to(self.recorder.clone());
        }
    }

    /// Writes the files that were asked for, and says what is in them.
    pub fn write(&self, report: &Value) -> anyhow::Result<()> {
        let login = self.recorder.text(&self.redactor);
        if let Some(path) = &self.bundle {
            let bundle = self.bundle_of(report, login.clone());
            bundle.write(path).with_context(|| format!("cannot write {}", path.display()))?;
            output::complain(format_args!(
                "{} holds, without names and secrets:\n{}",
                path.display(),
                bundle.contents()
            ));
        }
        if let Some(path) = &self.record {
            let login =
                login.ok_or_else(|| anyhow!("no log-in at a proxy took place, so there is none to be recorded"))?;
            config::write_private(path, &login, true).with_context(|| format!("cannot write {}", path.display()))?;
            output::complain(format_args!(
                "{} holds the heads of one log-in, without names and secrets",
                path.display()
            ));
        }
        Ok(())
    }

    fn bundle_of(&self, report: &Value, login: Option<String>) -> Bundle<'_> {
        let system = format!("{} on {}", std::env::consts::OS, std::env::consts::ARCH);
        let bundle = Bundle::new(&self.redactor).text("system", "what this machine is", &system).json(
            "checks",
            "what hallpass doctor found",
            report,
        );
        let bundle = match self.configuration.is_empty() {
            true => bundle,
            false => bundle.toml("configuration", "every setting and where it comes from", &self.configuration),
        };
        match login {
            Some(login) => bundle.redacted("log-in", "what was said at the proxy, heads only", login),
            None => bundle,
        }
    }
}

fn names(redactor: Redactor, config: &Config) -> Redactor {
    let mut redactor = redactor.with_config(config);
    account::own().and_then(|own| account::name_of(&own)).iter().for_each(|user| redactor.user(user));
    network::snapshot().dns_suffixes.iter().for_each(|suffix| redactor.host(suffix));
    redactor
}
