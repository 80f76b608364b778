//! The effective configuration as TOML, each value with its origin. What it prints loads back to the same
//! configuration, but for secrets written in a file, which it leaves out.

use std::fmt::Display;

use super::build::{DIRECT_FALLBACKS, FORMATS, LEVELS, PORT_80};
use super::expand;
use super::load::Loaded;
use super::mistake::{Mistake, Origin};
use super::upstreams::{CANONICALIZE, CHANNEL_BINDINGS};
use super::value::{show_duration, show_size};
use super::{Access, Allow, Audit, AuditTo, Config, Credential, Profile, ProfileChoice, Upstream};
use crate::credential::Source;
use crate::route::Hop;
use crate::route::rules::{Rule, Use};

pub fn toml(loaded: &Loaded) -> String {
    let (top, tables) = Out::new(loaded, true, true).all();
    top + &tables
}

/// The same of a configuration that may be wrong: what is wrong stands above the default that takes its place.
pub fn report(loaded: &Loaded, mistakes: &[Mistake], defaults: bool) -> String {
    let mut out = Out::new(loaded, defaults, true);
    out.mistakes = mistakes;
    let (top, tables) = out.all();
    top + &tables
}

/// Only what differs from the defaults, without origins: the keys above all tables, and the tables.
pub fn changes(loaded: &Loaded) -> (String, String) {
    Out::new(loaded, false, false).all()
}

struct Out<'a> {
    loaded: &'a Loaded,
    /// With what stands nowhere.
    defaults: bool,
    origins: bool,
    mistakes: &'a [Mistake],
    /// A table whose first key has not been written.
    pending_head: String,
    text: String,
}

impl<'a> Out<'a> {
    fn new(loaded: &'a Loaded, defaults: bool, origins: bool) -> Self {
        Self { loaded, defaults, origins, mistakes: &[], pending_head: String::new(), text: String::new() }
    }

    fn all(mut self) -> (String, String) {
        let config = &self.loaded.config;
        self.top(config);
        let top = std::mem::take(&mut self.text);
        self.tables(config);
        (top, self.text)
    }

    fn tables(&mut self, config: &Config) {
        self.access(&config.access);
        self.ways_in(config);
        self.pac(config);
        self.rules(&["rules"], &config.routing.rules);
        for upstream in &config.upstreams {
            self.upstream(upstream);
        }
        for profile in &config.profiles {
            self.profile(profile);
        }
        for credential in &config.credentials {
            self.credential(credential);
        }
        self.audit(&config.audit);
        self.head(&["log"]);
        self.put(&["log", "level"], text(word(&LEVELS, config.log.level)));
        self.put(&["log", "format"], text(word(&FORMATS, config.log.format)));
    }

    fn top(&mut self, config: &Config) {
        let time = |duration| text(show_duration(duration));
        let or_off = |duration: Option<_>| text(duration.map_or_else(|| "off".into(), show_duration));
        self.put(&["listen"], if config.listen_auto { text("auto") } else { list(&config.listen) });
        self.put(&["grace"], time(config.grace));
        self.put(&["drain_delay"], time(config.drain_delay));
        self.put(&["connect_timeout"], time(config.connect_timeout));
        self.put(&["handshake_timeout"], time(config.handshake_timeout));
        self.put(&["head_timeout"], time(config.head_timeout));
        self.put(&["idle_timeout"], or_off(config.idle_timeout));
        self.put(&["half_close_timeout"], time(config.half_close_timeout));
        self.put(&["keepalive"], or_off(config.keepalive));
        self.put(&["max_clients"], config.max_clients.to_string());
        self.put(&["max_logons"], config.max_logons.to_string());
        self.put(&["warm_handshakes"], config.warm_handshakes.to_string());
        self.put(&["max_head"], text(show_size(config.max_head as u64)));
        self.put(&["local_hosts"], list(&config.local_hosts));
        self.put(&["connect_ports"], config.connect_ports.as_ref().map_or_else(|| text("any"), |p| format!("{p:?}")));
        self.put(&["connect_port_80"], text(word(&PORT_80, config.connect_port_80)));
        self.put(
            &["profile"],
            text(match &config.profile {
                ProfileChoice::Auto => "auto",
                ProfileChoice::Named(name) => name,
            }),
        );
        self.put(&["direct_fallback"], text(word(&DIRECT_FALLBACKS, config.direct_fallback)));
        self.put(&["never_direct"], list(&config.never_direct));
        self.put(&["no_proxy"], list(config.routing.no_proxy.written()));
        self.put(&["user_agent"], text(config.user_agent.as_deref().unwrap_or_default()));
    }

