//! `cntlm.conf`, `cntlm.ini`: keywords and values with blanks between them (cntlm(1), versions 0.92 to 0.94).

use super::addresses::{host_and_port, is_everything, is_loopback, networks, outsiders};
use super::ini::{self, is_on};
use super::settings::user_of;
use super::{Fate, Imported, Line, Settings, WHO_MAY, changed, refused, taken, unneeded};
use crate::auth::User;
use crate::config::credentials::is_nt_hash;

/// All that cntlm knows, lower-case. Those of the second list are about the account and may stand in a section.
const GLOBAL: [&str; 16] = [
    "allow",
    "auth",
    "deny",
    "flags",
    "gateway",
    "header",
    "isascanneragent",
    "isascannersize",
    "listen",
    "noproxy",
    "ntlmtobasic",
    "pac",
    "proxy",
    "socks5proxy",
    "socks5user",
    "tunnel",
];
const ACCOUNT: [&str; 7] = ["domain", "passlm", "passnt", "passntlmv2", "password", "username", "workstation"];

const DEFAULT_PORT: u16 = 3128;

pub fn knows(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    GLOBAL.contains(&key.as_str()) || ACCOUNT.contains(&key.as_str())
}

struct Entry<'a> {
    line: usize,
    in_section: bool,
    /// Lower-case; what was written is in `written`.
    key: String,
    written: &'a str,
    value: &'a str,
}

pub fn read(name: &str, text: &str) -> Imported {
    let mut reading = Reading { entries: entries(text), settings: Settings::default(), loopback_only: false };
    reading.prepare();
    let lines = (0..reading.entries.len()).map(|at| {
        let fate = reading.fate(at);
        let entry = &reading.entries[at];
        Line { place: format!("{name}:{}", entry.line), key: entry.written.into(), fate }
    });
    let lines = lines.collect();
    Imported { settings: reading.settings, lines }
}

fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut in_section = false;
    let mut entries = Vec::new();
    for (line, content) in ini::content(text) {
        let content = content.trim();
        if content.starts_with('[') {
            in_section = true;
            continue;
        }
        // cntlm knows no =, and those who write one mean this; a password must not be taken for the keyword's end.
        let end = content.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(content.len());
        let (written, value) = content.split_at(end);
        let (key, value) = (written.to_ascii_lowercase(), bare(value.trim_start().trim_start_matches('=')));
        entries.push(Entry { line, in_section, key, written, value });
    }
    entries
}

/// Without quotes, or without the comment behind it.
fn bare(value: &str) -> &str {
    let value = value.trim();
    if let Some((inner, _)) = value.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
        return inner;
    }
    let comment = [" #", "\t#"].iter().filter_map(|mark| value.find(mark)).min();
    value[..comment.unwrap_or(value.len())].trim_end()
}

struct Reading<'a> {
    entries: Vec<Entry<'a>>,
    settings: Settings,
    /// Other machines are to come in, and nothing says which.
    loopback_only: bool,
}

