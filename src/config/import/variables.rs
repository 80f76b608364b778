//! The usual variables: `https_proxy` and its kin, `no_proxy`, and alpaca's.

use super::alpaca;
use super::{Fate, Imported, Line, Settings, changed, refused, taken, unneeded};
use crate::address::Target;
use crate::config::pac::percent_decoded;

/// The first that is set says what counts: https is what matters today.
const PROXIES: [&str; 6] = ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
const EXCEPTIONS: [&str; 2] = ["no_proxy", "NO_PROXY"];
const OUR_PORT: u16 = 3128;

pub fn read(variable: &dyn Fn(&str) -> Option<String>) -> Imported {
    let mut imported = Imported::default();
    let names = PROXIES.iter().chain(&EXCEPTIONS).chain([&alpaca::VARIABLE]);
    for name in names {
        let Some(value) = variable(name).filter(|value| !value.trim().is_empty()) else { continue };
        let fate = fate(&mut imported.settings, name, value.trim());
        imported.lines.push(Line { place: "environment".into(), key: (*name).into(), fate });
    }
    imported
}

/// The same from a file of `NAME=value` lines, such as `/etc/environment`.
pub fn read_lines(name: &str, text: &str) -> Imported {
    let mut imported = Imported::default();
    for (number, line) in super::ini::content(text) {
        let line = line.trim();
        let Some((key, value)) = line.strip_prefix("export ").unwrap_or(line).split_once('=') else { continue };
        let (key, value) = (key.trim(), value.trim().trim_matches(['"', '\'']));
        if PROXIES.contains(&key) || EXCEPTIONS.contains(&key) || key == alpaca::VARIABLE {
            let fate = fate(&mut imported.settings, key, value);
            imported.lines.push(Line { place: format!("{name}:{number}"), key: key.into(), fate });
        }
    }
    imported
}

fn fate(settings: &mut Settings, name: &str, value: &str) -> Fate {
    match name {
        alpaca::VARIABLE => alpaca::credentials(settings, value),
        _ if EXCEPTIONS.contains(&name) => exceptions(settings, value),
        _ => proxy(settings, value),
    }
}

fn exceptions(settings: &mut Settings, value: &str) -> Fate {
    let before = settings.no_proxy.clone();
    let mut these = Settings::default();
    let fate = these.add_no_proxy(value);
    match before.is_empty() {
        true => settings.no_proxy = these.no_proxy,
        false if before == these.no_proxy => return unneeded("the same as the one before"),
        false => return refused("the one before counts, and it says something else"),
    }
    fate
}

fn proxy(settings: &mut Settings, value: &str) -> Fate {
    let (url, account) = apart(value);
    if is_us(&url) {
        return unneeded("this is where hallpass itself listens");
    }
    let mut these = Settings::default();
    let name = match these.add_upstream(&url) {
        Ok(name) => name,
        Err(problem) => return refused(problem),
    };
    if !settings.upstreams.is_empty() && settings.upstreams != these.upstreams {
        return refused(format!("{} is used for all; write rules for more", settings.upstreams.join(", ")));
    }
    let is_news = settings.upstreams.is_empty();
    settings.upstreams = these.upstreams;
    match (account, is_news) {
        (Some(user), true) => {
            let because = format!("a password belongs in the system's store; run: hallpass login '{user}'");
            settings.user = Some(user.clone());
            changed(format!("{name} and [credentials.imported] user = '{user}'"), because)
        }
        (None, true) => taken(name),
        (_, false) => unneeded("the same as the one before"),
    }
}

/// The URL without user and password, and the user.
fn apart(value: &str) -> (String, Option<String>) {
    let (scheme, rest) = value.split_once("://").map_or(("", value), |(scheme, rest)| (scheme, rest));
    let (userinfo, host) = rest.rsplit_once('@').map_or((None, rest), |(userinfo, host)| (Some(userinfo), host));
    let url = if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") };
    let user = userinfo.map(|userinfo| userinfo.split(':').next().unwrap_or_default());
    (url, user.filter(|user| !user.is_empty()).map(percent_decoded))
}

fn is_us(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/');
    Target::parse(rest, None).is_ok_and(|target| target.port == OUR_PORT && target.host.is_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Imported {
        let pairs: Vec<(String, String)> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        read(&move |name| pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()))
    }

    #[test]
    fn a_proxy_with_a_password_in_it_leaves_the_password_behind() {
        let imported = of(&[
            ("HTTPS_PROXY", "http://CORP%5Calice:s3cret@proxy.corp.example:8080/"),
            ("no_proxy", ".corp.example,10.*"),
        ]);
        assert_eq!(imported.settings.upstreams, ["http://proxy.corp.example:8080"]);
        assert_eq!(imported.settings.user.as_deref(), Some("CORP\\alice"));
        assert_eq!(imported.settings.no_proxy, [".corp.example", "10.*"]);
        let said = imported.lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(said.contains("hallpass login 'CORP\\alice'") && !said.contains("s3cret"), "{said}");
    }

    #[test]
    fn the_first_variable_counts_and_we_are_no_proxy_of_ours() {
        let imported = of(&[
            ("https_proxy", "http://127.0.0.1:3128"),
            ("http_proxy", "p:8080"),
            ("HTTP_PROXY", "p:8080"),
            ("ALL_PROXY", "socks5://q:1080"),
        ]);
        assert_eq!(imported.settings.upstreams, ["http://p:8080"]);
        let tally = imported.tally();
        assert_eq!((tally.taken, tally.unneeded, tally.refused), (1, 2, 1), "{:?}", imported.lines);
    }
}