    fn access(&mut self, access: &Access) {
        self.head(&["access"]);
        let users = match access.users.written.as_slice() {
            [one] => text(one),
            several => list(several),
        };
        self.put(&["access", "users"], users);
        if let Some(token) = &access.token {
            self.secret(&["access", "token"], token);
        }
        self.put(&["access", "allow"], list(&access.allow));
        self.put(&["access", "metrics"], list(&access.metrics));
    }

    fn ways_in(&mut self, config: &Config) {
        for (at, listener) in config.listeners.iter().enumerate() {
            let number = (at + 1).to_string();
            self.head_of_list("listeners");
            self.put(&["listeners", &number, "interface"], text(&listener.interface));
            self.put(&["listeners", &number, "port"], listener.port.to_string());
            if let Allow::Networks(networks) = &listener.allow {
                self.put(&["listeners", &number, "allow"], list(networks));
            }
            if let Some(token) = &listener.token {
                self.secret(&["listeners", &number, "token"], token);
            }
            self.put(&["listeners", &number, "socks5"], listener.socks5.to_string());
        }
        for (at, tunnel) in config.tunnels.iter().enumerate() {
            let number = (at + 1).to_string();
            self.head_of_list("tunnels");
            let listen = match tunnel.listen.as_slice() {
                [one] => text(one),
                // Several addresses are one port of this machine.
                several => text(several.first().map_or(0, std::net::SocketAddr::port)),
            };
            self.put(&["tunnels", &number, "listen"], listen);
            self.put(&["tunnels", &number, "target"], text(&tunnel.target));
        }
    }

    fn head_of_list(&mut self, name: &str) {
        self.pending_head.clear();
        self.text.push_str(&format!("\n[[{name}]]\n"));
    }

    fn pac(&mut self, config: &Config) {
        self.head(&["pac"]);
        self.put_some(&["pac", "url"], config.routing.pac.as_ref().map(|pac| text(&pac.written)));
        self.put(&["pac", "refresh"], text(show_duration(config.pac.refresh)));
        self.put(&["pac", "timeout"], text(show_duration(config.pac.timeout)));
        self.put(&["pac", "memory"], text(show_size(config.pac.memory as u64)));
        self.put(&["pac", "wpad"], config.pac.wpad.to_string());
    }

    /// Only what the profile itself says: the rest follows the top level.
    fn profile(&mut self, profile: &Profile) {
        let name = profile.name.as_str();
        let at = |key| ["profiles", name, key];
        self.head(&["profiles", name]);
        self.put_written(&at("upstreams"), list(&profile.routing.upstreams));
        let pac = profile.routing.pac.as_ref().map(|pac| pac.written.as_str());
        self.put_written(&at("pac"), text(pac.unwrap_or_default()));
        self.put_written(&at("no_proxy"), list(profile.routing.no_proxy.written()));
        if !profile.when.is_empty() {
            let when = ["profiles", name, "when"];
            let at = |key| ["profiles", name, "when", key];
            self.head(&when);
            self.put_written(&at("dns_suffix"), list(&profile.when.dns_suffix));
            self.put_written(&at("subnet"), list(&profile.when.subnet));
            self.put_written(&at("resolves"), list(&profile.when.resolves));
            self.put_written(&at("reachable"), list(&profile.when.reachable));
            self.put_written(&at("gateway"), list(&profile.when.gateway));
        }
        if self.loaded.origin(&at("rules")) != Origin::Default {
            self.rules(&at("rules"), &profile.routing.rules);
        }
    }

