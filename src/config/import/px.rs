//! `px.ini`: the sections `[proxy]`, `[client]` and `[settings]` of Px.

use std::time::Duration;

use super::addresses::{networks, outsiders};
use super::ini::{self, Entry, is_on, parts};
use super::{Fate, Imported, Line, Settings, WHO_MAY, changed, refused, taken, unneeded};
use crate::config::value::show_duration;

const DEFAULT_PORT: u16 = 3128;
/// What Px takes where a server has no port.
const SERVER_PORT: u16 = 80;
const DEFAULT_TIMEOUT: f64 = 20.0;

pub fn read(name: &str, text: &str) -> Imported {
    let mut reading = Reading { entries: ini::entries(text), settings: Settings::default(), loopback_only: true };
    reading.prepare();
    let lines = (0..reading.entries.len()).map(|at| {
        let entry = reading.entries[at].clone();
        Line { place: format!("{name}:{}", entry.line), key: entry.key.clone(), fate: reading.fate(&entry) }
    });
    let lines = lines.collect();
    Imported { settings: reading.settings, lines }
}

struct Reading {
    entries: Vec<Entry>,
    settings: Settings,
    loopback_only: bool,
}

impl Reading {
    fn value(&self, key: &str) -> &str {
        let entry = self.entries.iter().find(|entry| entry.key.eq_ignore_ascii_case(key));
        entry.map_or("", |entry| entry.value.as_str())
    }

    fn is_gateway(&self) -> bool {
        is_on(self.value("gateway"))
    }

    fn port(&self) -> u16 {
        self.value("port").parse().unwrap_or(DEFAULT_PORT)
    }

    /// What lines mean together.
    fn prepare(&mut self) {
        let user = match (self.value("username"), self.value("domain"), self.value("user")) {
            ("", "", "") | ("", _, "") => None,
            ("", "", user) => Some(user.to_owned()),
            ("", domain, user) => Some(format!("{domain}\\{user}")),
            // The comment in Px's own file writes two of them.
            (user, _, _) => Some(user.replace("\\\\", "\\")),
        };
        self.settings.user = user;
        if self.is_gateway() {
            self.settings.allow = outsiders(parts(self.value("allow")));
        }
        self.loopback_only = self.settings.allow.is_empty();
        self.settings.listen = self.places();
    }

    /// Empty, where it is what hallpass does anyway.
    fn places(&self) -> Vec<String> {
        let port = self.port();
        if !self.loopback_only {
            return vec![format!("0.0.0.0:{port}")];
        }
        let ips = parts(self.value("listen")).filter_map(|ip| ip.parse::<std::net::IpAddr>().ok());
        let others = ips.filter(|ip| ip.is_loopback() && *ip != std::net::IpAddr::from([127, 0, 0, 1]));
        let mut places: Vec<String> = others.map(|ip| std::net::SocketAddr::new(ip, port).to_string()).collect();
        if port != DEFAULT_PORT || !places.is_empty() {
            places.insert(0, format!("localhost:{port}"));
        }
        places
    }

    fn fate(&mut self, entry: &Entry) -> Fate {
        let value = entry.value.as_str();
        if value.is_empty() {
            return unneeded("it has no value");
        }
        match entry.key.to_ascii_lowercase().as_str() {
            "server" => self.servers(value),
            "pac" => self.pac(value),
            "pac_encoding" => unneeded("scripts are read as UTF-8, or as what Windows wrote before it"),
            "listen" => self.listen(value),
            "port" => self.listen_port(value),
            "gateway" => self.gateway(value),
            "hostonly" => host_only(value),
            "allow" => self.allow(value),
            "noproxy" => self.settings.add_no_proxy(value),
            "useragent" => self.settings.set_user_agent(value),
            "username" | "user" | "domain" => self.account(),
            "password" => self.password(),
            "auth" => self.auth(value),
            "client_nosspi" if !is_on(value) => unneeded("hallpass asks programs for nothing"),
            "client_auth" if value.eq_ignore_ascii_case("none") => unneeded("hallpass asks programs for nothing"),
            "client_auth" | "client_username" | "client_nosspi" => {
                refused("hallpass asks who the connecting user is ([access] users), or for a token ([access] token)")
            }
            "workers" | "threads" => unneeded("one process serves thousands of connections"),
            "idle" => unneeded("tunnels are never cut (idle_timeout)"),
            "socktimeout" => self.timeout(value),
            "proxyreload" => {
                unneeded("a change of network is seen at once, and scripts are fetched anew (pac.refresh)")
            }
            "foreground" => {
                unneeded("hallpass stays in the foreground; systemd or a service runs it in the background")
            }
            "log" if ["0", "1"].contains(&value) && !is_on(value) => unneeded("hallpass logs to standard error"),
            "log" => {
                self.settings.log_level = Some("debug".into());
                changed("[log] level = \"debug\"", "hallpass logs to standard error, not to a file")
            }
            _ => refused(format!("{} is no key of Px", entry.key)),
        }
    }