impl Reading<'_> {
    fn first(&self, key: &str) -> Option<&str> {
        let entry = self.entries.iter().find(|entry| entry.key == key && !entry.in_section && !entry.value.is_empty());
        entry.map(|entry| entry.value)
    }

    fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(move |entry| entry.key == key).map(|entry| entry.value)
    }

    fn is_gateway(&self) -> bool {
        self.first("gateway").is_some_and(is_on)
    }

    /// What lines mean together.
    fn prepare(&mut self) {
        let user = self.first("username").map(|name| user_of(self.first("domain"), name));
        let by_ticket = self.first("auth").is_some_and(|auth| auth.eq_ignore_ascii_case("gss"));
        self.settings.user = user.filter(|user| !by_ticket && user.parse::<User>().is_ok());
        let hash = self.first("passnt").filter(|hash| is_nt_hash(hash) && self.settings.user.is_some());
        self.settings.nt_hash = hash.map(str::to_ascii_lowercase);
        if self.is_gateway() {
            self.settings.allow = outsiders(self.all("allow"));
        }
        self.loopback_only = self.settings.allow.is_empty();
    }

    fn fate(&mut self, at: usize) -> Fate {
        let Entry { key, value, in_section, .. } = &self.entries[at];
        let (key, value) = (key.clone(), (*value).to_owned());
        if *in_section && ACCOUNT.contains(&key.as_str()) {
            return refused(
                "only the account above the first [section] is read; write a table [credentials.NAME] for it",
            );
        }
        if value.is_empty() {
            return unneeded("it has no value");
        }
        match key.as_str() {
            "proxy" => self.settings.add_upstream(&value).map_or_else(refused, taken),
            "username" | "domain" => self.account(),
            "passnt" => self.nt_hash(&value),
            "passntlmv2" | "password" | "passlm" => self.secret(&key),
            "auth" => self.auth(&value),
            "noproxy" => self.settings.add_no_proxy(&value),
            "listen" => self.listen(&value),
            "gateway" => self.gateway(&value),
            "allow" => self.allow(&value),
            "deny" => self.deny(&value),
            "socks5proxy" => self.socks(&value),
            "socks5user" => self.socks_user(&value),
            "tunnel" => self.tunnel(&value),
            "header" => header(&mut self.settings, &value),
            "pac" => self.settings.set_pac(&value),
            "workstation" => unneeded("hallpass names no workstation"),
            "flags" => unneeded("hallpass sets the flags by what the proxy offers"),
            "isascanneragent" | "isascannersize" => unneeded("hallpass passes on what comes at once, whatever it is"),
            "ntlmtobasic" => {
                refused("hallpass logs on to proxies, never to web sites; their log-ins pass through untouched")
            }
            _ => refused(format!("{} is no keyword of cntlm", self.entries[at].written)),
        }
    }

    fn account(&self) -> Fate {
        match &self.settings.user {
            Some(user) => taken(format!("[credentials.imported] user = '{user}'")),
            None if self.first("username").is_none() => refused("there is no Username, so it is nobody's"),
            None if self.first("auth").is_some_and(|auth| auth.eq_ignore_ascii_case("gss")) => {
                unneeded("Auth GSS takes the ticket of the log-in, whoever that is")
            }
            None => refused("together Domain and Username name nobody: write DOMAIN\\user or user@REALM as user"),
        }
    }

    fn nt_hash(&self, value: &str) -> Fate {
        match (is_nt_hash(value), &self.settings.user) {
            (true, Some(_)) => taken("[credentials.imported] nt_hash (not shown)"),
            (true, None) => unneeded("there is no account that it belongs to"),
            (false, _) => refused("an NT hash is 32 hexadecimal digits"),
        }
    }

    /// A hash that is worth nothing to us, or a password that belongs in the system's store.
    fn secret(&self, key: &str) -> Fate {
        let Some(user) = &self.settings.user else { return unneeded("there is no account that it belongs to") };
        if self.settings.nt_hash.is_some() {
            return unneeded("PassNT is enough");
        }
        let instead = format!("run: hallpass login '{user}'");
        match key {
            "password" => refused(format!("a password belongs in the system's store; {instead}")),
            "passlm" => refused(format!("LM answers are never sent; {instead}")),
            _ => refused(format!("the password cannot be found from it, and hallpass needs that or PassNT; {instead}")),
        }
    }

    fn auth(&mut self, value: &str) -> Fate {
        let (schemes, fate) = match value.to_ascii_lowercase().as_str() {
            "ntlmv2" => ("ntlm", taken("schemes = [\"ntlm\"]")),
            "ntlm2sr" | "nt" | "ntlm" | "lm" => {
                ("ntlm", changed("schemes = [\"ntlm\"]", "hallpass answers with NTLMv2 and nothing weaker"))
            }
            "gss" => ("negotiate", taken("schemes = [\"negotiate\"], with the ticket of the log-in")),
            _ => return refused("hallpass knows NTLMv2, NTLM2SR, NT, NTLM, LM and GSS here"),
        };
        self.settings.schemes = vec![schemes.into()];
        fate
    }

    fn listen(&mut self, value: &str) -> Fate {
        let Some((ip, port)) = host_and_port(value) else { return refused("it is no [ADDRESS:]PORT") };
        let (listen, why) = match ip {
            Some(ip) if ip.is_loopback() => (std::net::SocketAddr::new(ip, port).to_string(), None),
            Some(ip) if !self.loopback_only => (std::net::SocketAddr::new(ip, port).to_string(), None),
            None if !self.loopback_only => (format!("0.0.0.0:{port}"), None),
            Some(_) => (format!("localhost:{port}"), Some(WHO_MAY)),
            None => (format!("localhost:{port}"), None),
        };
        if self.settings.listens_on(&listen) {
            return why.map_or_else(
                || unneeded("another Listen covers it"),
                |why| changed(format!("listen localhost:{port}"), why),
            );
        }
        if listen == format!("localhost:{DEFAULT_PORT}") && self.all("listen").count() == 1 && why.is_none() {
            return unneeded("it is where hallpass listens anyway");
        }
        let to = format!("listen {listen}");
        self.settings.listen_on(listen);
        why.map_or_else(|| taken(&to), |why| changed(&to, why))
    }

    fn gateway(&mut self, value: &str) -> Fate {
        if !is_on(value) {
            return unneeded("hallpass serves this machine alone unless told otherwise");
        }
        if self.loopback_only {
            return changed("this machine alone", WHO_MAY);
        }
        // Without a Listen it is the usual port that is open.
        if self.all("listen").next().is_none() {
            self.settings.listen.push(format!("0.0.0.0:{DEFAULT_PORT}"));
        }
        taken(format!("[access] allow = [{}]", self.settings.allow.join(", ")))
    }

    fn allow(&self, value: &str) -> Fate {
        let Some(networks) = networks(value) else { return refused("only addresses and networks can be allowed") };
        if is_loopback(&networks) {
            return unneeded("this machine is served anyway");
        }
        match (self.is_gateway(), self.loopback_only) {
            (false, _) => unneeded("without Gateway nobody else can come"),
            (true, true) => refused(WHO_MAY),
            (true, false) => taken(format!("[access] allow {value}")),
        }
    }

    fn deny(&self, value: &str) -> Fate {
        if !self.is_gateway() {
            return unneeded("without Gateway nobody else can come");
        }
        match networks(value) {
            Some(networks) if is_everything(&networks) => unneeded("who is not in allow is not let in"),
            Some(_) | None => refused("a list of those who may come has no exceptions here; narrow [access] allow"),
        }
    }

    fn socks(&mut self, value: &str) -> Fate {
        let Some((ip, port)) = host_and_port(value) else { return refused("it is no [ADDRESS:]PORT") };
        self.settings.socks_ports.push(port);
        let to = format!("[[listeners]] interface = \"lo\", port = {port}, socks5 = true");
        match ip {
            Some(ip) if !ip.is_loopback() => changed(to, "for others it takes a listener of that interface with allow"),
            None if self.is_gateway() => changed(to, "for others it takes a listener of that interface with allow"),
            Some(_) | None => taken(to),
        }
    }

    fn socks_user(&mut self, value: &str) -> Fate {
        match value.split_once(':') {
            None => refused("it is no NAME:PASSWORD"),
            Some(_) if self.all("socks5proxy").next().is_none() => unneeded("there is no SOCKS5Proxy"),
            Some(_) if self.settings.socks_token.is_some() => refused("a listener has one token; the first one counts"),
            Some((_, password)) => {
                self.settings.socks_token = Some(password.into());
                changed("token (not shown)", "hallpass looks at the password, whatever the name is")
            }
        }
    }

    fn tunnel(&mut self, value: &str) -> Fate {
        let Some((listen, target)) = tunnel(value) else { return refused("it is no [ADDRESS:]PORT:HOST:PORT") };
        let Some((ip, port)) = host_and_port(listen) else { return refused("it is no [ADDRESS:]PORT:HOST:PORT") };
        let (at, why) = match ip {
            Some(ip) if ip.is_loopback() || !self.loopback_only => {
                (std::net::SocketAddr::new(ip, port).to_string(), None)
            }
            Some(_) => (format!("localhost:{port}"), Some(WHO_MAY)),
            None if !self.loopback_only => (format!("0.0.0.0:{port}"), None),
            None => (format!("localhost:{port}"), None),
        };
        let to = format!("[[tunnels]] {at} to {target}");
        self.settings.tunnels.push((at, target.into()));
        why.map_or_else(|| taken(&to), |why| changed(&to, why))
    }
}