    fn rules(&mut self, path: &[&str], rules: &[Rule]) {
        for (at, rule) in rules.iter().enumerate() {
            let number = (at + 1).to_string();
            let at = |key| -> Vec<&str> { path.iter().copied().chain([number.as_str(), key]).collect() };
            let parts: Vec<String> = path.iter().map(|part| key(part)).collect();
            self.text.push_str(&format!("\n[[{}]]\n", parts.join(".")));
            self.pending_head.clear();
            self.put_written(&at("hosts"), list(&rule.hosts));
            self.put_written(&at("cidr"), list(&rule.cidr));
            self.put_written(&at("resolve"), rule.resolve.to_string());
            self.put_written(&at("ports"), list(&rule.ports));
            self.put_written(&at("schemes"), list(&rule.schemes));
            self.put_written(&at("programs"), list(&rule.programs));
            self.put_written(&at("use"), self.action(&rule.action));
            self.put_written(&at("reason"), text(rule.reason.as_deref().unwrap_or_default()));
        }
    }

    fn action(&self, action: &Use) -> String {
        let name = |hop: &Hop| match hop {
            Hop::Direct => "direct".to_owned(),
            Hop::Upstream(endpoint) => {
                let known = self.loaded.config.upstreams.iter().find(|upstream| upstream.endpoint == *endpoint);
                known.map_or_else(|| endpoint.to_string(), |upstream| upstream.name.clone())
            }
        };
        match action {
            Use::Pac => text("pac"),
            Use::Deny => text("deny"),
            Use::Hops(hops) => list(hops.iter().map(name)),
        }
    }

    fn upstream(&mut self, upstream: &Upstream) {
        let at = |key| ["upstreams", upstream.name.as_str(), key];
        self.head(&["upstreams", &upstream.name]);
        self.put(&at("url"), text(&upstream.endpoint));
        // The logged-in identity stands in no table.
        if self.loaded.config.credentials.iter().any(|credential| credential.name == upstream.credential.name) {
            self.put(&at("credential"), text(&upstream.credential.name));
        }
        self.put(&at("schemes"), list(upstream.schemes.iter().map(|s| s.token().to_ascii_lowercase())));
        self.put_some(&at("spn"), upstream.spn.as_ref().map(text));
        self.put(&at("canonicalize"), text(word(&CANONICALIZE, upstream.canonicalize)));
        self.put(&at("channel_bindings"), text(word(&CHANNEL_BINDINGS, upstream.channel_bindings)));
        self.put_some(&at("ca_file"), upstream.ca_file.as_ref().map(|path| text(path.display())));
        let client = upstream.client.as_ref();
        self.put_some(&at("client_cert"), client.map(|client| text(client.certificate.display())));
        self.put_some(&at("client_key"), client.map(|client| text(client.key.display())));
    }

    fn credential(&mut self, credential: &Credential) {
        let at = |key| ["credentials", credential.name.as_str(), key];
        self.head(&["credentials", &credential.name]);
        self.put_some(&at("user"), credential.user.as_ref().map(text));
        match &credential.secret {
            Some(Source::Command(argv)) => self.put(&at("password_command"), list(argv)),
            Some(source) => self.secret(&at("password"), source),
            None => {}
        }
        if let Some(source) = &credential.nt_hash {
            self.secret(&at("nt_hash"), source);
        }
        self.put_some(&at("keytab"), credential.keytab.as_ref().map(|path| text(path.display())));
        self.put_some(&at("realm"), credential.realm.as_ref().map(text));
        self.put(&at("kdc"), list(&credential.kdc));
        self.put(&at("separate_account"), credential.separate_account.to_string());
        self.put(&at("for"), list(&credential.for_upstreams));
    }

