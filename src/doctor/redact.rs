//! Takes out of a text what tells whose network it is about: hosts, addresses, users, realms, home directories. The same
//! name becomes the same pseudonym everywhere, so that what is told can still be followed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::address::Host;
use crate::config::Config;
use crate::route::pattern::Pattern;

/// What comes after a dot and makes a file of a word, not a host.
const FILES: [&str; 20] = [
    "toml",
    "json",
    "jsonl",
    "pac",
    "pem",
    "crt",
    "key",
    "conf",
    "ini",
    "txt",
    "log",
    "rs",
    "md",
    "dat",
    "sock",
    "npmrc",
    "gitconfig",
    "exe",
    "keytab",
    "rc",
];

/// Keys of tables, which look like hosts where they stand before a dot.
const TABLES: [&str; 12] = [
    "upstreams",
    "credentials",
    "profiles",
    "pac",
    "log",
    "audit",
    "access",
    "listeners",
    "rules",
    "tunnels",
    "env",
    "when",
];

/// Words of ours, which tell nothing where somebody uses them as a name.
const ORDINARY: [&str; 20] = [
    "user",
    "users",
    "realm",
    "domain",
    "name",
    "host",
    "proxy",
    "proxies",
    "default",
    "system",
    "http",
    "https",
    "socks5",
    "ntlm",
    "negotiate",
    "kerberos",
    "digest",
    "basic",
    "tls",
    "none",
];

/// Shorter names stand inside of others that have nothing to do with them.
const SWEPT: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Kind {
    Host,
    Address,
    User,
    Realm,
    /// Of an upstream, a credential or a profile.
    Name,
}

#[derive(Debug, Default)]
pub struct Redactor {
    /// Hosts that everybody may know.
    public: Vec<Pattern>,
    /// In lower case, longest first.
    known: Vec<(String, Kind)>,
    home: Option<String>,
    pseudonyms: Mutex<HashMap<(Kind, String), usize>>,
}

impl Redactor {
    /// `public`: hosts that stay, those of presets.
    pub fn new(public: impl IntoIterator<Item = Pattern>) -> Self {
        Self { public: public.into_iter().collect(), ..Self::default() }
    }

    /// The names that the configuration and its environment know.
    pub fn with_config(mut self, config: &Config) -> Self {
        for upstream in &config.upstreams {
            self.know(Kind::Name, &upstream.name);
            self.know_host(&upstream.endpoint.target.host);
        }
        for credential in &config.credentials {
            self.know(Kind::Name, &credential.name);
            if let Some(user) = &credential.user {
                self.user(&user.name);
                user.domain.iter().chain(&user.realm).for_each(|realm| self.realm(realm));
            }
            credential.realm().iter().for_each(|realm| self.realm(realm));
            credential.kdc.iter().for_each(|kdc| self.know_host(&kdc.host));
        }
        for profile in &config.profiles {
            self.know(Kind::Name, &profile.name);
        }
        for tunnel in &config.tunnels {
            self.know_host(&tunnel.target.host);
        }
        for name in ["USER", "LOGNAME", "USERNAME"] {
            config.environment.get(name).into_iter().for_each(|user| self.user(user));
        }
        for name in ["HOSTNAME", "COMPUTERNAME"] {
            config.environment.get(name).into_iter().for_each(|host| self.host(host));
        }
        config.environment.get("USERDOMAIN").into_iter().for_each(|realm| self.realm(realm));
        let home = config.environment.get("HOME").or_else(|| config.environment.get("USERPROFILE"));
        self.home = home.filter(|home| home.len() > 1).map(str::to_owned);
        self
    }

    pub fn host(&mut self, host: &str) {
        self.know(Kind::Host, host);
    }

    pub fn user(&mut self, user: &str) {
        self.know(Kind::User, user);
    }

    pub fn realm(&mut self, realm: &str) {
        self.know(Kind::Realm, realm);
    }

