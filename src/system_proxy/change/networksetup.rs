//! The proxy settings of one network service of macOS as they are changed: what `networksetup` prints, and its words.

use std::net::SocketAddr;

use super::{Key, Part, Value};

/// What a setting is called, how it is asked for, and how it is set.
const PROXIES: [(&str, &str, &str); 3] = [
    ("web proxy", "-getwebproxy", "-setwebproxy"),
    ("secure web proxy", "-getsecurewebproxy", "-setsecurewebproxy"),
    ("SOCKS proxy", "-getsocksfirewallproxy", "-setsocksfirewallproxy"),
];

const EXCEPTIONS: &str = "exceptions";
const SCRIPT: &str = "automatic configuration";
const SEARCH: &str = "automatic discovery";

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The services that are in use, of what `-listallnetworkservices` prints; an asterisk marks the others.
pub fn services(printed: &str) -> Vec<String> {
    printed.lines().skip(1).filter(|line| !line.starts_with('*') && !line.is_empty()).map(str::to_owned).collect()
}

/// All settings of a service, with `ask` for what `networksetup` prints.
pub fn values(service: &str, ask: &dyn Fn(&str) -> Option<String>) -> Option<Vec<Value>> {
    let value =
        |name: &str, part, text| Value { key: Key { connection: service.into(), name: name.into() }, part, text };
    let mut values = Vec::new();
    for (name, get, _) in PROXIES {
        values.push(value(name, Part::Proxy, proxy(&ask(get)?)));
    }
    let on = |printed: &str, word: &str| printed.lines().any(|line| line.trim() == word).then(|| "on".to_string());
    values.push(value(SCRIPT, Part::Proxy, on(&ask("-getautoproxyurl")?, "Enabled: Yes")));
    values.push(value(SEARCH, Part::Proxy, on(&ask("-getproxyautodiscovery")?, "Auto Proxy Discovery: On")));
    values.push(value(EXCEPTIONS, Part::Exceptions, exceptions(&ask("-getproxybypassdomains")?)));
    Some(values)
}

/// `host port` where it is on. What stands in one that is off counts for nothing.
fn proxy(printed: &str) -> Option<String> {
    let of = |name: &str| printed.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or_default();
    (of("Enabled:") == "Yes").then(|| format!("{} {}", of("Server:"), of("Port:")))
}

/// One a line; a sentence says that there are none.
fn exceptions(printed: &str) -> Option<String> {
    let lines: Vec<&str> = printed.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let none = lines.iter().any(|line| line.contains(' '));
    (!none && !lines.is_empty()).then(|| lines.join(" "))
}

/// See [`super::Settings::wanted`].
pub fn wanted(before: &[Value], relay: SocketAddr) -> Vec<Value> {
    let value = |before: &Value| {
        let text = match before.key.name.as_str() {
            "web proxy" | "secure web proxy" => Some(format!("{} {}", relay.ip(), relay.port())),
            EXCEPTIONS => {
                let there: Vec<&str> = before.text.as_deref().unwrap_or_default().split_ascii_whitespace().collect();
                let missing = LOOPBACK.into_iter().filter(|wanted| !there.contains(wanted));
                Some(there.iter().copied().chain(missing).collect::<Vec<_>>().join(" "))
            }
            _ => None,
        };
        Value { text, ..before.clone() }
    };
    before.iter().map(value).collect()
}

/// What `networksetup` is told to have this value.
pub fn arguments(value: &Value) -> Vec<String> {
    let service = value.key.connection.as_str();
    let words = value.text.as_deref().unwrap_or_default().split_ascii_whitespace();
    let state = if value.text.is_some() { "on" } else { "off" };
    let name = value.key.name.as_str();
    let proxy = PROXIES.into_iter().find(|(known, ..)| *known == name).map(|(.., set)| set);
    let all: Vec<&str> = match (name, proxy) {
        (EXCEPTIONS, _) if value.text.is_none() => vec!["-setproxybypassdomains", service, "Empty"],
        (EXCEPTIONS, _) => ["-setproxybypassdomains", service].into_iter().chain(words).collect(),
        (SCRIPT, _) => vec!["-setautoproxystate", service, state],
        (SEARCH, _) => vec!["-setproxyautodiscovery", service, state],
        (_, Some(set)) if value.text.is_some() => [set, service].into_iter().chain(words).collect(),
        (_, set) => return vec![format!("{}state", set.unwrap_or_default()), service.into(), state.into()],
    };
    all.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `networksetup` prints them.
    fn printed(get: &str) -> Option<String> {
        let text = match get {
            "-getwebproxy" => "Enabled: Yes\nServer: proxy.corp.example\nPort: 8080\nAuthenticated Proxy Enabled: 0\n",
            "-getsecurewebproxy" => "Enabled: No\nServer: old.corp.example\nPort: 1\nAuthenticated Proxy Enabled: 0\n",
            "-getsocksfirewallproxy" => "Enabled: No\nServer: \nPort: 0\nAuthenticated Proxy Enabled: 0\n",
            "-getautoproxyurl" => "URL: http://w/p.pac\nEnabled: Yes\n",
            "-getproxyautodiscovery" => "Auto Proxy Discovery: Off\n",
            "-getproxybypassdomains" => "*.local\n169.254/16\n",
            _ => return None,
        };
        Some(text.into())
    }

    fn texts(values: &[Value]) -> Vec<Option<&str>> {
        values.iter().map(|value| value.text.as_deref()).collect()
    }

    #[test]
    fn services_that_are_off_are_left_alone() {
        let printed =
            "An asterisk (*) denotes that a network service is disabled.\nWi-Fi\n*Bluetooth PAN\nUSB 10/100 LAN\n";
        assert_eq!(services(printed), ["Wi-Fi", "USB 10/100 LAN"]);
    }

    #[test]
    fn a_relay_takes_the_place_of_every_proxy_script_and_search() {
        let before = values("Wi-Fi", &printed).unwrap();
        assert_eq!(
            texts(&before),
            [Some("proxy.corp.example 8080"), None, None, Some("on"), None, Some("*.local 169.254/16")]
        );
        let ours = wanted(&before, "127.0.0.1:3128".parse().unwrap());
        let relay = Some("127.0.0.1 3128");
        let with_loopback = Some("*.local 169.254/16 localhost 127.0.0.1 ::1");
        assert_eq!(texts(&ours), [relay, relay, None, None, None, with_loopback]);
        assert_eq!(exceptions("There aren't any bypass domains set on Wi-Fi.\n"), None);
    }

    #[test]
    fn a_value_is_said_in_the_words_of_networksetup() {
        let value = |name: &str, text: Option<&str>| {
            let key = Key { connection: "Wi-Fi".into(), name: name.into() };
            arguments(&Value { key, part: Part::Proxy, text: text.map(str::to_owned) }).join("|")
        };
        for (name, text, words) in [
            ("web proxy", Some("h 1"), "-setwebproxy|Wi-Fi|h|1"),
            ("SOCKS proxy", None, "-setsocksfirewallproxystate|Wi-Fi|off"),
            ("automatic configuration", Some("on"), "-setautoproxystate|Wi-Fi|on"),
            ("automatic discovery", None, "-setproxyautodiscovery|Wi-Fi|off"),
            ("exceptions", Some("a b"), "-setproxybypassdomains|Wi-Fi|a|b"),
            ("exceptions", None, "-setproxybypassdomains|Wi-Fi|Empty"),
        ] {
            assert_eq!(value(name, text), words);
        }
    }
}