    fn secret(&mut self, path: &[&str], source: &Source) {
        let place = match source {
            Source::Variable { name, .. } => format!("env:{name}"),
            Source::File(path) => format!("file:{}", path.display()),
            Source::Systemd { name, .. } => format!("credential:{name}"),
            Source::Literal(_) | Source::Command(_) => {
                return self.put_as(path, "# ", "\"(not shown)\"".into());
            }
            // There is nothing to write: it is where a user without any other place has it.
            Source::Store(_) => return self.put_as(path, "# ", "\"(in the system's store: hallpass login)\"".into()),
        };
        self.put(path, quote(&format!("${{{place}}}")));
    }

    fn audit(&mut self, audit: &Audit) {
        self.head(&["audit"]);
        let to = match &audit.to {
            AuditTo::Off => text("off"),
            AuditTo::Stderr => text("stderr"),
            AuditTo::System(log) => text(log.name()),
            AuditTo::File(path) => text(path.display()),
        };
        self.put(&["audit", "to"], to);
        self.put(&["audit", "max_size"], text(show_size(audit.max_size)));
        self.put(&["audit", "max_age"], text(audit.max_age.map_or_else(|| "off".into(), show_duration)));
        self.put(&["audit", "keep"], audit.keep.to_string());
    }

    fn head(&mut self, path: &[&str]) {
        let parts: Vec<String> = path.iter().map(|part| key(part)).collect();
        self.pending_head = format!("\n[{}]\n", parts.join("."));
        // A table with a name means something even when it is empty.
        if self.defaults || path.len() > 1 {
            self.text.push_str(&std::mem::take(&mut self.pending_head));
        }
    }

    /// A key whose absence means something else than any value of it.
    fn put_written(&mut self, path: &[&str], value: String) {
        if self.loaded.origin(path) != Origin::Default {
            self.put(path, value);
        }
    }

    fn put_some(&mut self, path: &[&str], value: Option<String>) {
        if let Some(value) = value {
            self.put(path, value);
        }
    }

    fn put(&mut self, path: &[&str], value: String) {
        self.put_as(path, "", value);
    }

    fn put_as(&mut self, path: &[&str], before: &str, value: String) {
        let origin = self.loaded.origin(path);
        if !self.defaults && origin == Origin::Default {
            return;
        }
        let last = path.last().copied().unwrap_or_default();
        let origin = if self.origins { format!("  # {origin}{}", self.fate(path, &origin)) } else { String::new() };
        self.text.push_str(&std::mem::take(&mut self.pending_head));
        let key = path.join(".");
        for mistake in self.mistakes.iter().filter(|mistake| mistake.key == key) {
            self.text.push_str(&format!("# wrong: {mistake}\n"));
        }
        self.text.push_str(&format!("{before}{last} = {value}{origin}\n"));
    }
}

impl Out<'_> {
    /// Who locks it, and where it stands besides.
    fn fate(&self, path: &[&str], origin: &Origin) -> String {
        let lock = match self.loaded.lock(path) {
            Some(by) if by == origin => ", locked".into(),
            Some(by) => format!(", locked by {by}"),
            None => String::new(),
        };
        let others: Vec<String> =
            self.loaded.overridden(path).filter(|other| *other != origin).map(ToString::to_string).collect();
        if others.is_empty() { lock } else { format!("{lock}, instead of {}", others.join(" and ")) }
    }
}

fn text(value: impl Display) -> String {
    quote(&expand::escape(&value.to_string()))
}

fn list<T: Display>(values: impl IntoIterator<Item = T>) -> String {
    let values: Vec<String> = values.into_iter().map(text).collect();
    format!("[{}]", values.join(", "))
}

/// As TOML.
pub(super) fn quote(text: &str) -> String {
    toml::Value::String(text.into()).to_string()
}

/// As TOML.
pub(super) fn key(name: &str) -> String {
    let bare = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if bare && !name.is_empty() { name.into() } else { quote(name) }
}

fn word<T: PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, meaning)| *meaning == value).map_or("", |(word, _)| word)
}