    fn know_host(&mut self, host: &Host) {
        match host {
            Host::Name(name) if !host.is_local() => self.host(name),
            Host::Name(_) | Host::Ip(_) => {}
        }
    }

    fn know(&mut self, kind: Kind, name: &str) {
        let name = name.to_lowercase();
        let is_ip = name.parse::<IpAddr>().is_ok();
        if name.is_empty()
            || is_ip
            || ORDINARY.contains(&name.as_str())
            || self.is_public(&name)
            || self.known.iter().any(|(known, _)| *known == name)
        {
            return;
        }
        self.known.push((name, kind));
        self.known.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    }

    /// What public hosts stand below is as public as they are.
    fn is_public(&self, name: &str) -> bool {
        let matches = |host: &Host| self.public.iter().any(|hosts| hosts.matches(host));
        Host::parse(name).is_ok_and(|host| host.is_local() || matches(&host))
            || Host::parse(&format!("any.{name}")).is_ok_and(|host| matches(&host))
    }

    /// Every text in it.
    pub fn json(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(values) => values.iter().map(|value| self.json(value)).collect(),
            Value::Object(map) => {
                Value::Object(map.iter().map(|(key, value)| (self.text(key), self.json(value))).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    /// A configuration as TOML. What may be anything is left out: passwords anyway, commands, scripts, reasons.
    pub fn toml(&self, text: &str) -> String {
        text.lines().map(|line| self.toml_line(line) + "\n").collect()
    }

    fn toml_line(&self, line: &str) -> String {
        const HOSTS: [&str; 5] = ["no_proxy", "never_direct", "hosts", "local_hosts", "for"];
        const BLANKED: [&str; 8] = ["password", "secret", "token", "hash", "command", "reason", "user_agent", "key"];
        match line.split_once(" = ") {
            Some((key, _)) if BLANKED.iter().any(|word| key.contains(word)) => format!("{key} = \"[left out]\""),
            Some((key, list)) if HOSTS.contains(&key) => format!("{key} = {}", self.host_list(list)),
            Some(_) | None => self.text(line),
        }
    }

    /// Quoted names, of which one without a dot is a host too.
    fn host_list(&self, list: &str) -> String {
        let parts = list.split('"').enumerate();
        let shown = parts.map(|(at, part)| if at % 2 == 1 { self.listed(part) } else { self.text(part) });
        shown.collect::<Vec<_>>().join("\"")
    }

    fn listed(&self, entry: &str) -> String {
        let start = entry.len() - entry.trim_start_matches(['*', '.']).len();
        let (stars, name) = entry.split_at(start);
        match self.text(entry) {
            shown if shown == entry => format!("{stars}{}", self.place(name)),
            shown => shown,
        }
    }

    /// What stands where only a host can, with or without a port.
    fn place(&self, place: &str) -> String {
        let shown = self.word(place);
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, format!(":{port}")),
            Some(_) | None => (place, String::new()),
        };
        let is_name = Host::parse(host).is_ok_and(|host| host.ip().is_none()) && !self.is_public(&host.to_lowercase());
        match shown == place && is_name {
            true => format!("{}{port}", self.pseudonym(Kind::Host, host)),
            false => shown,
        }
    }

    pub fn text(&self, text: &str) -> String {
        let text = match &self.home {
            Some(home) => text.replace(home.as_str(), "~"),
            None => text.to_string(),
        };
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            if let Some((shown, length)) = self.url(rest) {
                out += &shown;
                rest = &rest[length..];
                continue;
            }
            let length = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
            if length == 0 {
                out.push(first);
                rest = &rest[first.len_utf8()..];
                continue;
            }
            // A scheme stands before ://, and is looked at with what follows.
            out += &self.word(&rest[..length]);
            rest = &rest[length..];
        }
        self.swept(out)
    }