    fn servers(&mut self, value: &str) -> Fate {
        let (mut to, mut because) = (Vec::new(), Vec::new());
        for server in parts(value) {
            let has_port = server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            let full = if has_port { server.to_owned() } else { format!("{server}:{SERVER_PORT}") };
            // A password may stand before the @.
            let place = server.rsplit('@').next().unwrap_or_default();
            match self.settings.add_upstream(&full) {
                Ok(name) => {
                    to.push(name);
                    because.extend((!has_port).then(|| format!("{place}: Px means port 80 where none is named")));
                }
                Err(problem) => because.push(format!("{place}: {problem}")),
            }
        }
        match (to.is_empty(), because.is_empty()) {
            (true, _) => refused(because.join("; ")),
            (false, true) => taken(to.join(", ")),
            (false, false) => changed(to.join(", "), because.join("; ")),
        }
    }

    fn pac(&mut self, value: &str) -> Fate {
        let is_whole = value.starts_with(['/', '\\']) || value.get(1..2) == Some(":");
        let is_relative = !value.contains("://") && !is_whole;
        if is_relative {
            return refused("a path that begins where Px is installed; write the whole path as url in [pac]");
        }
        self.settings.set_pac(value)
    }

    fn listen(&self, value: &str) -> Fate {
        if let Some(bad) = parts(value).find(|ip| networks(ip).is_none()) {
            return refused(format!("{bad} is no address"));
        }
        if self.is_gateway() {
            return unneeded("gateway stands above it");
        }
        let all = || parts(value).filter_map(networks).flatten();
        if all().any(|network| !network.addr().is_loopback()) {
            return changed(format!("listen localhost:{}", self.port()), WHO_MAY);
        }
        match self.settings.listen.as_slice() {
            [] => unneeded("it is where hallpass listens anyway"),
            some => taken(format!("listen {}", some.join(", "))),
        }
    }

    fn listen_port(&self, value: &str) -> Fate {
        match value.parse::<u16>() {
            Err(_) | Ok(0) => refused("it is no port"),
            Ok(DEFAULT_PORT) => unneeded("it is where hallpass listens anyway"),
            Ok(_) => taken(format!("listen {}", self.settings.listen.join(", "))),
        }
    }

    fn gateway(&self, value: &str) -> Fate {
        match (is_on(value), self.loopback_only) {
            (false, _) => unneeded("hallpass serves this machine alone unless told otherwise"),
            (true, true) => changed("this machine alone", WHO_MAY),
            (true, false) => taken(format!("[access] allow = [{}]", self.settings.allow.join(", "))),
        }
    }

    fn allow(&self, value: &str) -> Fate {
        if let Some(bad) = parts(value).find(|part| networks(part).is_none()) {
            return refused(format!("{bad} is neither an address nor a network"));
        }
        match (self.is_gateway(), self.loopback_only) {
            (false, _) => unneeded("without gateway nobody else can come"),
            (true, true) => refused(WHO_MAY),
            (true, false) => taken(format!("[access] allow = [{}]", self.settings.allow.join(", "))),
        }
    }

    fn account(&self) -> Fate {
        match &self.settings.user {
            Some(user) => {
                let because = format!("its password is not in this file; run: hallpass login '{user}'");
                changed(format!("[credentials.imported] user = '{user}'"), because)
            }
            None => refused("there is no user, so it is nobody's"),
        }
    }

    fn password(&self) -> Fate {
        match &self.settings.user {
            Some(user) => refused(format!("a password belongs in the system's store; run: hallpass login '{user}'")),
            None => unneeded("there is no account that it belongs to"),
        }
    }

