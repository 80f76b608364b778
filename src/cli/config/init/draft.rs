//! What is to be written, as far as it is known: flags, and answers that count as if they had been flags.

use std::path::absolute;
use std::sync::Arc;

use crate::auth::{Scheme, User};
use crate::cli::flags::Flags;
use crate::config::{self, Config, Environment, Files, Inputs, Layer, Loaded, Mistakes, Origin, PolicyPlace, Value};
use crate::credential::Source;
use crate::route::no_proxy::NoProxy;
use crate::secret::Secret;

/// Where requests are to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Proxies, as `upstream` takes them, in order.
    Proxies(Vec<String>),
    /// The place of a PAC script.
    Script(String),
}

impl Way {
    /// As people name one: `host:port`, several of them with commas between, or the place of a script.
    pub fn parse(text: &str) -> Self {
        match is_script(text) {
            true => Self::Script(text.into()),
            false => Self::Proxies(text.split(',').map(|one| one.trim().to_owned()).collect()),
        }
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Proxies(all) => f.write_str(&all.join(", ")),
            Self::Script(place) => write!(f, "{place}"),
        }
    }
}

/// A proxy has no path, and a script has one.
fn is_script(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("file:") || lower.starts_with("data:") {
        return true;
    }
    match lower.split_once("://") {
        Some(("http" | "https", rest)) => rest.trim_end_matches('/').contains(['/', '?']),
        Some(_) => false,
        None => lower.ends_with(".pac") || lower.ends_with(".dat") || lower.contains(['/', '\\']),
    }
}

/// Relative paths mean something else in the file than where this command runs.
fn from_here(place: &str) -> String {
    let is_path = !place.contains("://") && !place.to_ascii_lowercase().starts_with("data:");
    match absolute(place).ok().filter(|_| is_path) {
        Some(path) => path.display().to_string(),
        None => place.into(),
    }
}

#[derive(Debug, Clone, Default)]
pub struct Draft {
    layer: Layer,
    /// The recipients of the credential come from the script.
    trusts_the_script: bool,
}

impl Draft {
    pub fn of(flags: &Flags) -> Self {
        let mut draft = Self { layer: flags.layer(), trusts_the_script: false };
        if let Some(Value::Text(place)) = draft.layer.take(&["pac"]).map(|entry| entry.value) {
            draft.put_text("pac", from_here(&place), "--pac");
        }
        draft
    }

    /// Nothing else counts than what is to be written: neither a file that is there nor a variable of ours.
    pub fn load(&self) -> Result<Loaded, Mistakes> {
        let inputs = Inputs {
            files: Files::Nothing,
            environment: Environment::of_process().of_others(),
            flags: self.layer.clone(),
            policy: PolicyPlace::Nowhere,
        };
        config::load(&inputs)
    }

    pub fn names_a_way(&self) -> bool {
        self.layer.get(&["upstream"]).is_some() || self.has_script()
    }

    pub fn has_script(&self) -> bool {
        self.layer.get(&["pac"]).is_some()
    }

    /// Instead of the one from before.
    pub fn lead(&mut self, way: &Way) {
        for key in ["upstream", "pac"] {
            self.layer.clear(&[key]);
        }
        if std::mem::take(&mut self.trusts_the_script) {
            self.layer.clear(&["credential_for"]);
        }
        match way {
            Way::Proxies(all) => self.put_list("upstream", all.clone(), "--upstream"),
            Way::Script(place) => self.put_text("pac", from_here(place), "--pac"),
        }
    }

    pub fn has_exceptions(&self) -> bool {
        self.layer.get(&["no_proxy"]).is_some()
    }

    pub fn except(&mut self, list: Vec<String>) {
        self.put_list("no_proxy", list, "--no-proxy");
    }

    pub fn name_user(&mut self, user: &User) {
        self.put_text("user", user.to_string(), "--user");
    }

    pub fn names_recipients(&self) -> bool {
        self.layer.get(&["credential_for"]).is_some()
    }

    /// Upstreams that only the script names, and that may receive the credential.
    pub fn trust(&mut self, hosts: Vec<String>) {
        self.put_list("credential_for", hosts, "--credential-for");
        self.trusts_the_script = true;
    }

    pub fn allow_basic(&mut self) {
        let schemes = Scheme::DEFAULT.into_iter().chain([Scheme::Basic]);
        self.put_list("scheme", schemes.map(|scheme| scheme.token().to_ascii_lowercase()).collect(), "--scheme");
    }

    fn put_text(&mut self, key: &str, text: String, flag: &'static str) {
        self.layer.set(&[key], Value::Text(text), Origin::Flag(flag));
    }

    fn put_list(&mut self, key: &str, list: Vec<String>, flag: &'static str) {
        let origin = Origin::Flag(flag);
        self.layer.set(&[key], Value::list(list, &origin), origin);
    }
}

/// The account that is to be used.
pub fn user(config: &Config) -> Option<&User> {
    config.credentials.iter().find_map(|credential| credential.user.as_ref())
}

/// As it is tried: exceptions would hide the proxy, and the password is not in the store yet.
pub fn for_trial(config: &Config, password: Option<&Secret>) -> Config {
    let mut config = config.clone();
    config.routing.no_proxy = NoProxy::default();
    let Some(password) = password else { return config };
    let of_upstreams = config.upstreams.iter_mut().map(|upstream| &mut upstream.credential);
    for credential in config.credentials.iter_mut().chain(of_upstreams) {
        let credential = Arc::make_mut(credential);
        credential.secret = credential.user.as_ref().map(|_| Source::Literal(password.clone()));
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_told_from_a_proxy_by_its_path() {
        for text in [
            "http://wpad.corp.example/proxy.pac",
            "https://pac.corp.example/?office=7",
            "file:///etc/proxy.pac",
            "data:application/x-ns-proxy-autoconfig,x",
            "proxy.pac",
            "./p",
            r"C:\proxy.pac",
            "HTTP://wpad/wpad.dat",
        ] {
            assert_eq!(Way::parse(text), Way::Script(text.into()), "{text}");
        }
        for text in ["proxy.corp.example:8080", "http://proxy.corp.example:8080/", "socks5://p:1080", "10.0.0.1:3128"] {
            assert_eq!(Way::parse(text), Way::Proxies(vec![text.into()]), "{text}");
        }
        assert_eq!(Way::parse("a:1, b:2"), Way::Proxies(vec!["a:1".into(), "b:2".into()]));
    }

    #[test]
    fn a_path_means_the_same_in_the_file_as_where_it_was_named() {
        assert!(std::path::Path::new(&from_here("p.pac")).is_absolute());
        for place in ["http://h/p.pac", "data:,x", "file:///p.pac"] {
            assert_eq!(from_here(place), place);
        }
    }

    #[test]
    fn a_trial_knows_the_password_and_no_exceptions() {
        let mut draft = Draft::default();
        draft.lead(&Way::parse("proxy.test:8080"));
        draft.except(vec!["example.com".into()]);
        draft.name_user(&"CORP\\alice".parse().unwrap());
        let config = draft.load().unwrap().config;
        let tried = for_trial(&config, Some(&Secret::new("p")));
        assert!(tried.routing.no_proxy.is_empty() && !config.routing.no_proxy.is_empty());
        let secret = Some(Source::Literal(Secret::new("p")));
        assert_eq!((&tried.credentials[0].secret, &tried.upstreams[0].credential.secret), (&secret, &secret));
        assert_eq!(user(&config).unwrap().to_string(), "CORP\\alice");
    }
}