    /// A URL at the start of a text, and how long it is: its path may say more than its host.
    fn url(&self, text: &str) -> Option<(String, usize)> {
        let scheme = text.find(|c: char| !c.is_ascii_alphanumeric()).filter(|end| (2..=8).contains(end))?;
        let ends = |c: char| c.is_whitespace() || "\"'`<>()[]{},;".contains(c);
        if let ("data", true) = (&text[..scheme], text[scheme..].starts_with(':')) {
            let end = text.find(|c: char| c.is_whitespace() || "\"'".contains(c)).unwrap_or(text.len());
            return Some(("data:[left out]".into(), end));
        }
        let rest = text[scheme..].strip_prefix("://")?;
        let start = scheme + 3;
        let bracket = if rest.starts_with('[') { rest.find(']').map_or(0, |end| end + 1) } else { 0 };
        let end = rest[bracket..].find(ends).map_or(rest.len(), |end| bracket + end);
        let whole = &rest[..end];
        let authority = whole.find(['/', '?', '#', '\\']).unwrap_or(whole.len());
        let (authority, path) = whole.split_at(authority);
        let (userinfo, place) = authority.rsplit_once('@').map_or((false, authority), |(_, place)| (true, place));
        let place = place.trim_end_matches(['.', ':']);
        let shown = self.place(place);
        let is_plain = path.is_empty() || path == "/";
        let path = match is_plain || shown == place && !userinfo {
            true => self.path(path),
            false => "/[left out]".into(),
        };
        let userinfo = if userinfo { "[left out]@" } else { "" };
        Some((format!("{}://{userinfo}{shown}{path}", &text[..scheme]), start + end))
    }

    /// Of a place that may be known.
    fn path(&self, path: &str) -> String {
        path.split_inclusive('/')
            .map(|part| {
                let (name, slash) = part.strip_suffix('/').map_or((part, ""), |name| (name, "/"));
                format!("{}{slash}", self.word(name))
            })
            .collect()
    }

    fn word(&self, word: &str) -> String {
        let end = word.trim_end_matches(['.', ':', '-', '@', '\\']).len();
        let (word, after) = word.split_at(end);
        let start = word.len() - word.trim_start_matches(['.', ':', '-', '@', '\\']).len();
        let (before, word) = word.split_at(start);
        format!("{before}{}{after}", self.name(word))
    }

    fn name(&self, word: &str) -> String {
        if word.is_empty() {
            return String::new();
        }
        if let Ok(ip) = word.parse::<IpAddr>() {
            return self.address(ip);
        }
        if let Some((host, port)) = word.rsplit_once(':') {
            return match port.bytes().all(|byte| byte.is_ascii_digit()) {
                true => format!("{}:{port}", self.name(host)),
                false => word.split(':').map(|part| self.word(part)).collect::<Vec<_>>().join(":"),
            };
        }
        if let Some((realm, user)) = word.split_once('\\') {
            let user = user.trim_start_matches('\\');
            let is_account = !realm.is_empty() && !user.contains('\\') && !user.is_empty();
            return match is_account {
                true => format!("{}\\{}", self.pseudonym(Kind::Realm, realm), self.pseudonym(Kind::User, user)),
                false => word.split('\\').map(|part| self.word(part)).collect::<Vec<_>>().join("\\"),
            };
        }
        if let Some((user, realm)) = word.split_once('@') {
            return format!("{}@{}", self.pseudonym(Kind::User, user), self.pseudonym(Kind::Realm, realm));
        }
        let lower = word.to_lowercase();
        if let Some((_, kind)) = self.known.iter().find(|(known, _)| *known == lower) {
            return self.pseudonym(*kind, word);
        }
        if word.split('.').next().is_some_and(|first| TABLES.contains(&first)) {
            return word.split('.').map(|label| self.label(label)).collect::<Vec<_>>().join(".");
        }
        if is_host(&lower) && !self.is_public(&lower) {
            return self.pseudonym(Kind::Host, word);
        }
        word.to_string()
    }

