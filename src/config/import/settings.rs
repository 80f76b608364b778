//! What was taken, as the text of our file.

use super::ini::parts;
use super::{Fate, changed, refused, taken, unneeded};
use crate::config::mistake::Origin;
use crate::config::value::upstream;
use crate::config::{expand, pac};
use crate::route::no_proxy::NoProxy;

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

    /// Notes the script, unless it is in no place that one can be fetched from.
    pub(super) fn set_pac(&mut self, url: &str) -> Fate {
        // Of the problem alone, because the address may hold a password.
        if let Err(problem) = pac::place(url, &Origin::Default) {
            let hint = problem.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
            return refused(format!("{}{hint}", problem.message));
        }
        self.pac = Some(url.into());
        taken(format!("[pac] url = {url:?}"))
    }

    pub(super) fn listens_on(&self, place: &str) -> bool {
        self.listen.iter().any(|one| covers(one, place))
    }

    /// Instead of those that it covers: one place is listened on once.
    pub(super) fn listen_on(&mut self, place: String) {
        self.listen.retain(|one| !covers(&place, one));
        self.listen.push(place);
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

/// Whether who listens on `all` listens on `one` too.
fn covers(all: &str, one: &str) -> bool {
    let parts = |place: &str| place.rsplit_once(':').map(|(host, port)| (host.to_owned(), port.to_owned()));
    let (Some((all, port)), Some((one, same))) = (parts(all), parts(one)) else { return false };
    let is_wider = match all.as_str() {
        "0.0.0.0" => !one.starts_with('['),
        "localhost" => ["127.0.0.1", "[::1]"].contains(&one.as_str()),
        _ => false,
    };
    port == same && (all == one || is_wider)
}

/// A name that says its domain itself needs none before it; in some files two backslashes stand for one.
pub(super) fn user_of(domain: Option<&str>, name: &str) -> String {
    match domain {
        Some(domain) if !name.contains(['\\', '@']) => format!("{domain}\\{name}"),
        Some(_) | None => name.replace("\\\\", "\\"),
    }
}

fn list_of(values: &[String]) -> String {
    format!("[{}]", values.iter().map(|value| text(value)).collect::<Vec<_>>().join(", "))
}

/// `${` would begin a reference.
fn text(value: &str) -> String {
    toml::Value::String(expand::escape(value)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_listened_on_once_by_whoever_covers_it() {
        for (places, left) in [
            (&["127.0.0.1:3128", "localhost:3128"][..], &["localhost:3128"][..]),
            (&["10.0.0.5:3128", "127.0.0.1:80", "0.0.0.0:3128"], &["127.0.0.1:80", "0.0.0.0:3128"]),
            (&["10.0.0.5:3128", "10.0.0.6:3128"], &["10.0.0.5:3128", "10.0.0.6:3128"]),
            (&["[::1]:3128", "0.0.0.0:3128"], &["[::1]:3128", "0.0.0.0:3128"]),
        ] {
            let mut settings = Settings::default();
            places.iter().for_each(|place| settings.listen_on((*place).into()));
            assert_eq!(settings.listen, left);
            assert!(places.iter().all(|place| settings.listens_on(place)), "{places:?}");
        }
    }

    #[test]
    fn a_name_that_says_its_domain_gets_no_other() {
        for (domain, name, user) in [
            (Some("CORP"), "alice", "CORP\\alice"),
            (Some("CORP"), "OTHER\\alice", "OTHER\\alice"),
            (None, "CORP\\\\alice", "CORP\\alice"),
            (Some("CORP"), "alice@corp.example", "alice@corp.example"),
            (None, "alice", "alice"),
        ] {
            assert_eq!(user_of(domain, name), user);
        }
    }
}