/// `[ADDRESS:]PORT` and `HOST:PORT`.
fn tunnel(value: &str) -> Option<(&str, &str)> {
    // From the right: the port, the host (in brackets if it has colons), and the rest is ours.
    let (rest, port) = value.rsplit_once(':')?;
    let begin = match rest.ends_with(']') {
        true => rest.rfind('[')?,
        false => rest.rfind(':')? + 1,
    };
    let listen = rest.get(..begin)?.strip_suffix(':')?;
    let target = &value[begin..];
    (!listen.is_empty() && port.parse::<u16>().is_ok()).then_some((listen, target))
}

fn header(settings: &mut Settings, value: &str) -> Fate {
    match value.split_once(':') {
        Some((name, agent)) if name.trim().eq_ignore_ascii_case("user-agent") => settings.set_user_agent(agent.trim()),
        Some(_) | None => refused("hallpass passes on the fields that programs send and adds none of its own"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(text: &str) -> Vec<String> {
        read("c", text).lines.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_usual_file_is_taken_line_by_line() {
        let text = "# mine\nUsername\talice\nDomain CORP\nPassNTLMv2 D5826E9C665C37C80B53397D5C07BBCB\n\
                    Proxy 10.0.0.41:8080\nProxy proxy2.corp.example:8080\nNoProxy localhost, 127.0.0.*, 10.*\nListen 3128\n\
                    Auth NTLMv2\nTunnel 11443:remote.example:443\nSOCKS5Proxy 8010\n";
        let imported = read("c", text);
        let settings = &imported.settings;
        assert_eq!(settings.user.as_deref(), Some("CORP\\alice"));
        assert_eq!(settings.upstreams, ["http://10.0.0.41:8080", "http://proxy2.corp.example:8080"]);
        assert_eq!(settings.no_proxy, ["localhost", "127.0.0.*", "10.*"]);
        assert_eq!(settings.tunnels, [("localhost:11443".to_owned(), "remote.example:443".to_owned())]);
        assert_eq!((settings.socks_ports.as_slice(), settings.listen.is_empty()), (&[8010][..], true));
        assert_eq!(settings.lacks_password_of(), Some("CORP\\alice"));
        let refused: Vec<&Line> = imported.lines.iter().filter(|line| matches!(line.fate, Fate::Refused(_))).collect();
        assert_eq!(refused.len(), 1);
        assert!(refused[0].to_string().ends_with("run: hallpass login 'CORP\\alice'"), "{}", refused[0]);
    }

    #[test]
    fn a_hash_that_can_be_used_is_taken_and_never_shown() {
        let hash = "77B9081511704EE852F94227CF48A793";
        let text = format!("Username alice\nDomain CORP\nPassNT {hash}\nPassLM {hash}\nPassword \"geheim # 1\"\n");
        let imported = read("c", &text);
        assert_eq!(imported.settings.nt_hash, Some(hash.to_ascii_lowercase()));
        assert_eq!(imported.settings.lacks_password_of(), None);
        let said = imported.lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(!said.to_ascii_lowercase().contains("77b9") && !said.contains("geheim"), "{said}");
    }

    #[test]
    fn a_gateway_opens_only_to_those_who_are_named() {
        let open = read("c", "Gateway yes\nListen 3128\nAllow 192.168.1.0/24\nAllow 127.0.0.1\nDeny 0/0\n").settings;
        assert_eq!((open.listen, open.allow), (vec!["0.0.0.0:3128".to_owned()], vec!["192.168.1.0/24".to_owned()]));
        let closed = read("c", "Gateway yes\nListen 3128\nTunnel 10.1.2.3:22:git.example:22\n");
        assert!(closed.settings.allow.is_empty() && closed.settings.listen.is_empty());
        assert_eq!(closed.settings.tunnels[0].0, "localhost:22");
        assert!(matches!(closed.lines[0].fate, Fate::Changed { .. }));
    }

    #[test]
    fn quotes_and_comments_behind_a_value_are_understood() {
        assert_eq!(bare(" \"a # b\" # c"), "a # b");
        assert_eq!(bare("\tp:8080 # old"), "p:8080");
        assert_eq!(bare("Mozilla/4.0 (compatible; MSIE)"), "Mozilla/4.0 (compatible; MSIE)");
    }

    #[test]
    fn a_tunnel_is_cut_where_the_target_begins() {
        for (text, cut) in [
            ("11443:remote:443", Some(("11443", "remote:443"))),
            ("127.0.0.1:22:git.example:22", Some(("127.0.0.1:22", "git.example:22"))),
            ("22:[2001:db8::1]:22", Some(("22", "[2001:db8::1]:22"))),
            ("443", None),
            ("1:2", None),
            ("a:b:c", None),
        ] {
            assert_eq!(tunnel(text), cut, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_is_said_with_the_reason() {
        for (line, part) in [
            ("Header X-Forwarded-For: 1", "adds none of its own"),
            ("NTLMToBasic yes", "never to web sites"),
            ("Proxy 10.0.0.1", "the port is missing"),
            ("Frobnicate yes", "no keyword of cntlm"),
            ("Username", "no value"),
            ("Listen http", "no [ADDRESS:]PORT"),
        ] {
            let said = report(line).join("\n");
            assert!(said.contains(part), "{said}");
        }
    }
}