    fn label(&self, label: &str) -> String {
        let lower = label.to_lowercase();
        match self.known.iter().find(|(known, _)| *known == lower) {
            Some((_, kind)) => self.pseudonym(*kind, label),
            None => label.to_string(),
        }
    }

    fn address(&self, ip: IpAddr) -> String {
        match ip.is_loopback() || ip.is_unspecified() {
            true => ip.to_string(),
            false => self.pseudonym(Kind::Address, &ip.to_string()),
        }
    }

    fn pseudonym(&self, kind: Kind, name: &str) -> String {
        let lower = name.to_lowercase();
        if ORDINARY.contains(&lower.as_str()) {
            return name.to_string();
        }
        let key = (kind, lower);
        // A panic elsewhere leaves the map whole.
        let mut pseudonyms = self.pseudonyms.lock().unwrap_or_else(PoisonError::into_inner);
        let next = pseudonyms.keys().filter(|(known, _)| *known == kind).count() + 1;
        let number = *pseudonyms.entry(key).or_insert(next);
        match kind {
            // It can be read as a host wherever one must stand.
            Kind::Host => format!("host-{number}.example"),
            Kind::Address => format!("address-{number}"),
            Kind::User => format!("user-{number}"),
            Kind::Realm => format!("realm-{number}"),
            Kind::Name => format!("name-{number}"),
        }
    }

    /// Names that are parts of other words, such as a machine that is called after its user.
    fn swept(&self, mut text: String) -> String {
        let is_swept = |(name, kind): &&(String, Kind)| *kind != Kind::Name && name.chars().count() >= SWEPT;
        for (name, kind) in self.known.iter().filter(is_swept) {
            let mut from = 0;
            while let Some((at, end)) = part(&text, name, from) {
                let pseudonym = self.pseudonym(*kind, name);
                text.replace_range(at..end, &pseudonym);
                from = at + pseudonym.len();
            }
        }
        text
    }
}

/// Where a name stands as a part of its own, in any case, at `from` or behind it.
fn part(text: &str, name: &str, from: usize) -> Option<(usize, usize)> {
    let starts = text.char_indices().map(|(at, _)| at).filter(|at| *at >= from);
    starts.filter_map(|at| Some((at, at + matched(&text[at..], name)?))).find(|(at, end)| {
        let before = text[..*at].chars().next_back();
        let after = text[*end..].chars().next();
        ![before, after].iter().any(|c| c.is_some_and(char::is_alphabetic))
    })
}

/// How much of the start of a text is this name, which is in lower case.
fn matched(text: &str, name: &str) -> Option<usize> {
    let mut rest = name;
    for (at, c) in text.char_indices() {
        if rest.is_empty() {
            return Some(at);
        }
        let lower: String = c.to_lowercase().collect();
        rest = rest.strip_prefix(lower.as_str())?;
    }
    rest.is_empty().then_some(text.len())
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || "._-@\\:".contains(c)
}

