//! What was taken, as the text of our file.

use super::ini::parts;
use super::{Fate, changed, refused, taken, unneeded};
use crate::config::expand;
use crate::config::value::upstream;
use crate::route::no_proxy::NoProxy;

const NT_HASH_DIGITS: usize = 32;

/// The parts that other tools have too. Empty is "not said".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    pub listen: Vec<String>,
    pub upstreams: Vec<String>,
    pub schemes: Vec<String>,
    pub pac: Option<String>,
    pub user: Option<String>,
    /// 32 hexadecimal digits.
    pub nt_hash: Option<String>,
    pub no_proxy: Vec<String>,
    /// Networks of those who may come in from other machines.
    pub allow: Vec<String>,
    pub socks_ports: Vec<u16>,
    pub socks_token: Option<String>,
    /// Where to listen, and the target.
    pub tunnels: Vec<(String, String)>,
    pub user_agent: Option<String>,
    pub connect_timeout: Option<String>,
    pub log_level: Option<String>,
}

impl Settings {
    /// Neither a proxy nor a script.
    pub fn has_no_way_out(&self) -> bool {
        self.upstreams.is_empty() && self.pac.is_none()
    }

    /// The user whose password the file does not have.
    pub fn lacks_password_of(&self) -> Option<&str> {
        self.user.as_deref().filter(|_| self.nt_hash.is_none())
    }

    /// The keys that stand above all tables.
    pub fn top(&self) -> String {
        let lists = [("listen", &self.listen), ("no_proxy", &self.no_proxy)];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        let texts = [("user_agent", &self.user_agent), ("connect_timeout", &self.connect_timeout)];
        let texts = texts.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        let lists = lists.map(|(key, list)| format!("{key} = {}\n", list_of(list)));
        lists.chain(texts.map(|(key, value)| format!("{key} = {}\n", text(value)))).collect()
    }

    pub fn tables(&self) -> String {
        let tables = [self.access(), self.ways_in(), self.pac(), self.ways_out(), self.credential(), self.log()];
        tables.into_iter().filter(|table| !table.is_empty()).collect::<Vec<_>>().join("\n")
    }

    fn access(&self) -> String {
        match self.allow.is_empty() {
            true => String::new(),
            false => format!("[access]\nallow = {}\n", list_of(&self.allow)),
        }
    }

    fn ways_in(&self) -> String {
        let token = self.socks_token.as_ref().map(|token| format!("token = {}\n", text(token))).unwrap_or_default();
        let socks = self.socks_ports.iter();
        let socks =
            socks.map(|port| format!("[[listeners]]\ninterface = \"lo\"\nport = {port}\nsocks5 = true\n{token}"));
        let tunnels = self.tunnels.iter();
        let tunnels = tunnels
            .map(|(listen, target)| format!("[[tunnels]]\nlisten = {}\ntarget = {}\n", text(listen), text(target)));
        socks.chain(tunnels).collect::<Vec<_>>().join("\n")
    }

    fn pac(&self) -> String {
        self.pac.as_ref().map(|pac| format!("[pac]\nurl = {}\n", text(pac))).unwrap_or_default()
    }

    fn ways_out(&self) -> String {
        let schemes = match self.schemes.is_empty() {
            true => String::new(),
            false => format!("schemes = {}\n", list_of(&self.schemes)),
        };
        let table =
            |(at, url): (usize, &String)| format!("[upstreams.proxy-{}]\nurl = {}\n{schemes}", at + 1, text(url));
        self.upstreams.iter().enumerate().map(table).collect::<Vec<_>>().join("\n")
    }

    /// With a script the proxies that it names are not named here, so whoever writes it decides who gets the password:
    /// those are for the user to name.
    fn credential(&self) -> String {
        let Some(user) = &self.user else { return String::new() };
        let hash = self.nt_hash.as_ref().map(|hash| format!("nt_hash = {}\n", text(hash))).unwrap_or_default();
        let receivers = match &self.pac {
            Some(_) => "# Which proxies that the script names may receive it:\n# for = [\"*.corp.example\"]\n",
            None => "",
        };
        format!("[credentials.imported]\nuser = {}\n{hash}{receivers}", text(user))
    }

    fn log(&self) -> String {
        self.log_level.as_ref().map(|level| format!("[log]\nlevel = {}\n", text(level))).unwrap_or_default()
    }

    /// Notes a proxy and says what it is called from now on.
    pub(super) fn add_upstream(&mut self, written: &str) -> Result<String, String> {
        let endpoint = upstream(written).map_err(|problem| {
            let hint = problem.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
            format!("{}{hint}", problem.message)
        })?;
        let url = endpoint.to_string();
        if !self.upstreams.contains(&url) {
            self.upstreams.push(url.clone());
        }
        Ok(format!("upstream {url}"))
    }

    /// Notes hosts that go direct.
    pub(super) fn add_no_proxy(&mut self, list: &str) -> Fate {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for entry in parts(list) {
            match NoProxy::parse(entry).1.is_empty() {
                true => good.push(entry.to_owned()),
                false => bad.push(entry),
            }
        }
        let to = format!("no_proxy = [{}]", good.join(", "));
        let is_empty = good.is_empty();
        self.no_proxy.extend(good);
        match (bad.is_empty(), is_empty) {
            (true, true) => unneeded("it has no value"),
            (true, false) => taken(to),
            (false, true) => refused(format!("{} means nothing here; docs/no_proxy.md has what does", bad.join(", "))),
            (false, false) => {
                changed(to, format!("{} means nothing here; docs/no_proxy.md has what does", bad.join(", ")))
            }
        }
    }

    pub(super) fn set_user_agent(&mut self, agent: &str) -> Fate {
        self.user_agent = Some(agent.into());
        changed(
            format!("user_agent = {agent:?}"),
            "it fills in only where a program names none, and only towards the proxy",
        )
    }
}

fn list_of(values: &[String]) -> String {
    format!("[{}]", values.iter().map(|value| text(value)).collect::<Vec<_>>().join(", "))
}

/// `${` would begin a reference.
fn text(value: &str) -> String {
    toml::Value::String(expand::escape(value)).to_string()
}

pub(super) fn is_nt_hash(text: &str) -> bool {
    text.len() == NT_HASH_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
