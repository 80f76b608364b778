//! The flags of every command that needs the configuration.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf, absolute};

use clap::Args;

use crate::config::{self, Inputs, Layer, Origin, Value};

#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// Read this configuration file instead of the usual ones; a bare NAME is NAME.toml beside them.
    #[arg(long, value_name = "FILE|NAME")]
    pub config: Option<PathBuf>,
    /// Read no configuration file.
    #[arg(long, conflicts_with = "config")]
    pub no_config: bool,
    /// Listen here; may be repeated [default: 127.0.0.1:3128 and [::1]:3128].
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
    /// A corporate proxy, [http://|https://|socks5://|socks4://]HOST:PORT; may be repeated, tried in order.
    #[arg(long, value_name = "URL")]
    upstream: Vec<String>,
    /// A proxy auto-configuration script that says which way each target goes.
    #[arg(long, value_name = "FILE|URL")]
    pac: Option<String>,
    /// Hosts that are reached directly, separated by commas.
    #[arg(long, value_name = "LIST")]
    no_proxy: Vec<String>,
    /// The account: 'DOMAIN\user', user@REALM or user. Its password is never a flag: see HALLPASS_PASSWORD.
    #[arg(long)]
    user: Option<String>,
    /// Which further upstreams may receive the credential; may be repeated.
    #[arg(long, value_name = "PATTERN")]
    credential_for: Vec<String>,
    /// Schemes in order of preference, of negotiate,ntlm,digest,basic; basic only if named.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    scheme: Vec<String>,
    /// A profile of the configuration, or auto.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// How long tunnels may live on after the signal to end, such as 5s.
    #[arg(long, value_name = "TIME")]
    grace: Option<String>,
    /// What is logged: off, error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// How it is logged: text or json.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl Flags {
    /// What the configuration is loaded from, now and at each reload.
    pub fn inputs(&self) -> Inputs {
        Inputs::new(self.config.clone(), self.no_config, self.layer())
    }

    /// The flags as the topmost layer.
    pub fn layer(&self) -> Layer {
        let mut layer = Layer::default();
        list(&mut layer, "--listen", "listen", &self.listen);
        list(&mut layer, "--upstream", "upstream", &self.upstream);
        list(&mut layer, "--no-proxy", "no_proxy", &self.no_proxy);
        list(&mut layer, "--credential-for", "credential_for", &self.credential_for);
        list(&mut layer, "--scheme", "scheme", &self.scheme);
        text(&mut layer, "--pac", &["pac"], self.pac.as_ref());
        text(&mut layer, "--profile", &["profile"], self.profile.as_ref());
        text(&mut layer, "--user", &["user"], self.user.as_ref());
        text(&mut layer, "--grace", &["grace"], self.grace.as_ref());
        text(&mut layer, "--log", &["log", "level"], self.log.as_ref());
        text(&mut layer, "--log-format", &["log", "format"], self.log_format.as_ref());
        layer
    }
}

impl Flags {
    /// The same flags as they are typed, with paths that hold in every directory.
    pub fn arguments(&self) -> io::Result<Vec<OsString>> {
        let mut all = Vec::new();
        let mut add = |flag: &str, value: OsString| all.extend([flag.into(), value]);
        if let Some(path) = &self.config {
            add("--config", if config::is_name(path) { path.into() } else { absolute(path)?.into() });
        }
        let lists = [
            ("--listen", &self.listen),
            ("--upstream", &self.upstream),
            ("--no-proxy", &self.no_proxy),
            ("--credential-for", &self.credential_for),
            ("--scheme", &self.scheme),
        ];
        for (flag, values) in lists {
            values.iter().for_each(|value| add(flag, value.into()));
        }
        if let Some(pac) = &self.pac {
            let path = Path::new(pac);
            add("--pac", if path.is_file() { absolute(path)?.into() } else { pac.into() });
        }
        let texts = [
            ("--user", &self.user),
            ("--profile", &self.profile),
            ("--grace", &self.grace),
            ("--log", &self.log),
            ("--log-format", &self.log_format),
        ];
        for (flag, value) in texts {
            value.iter().for_each(|value| add(flag, value.into()));
        }
        if self.no_config {
            all.push("--no-config".into());
        }
        Ok(all)
    }
}

fn list(layer: &mut Layer, flag: &'static str, key: &str, values: &[String]) {
    if !values.is_empty() {
        let origin = Origin::Flag(flag);
        layer.set(&[key], Value::list(values.iter().cloned(), &origin), origin);
    }
}

fn text(layer: &mut Layer, flag: &'static str, path: &[&str], value: Option<&String>) {
    if let Some(value) = value {
        layer.set(path, Value::Text(value.clone()), Origin::Flag(flag));
    }
}