/// At least two labels, the last one of letters, and no file.
fn is_host(word: &str) -> bool {
    let labels: Vec<&str> = word.split('.').collect();
    let Some((last, _)) = labels.split_last() else { return false };
    labels.len() > 1
        && labels.iter().all(|label| !label.is_empty())
        && last.len() > 1
        && last.chars().any(char::is_alphabetic)
        && !FILES.contains(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor() -> Redactor {
        let mut redactor =
            Redactor::new(["api.anthropic.com", "*.claudeusercontent.com"].map(|p| Pattern::parse(p).unwrap()));
        redactor.user("alice");
        redactor.realm("CORP");
        redactor.host("squid");
        redactor.know(Kind::Name, "office");
        redactor.home = Some("/home/alice".into());
        redactor
    }

    #[test]
    fn texts_lose_names_and_keep_what_is_of_use() {
        for (text, redacted) in [
            ("CONNECT wiki.corp.test:443 HTTP/1.1", "CONNECT host-1.example:443 HTTP/1.1"),
            ("api.anthropic.com:443 by http://squid:3128", "api.anthropic.com:443 by http://host-1.example:3128"),
            ("Via: 1.1 proxy.corp.test (squid/5.7)", "Via: 1.1 host-1.example (host-2.example/5.7)"),
            ("127.0.0.1:3128, [::1]:3128 and 10.1.2.3:88", "127.0.0.1:3128, [::1]:3128 and address-1:88"),
            ("fd00::7 is not 10.1.0.0/16", "address-1 is not address-2/16"),
            ("CORP\\alice and alice@CORP.TEST", "realm-1\\user-1 and user-1@realm-2"),
            ("'corp\\\\bob'", "'realm-1\\user-1'"),
            ("/home/alice/.config/hallpass/hallpass.toml", "~/.config/hallpass/hallpass.toml"),
            ("http://u:pw@wpad.corp.test/x/y?z=1", "http://[left out]@host-1.example/[left out]"),
            ("https://api.anthropic.com/v1/messages", "https://api.anthropic.com/v1/messages"),
            ("pac = \"data:text/plain,FindProxyForURL\"", "pac = \"data:[left out]\""),
            (
                "http://wpad/wpad.dat or http://localhost:8080/x",
                "http://host-1.example/[left out] or http://localhost:8080/x",
            ),
            ("[upstreams.office]", "[upstreams.name-1]"),
            ("upstream office: OFFICE", "upstream name-1: name-1"),
            ("hallpass 0.1.0, 1.5 s, e.g. this.", "hallpass 0.1.0, 1.5 s, e.g. this."),
            ("ALICE-LAPTOP, corporate, malice", "user-1-LAPTOP, corporate, malice"),
            ("set user@REALM", "set user@REALM"),
            ("\"*.claudeusercontent.com\" .corp.test", "\"*.claudeusercontent.com\" .host-1.example"),
        ] {
            assert_eq!(redactor().text(text), redacted, "{text}");
        }
    }

    #[test]
    fn a_name_has_the_same_pseudonym_wherever_it_stands() {
        let redactor = redactor();
        assert_eq!(
            redactor.text("a.corp.test b.corp.test A.corp.test"),
            "host-1.example host-2.example host-1.example"
        );
        assert_eq!(redactor.text("b.corp.test"), "host-2.example");
        assert_eq!(
            redactor.json(&serde_json::json!({"b.corp.test": ["alice", 3]})).to_string(),
            "{\"host-2.example\":[\"user-1\",3]}"
        );
    }

    #[test]
    fn what_may_be_anything_is_left_out_of_a_configuration() {
        let list = "no_proxy = [\"intranet\", \"*.corp.test\", \".lan\", \"*\", \"10.0.0.0/8\"]  # default";
        assert_eq!(
            redactor().toml(list),
            "no_proxy = [\"host-1.example\", \"*.host-2.example\", \".host-3.example\", \"*\", \"address-1/8\"]  # default\n"
        );
        let toml = "password_command = [\"echo\", \"hunter2\"]  # x\nnt_hash = \"00\"\nurl = \"http://squid:3128\"\n";
        let shown = redactor().toml(toml);
        assert_eq!(
            shown,
            "password_command = \"[left out]\"\nnt_hash = \"[left out]\"\nurl = \"http://host-1.example:3128\"\n"
        );
    }

    #[test]
    fn letters_that_change_their_length_with_their_case_do_no_harm() {
        let mut redactor = Redactor::default();
        redactor.user("gr\u{fc}\u{df}e");
        assert_eq!(
            redactor.text("\u{130}\u{130} GR\u{dc}\u{df}E-1 \u{130}gr\u{fc}\u{df}e"),
            "\u{130}\u{130} user-1-1 \u{130}gr\u{fc}\u{df}e"
        );
    }
}