    fn auth(&mut self, value: &str) -> Fate {
        let schemes: &[&str] = match value.to_ascii_uppercase().as_str() {
            "ANY" | "ANYSAFE" | "SAFENOBASIC" | "NOBASIC" => {
                return unneeded("hallpass takes the strongest that is offered");
            }
            "NTLM" | "ONLYNTLM" => &["ntlm"],
            "NEGOTIATE" | "KERBEROS" | "ONLYNEGOTIATE" | "ONLYKERBEROS" => &["negotiate"],
            "DIGEST" | "ONLYDIGEST" => &["digest"],
            "BASIC" | "ONLYBASIC" => &["basic"],
            "NONTLM" | "SAFENONTLM" => &["negotiate", "digest"],
            "NONEGOTIATE" | "SAFENONEGOTIATE" => &["ntlm", "digest"],
            "NODIGEST" | "SAFENODIGEST" => &["negotiate", "ntlm"],
            _ => {
                return refused(
                    "hallpass knows negotiate, ntlm, digest and basic; write them as schemes of the upstream",
                );
            }
        };
        self.settings.schemes = schemes.iter().map(|scheme| (*scheme).to_owned()).collect();
        taken(format!("schemes = {:?}", self.settings.schemes))
    }

    fn timeout(&mut self, value: &str) -> Fate {
        match value.parse::<f64>() {
            Ok(seconds) if seconds == DEFAULT_TIMEOUT => unneeded("it is what Px does anyway; see connect_timeout"),
            Ok(seconds) if seconds > 0.0 && seconds < 3600.0 => {
                let written = show_duration(Duration::from_secs_f64(seconds));
                self.settings.connect_timeout = Some(written.clone());
                taken(format!("connect_timeout = {written:?}"))
            }
            Ok(_) | Err(_) => refused("it is no number of seconds"),
        }
    }
}

fn host_only(value: &str) -> Fate {
    match is_on(value) {
        false => unneeded("hallpass serves this machine alone unless told otherwise"),
        true => changed(
            "this machine's loopback alone",
            "virtual machines and containers come by a table [[listeners]] of their interface (interface = \"docker0\")",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_file_is_taken_line_by_line() {
        let text = "[proxy]\nserver = p1.corp.example:8080,p2.corp.example\npac =\nlisten = 127.0.0.1\nport = 3129\ngateway = 0\n\
                    hostonly = 0\nallow = *.*.*.*\nnoproxy = 127.0.0.*,10.*.*.*,192.168.0.1-192.168.0.9,*.corp.example\n\
                    useragent =\nusername = CORP\\alice\nauth = NTLM\n[settings]\nworkers = 2\nidle = 30\nsocktimeout = 5.5\nlog = 0\n";
        let imported = read("px.ini", text);
        let settings = &imported.settings;
        assert_eq!(settings.upstreams, ["http://p1.corp.example:8080", "http://p2.corp.example:80"]);
        assert_eq!(settings.listen, ["localhost:3129"]);
        assert_eq!(settings.no_proxy.len(), 4);
        assert_eq!(
            (settings.user.as_deref(), settings.schemes.as_slice()),
            (Some("CORP\\alice"), &["ntlm".to_owned()][..])
        );
        assert_eq!(settings.connect_timeout.as_deref(), Some("5500ms"));
        assert_eq!(imported.lines.len(), 15);
        assert_eq!(imported.tally().refused, 0, "{:?}", imported.lines);
    }

    #[test]
    fn others_come_in_only_if_somebody_said_who() {
        let open = read("p", "[proxy]\ngateway = 1\nallow = 127.0.0.1,172.17.*.*\n").settings;
        assert_eq!((open.listen, open.allow), (vec!["0.0.0.0:3128".to_owned()], vec!["172.17.0.0/16".to_owned()]));
        let closed = read("p", "[proxy]\ngateway = 1\nallow = *.*.*.*\n");
        assert!(closed.settings.listen.is_empty() && closed.settings.allow.is_empty());
        assert!(matches!(closed.lines[0].fate, Fate::Changed { .. }), "{:?}", closed.lines);
        assert!(matches!(closed.lines[1].fate, Fate::Refused(_)), "{:?}", closed.lines);
    }

    #[test]
    fn what_cannot_be_is_said_with_the_reason() {
        for (line, part) in [
            ("pac = proxy.pac", "the whole path"),
            ("server = p:99999", "p:99999"),
            ("auth = BEARER", "negotiate, ntlm"),
            ("client_auth = NTLM", "[access]"),
            ("socktimeout = soon", "number of seconds"),
            ("frobnicate = 1", "no key of Px"),
            ("username = CORP\\\\alice", "hallpass login 'CORP\\alice'"),
        ] {
            let said = read("p", &format!("[proxy]\n{line}\n")).lines[0].to_string();
            assert!(said.contains(part), "{said}");
        }
    }
}
