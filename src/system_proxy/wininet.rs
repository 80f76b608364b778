//! The proxy settings of Windows, as the registry keeps them: WinINET's of the user or the machine, and WinHTTP's.

use super::{Found, Kind, exceptions, value};
use crate::address::{Endpoint, Protocol};

/// Who is asked: the settings people make apply before those that `netsh winhttp` makes for services.
pub(super) const WININET: &str = "the Internet settings of Windows";
const WINHTTP: &str = "WinHTTP's settings (netsh winhttp)";

/// The values of a key `Internet Settings`; what is not there is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InternetSettings {
    pub proxy_enable: bool,
    pub proxy_server: String,
    pub proxy_override: String,
    pub auto_config_url: String,
    /// `Connections\DefaultConnectionSettings`.
    pub connection: Vec<u8>,
}

/// All that is read from the registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    pub user: InternetSettings,
    pub machine: InternetSettings,
    /// The policy `ProxySettingsPerUser` is 0: the machine's settings are everybody's.
    pub machine_wide: bool,
    /// `Connections\WinHttpSettings`.
    pub winhttp: Vec<u8>,
}

/// `None` where nothing but "direct" is said, as a fresh Windows does.
pub fn read(registry: &Registry) -> Option<Found> {
    let chosen = if registry.machine_wide { &registry.machine } else { &registry.user };
    internet(chosen).or_else(|| winhttp(&registry.winhttp))
}

/// A script that was named comes first, as in Windows; a search, which is on by default, comes last.
fn internet(settings: &InternetSettings) -> Option<Found> {
    let connection = Connection::parse(&settings.connection).unwrap_or_default();
    let or = |plain: &str, in_blob: String| if plain.trim().is_empty() { in_blob } else { plain.trim().to_string() };
    let script = or(&settings.auto_config_url, connection.script_if_on());
    let server = or(if settings.proxy_enable { &settings.proxy_server } else { "" }, connection.server_if_on());
    if !script.is_empty() {
        return Some(Found { source: WININET.into(), kind: Kind::Pac(script), notes: Vec::new() });
    }
    if !server.is_empty() {
        return Some(manual(WININET, &server, &or(&settings.proxy_override, connection.exceptions)));
    }
    let detect = Found { source: WININET.into(), kind: Kind::AutoDetect, notes: Vec::new() };
    (connection.flags & Connection::DETECT != 0).then_some(detect)
}

fn winhttp(blob: &[u8]) -> Option<Found> {
    let connection = Connection::parse(blob)?;
    let server = connection.server_if_on();
    (!server.is_empty()).then(|| manual(WINHTTP, &server, &connection.exceptions))
}

/// Both blobs have one form: a version, a counter and flags, then texts after their lengths, all in 32 bits.
#[derive(Debug, Default)]
struct Connection {
    flags: u32,
    server: String,
    exceptions: String,
    script: String,
}

impl Connection {
    const PROXY: u32 = 0x2;
    const SCRIPT: u32 = 0x4;
    const DETECT: u32 = 0x8;

    fn parse(blob: &[u8]) -> Option<Self> {
        let mut rest = blob.get(8..)?;
        let flags = number(&mut rest)?;
        let mut text = || {
            let length = usize::try_from(number(&mut rest)?).ok()?;
            let (text, after) = rest.split_at_checked(length)?;
            rest = after;
            Some(String::from_utf8_lossy(text).into_owned())
        };
        // WinHTTP's has no script.
        Some(Self { flags, server: text()?, exceptions: text()?, script: text().unwrap_or_default() })
    }

    fn server_if_on(&self) -> String {
        if self.flags & Self::PROXY != 0 { self.server.clone() } else { String::new() }
    }

    fn script_if_on(&self) -> String {
        if self.flags & Self::SCRIPT != 0 { self.script.clone() } else { String::new() }
    }
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_le_bytes(*bytes))
}

fn manual(source: &str, server: &str, list: &str) -> Found {
    let mut notes = Vec::new();
    let upstreams = servers(source, server, &mut notes);
    let found = exceptions::translate(source, list.split([';', ' ', ',']));
    notes.extend(found.notes);
    let kind = Kind::Static { upstreams, no_proxy: found.no_proxy, short_names_direct: found.short_names_direct };
    Found { source: source.into(), kind, notes }
}

/// `h:p`, several of them, or one a scheme: `http=h:p;https=h:p;socks=h:p`. Of the latter, that for HTTPS counts.
fn servers(source: &str, text: &str, notes: &mut Vec<String>) -> Vec<Endpoint> {
    let entries: Vec<(&str, &str)> = text
        .split([';', ' '])
        .filter(|entry| !entry.is_empty())
        .map(|entry| entry.split_once('=').unwrap_or(("", entry)))
        .collect();
    // A bare entry stands for all schemes that have none of their own.
    let scheme = ["https", "", "http", "socks"].into_iter().find(|wanted| has(&entries, wanted));
    let Some(scheme) = scheme else { return Vec::new() };
    let mut found = Vec::new();
    for (_, place) in entries.iter().filter(|(name, _)| name.trim().eq_ignore_ascii_case(scheme)) {
        match one(scheme, place) {
            Ok(endpoint) => found.push(endpoint),
            Err(cause) => notes.push(format!("{source}: the proxy {place} is ignored: {cause}")),
        }
    }
    found
}

fn has(entries: &[(&str, &str)], scheme: &str) -> bool {
    entries.iter().any(|(name, _)| name.trim().eq_ignore_ascii_case(scheme))
}

/// `socks=` means version 4 to Windows itself; the servers that are set there speak 5, and browsers take it so.
fn one(scheme: &str, place: &str) -> Result<Endpoint, crate::address::AddressError> {
    let protocol = if scheme == "socks" { Protocol::Socks5 } else { Protocol::Http };
    let spelled = if place.contains("://") { place.to_string() } else { format!("{protocol}://{place}") };
    Ok(value::endpoint(&spelled)?.endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file in the form of `regedit`, and the value of a name under a key that ends so.
    struct Export(String);

    impl Export {
        fn of(name: &str) -> Self {
            Self(std::fs::read_to_string(format!("tests/data/system_proxy/{name}")).unwrap().replace("\\\n  ", ""))
        }

        fn value(&self, key: &str, name: &str) -> Option<String> {
            let group = self
                .0
                .split("\n[")
                .find(|group| group.lines().next().unwrap_or_default().ends_with(&format!("{key}]")))?;
            let line = group.lines().find_map(|line| line.strip_prefix(&format!("\"{name}\"=")))?;
            Some(line.trim_matches('"').replace("\\\\", "\\"))
        }

        fn bytes(&self, key: &str, name: &str) -> Vec<u8> {
            let Some(text) = self.value(key, name) else { return Vec::new() };
            let text = text.strip_prefix("hex:").unwrap();
            text.split(',').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
        }

        fn settings(&self, root: &str) -> InternetSettings {
            let key = format!(r"{root}\SOFTWARE\Microsoft\Windows\CurrentVersion\Internet Settings");
            let text = |name| self.value(&key, name).unwrap_or_default();
            InternetSettings {
                proxy_enable: text("ProxyEnable") == "dword:00000001",
                proxy_server: text("ProxyServer"),
                proxy_override: text("ProxyOverride"),
                auto_config_url: text("AutoConfigURL"),
                connection: self.bytes(&format!(r"{key}\Connections"), "DefaultConnectionSettings"),
            }
        }

        fn registry(&self) -> Registry {
            let policy = r"SOFTWARE\Policies\Microsoft\Windows\CurrentVersion\Internet Settings";
            let connections = r"LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Internet Settings\Connections";
            Registry {
                user: self.settings("HKEY_CURRENT_USER"),
                machine: self.settings("HKEY_LOCAL_MACHINE"),
                machine_wide: self.value(policy, "ProxySettingsPerUser").as_deref() == Some("dword:00000000"),
                winhttp: self.bytes(connections, "WinHttpSettings"),
            }
        }
    }

    fn shown(found: &Found) -> String {
        match &found.kind {
            Kind::Static { upstreams, no_proxy, short_names_direct } => {
                let upstreams: Vec<String> = upstreams.iter().map(ToString::to_string).collect();
                format!("{} | {no_proxy} | {short_names_direct}", upstreams.join(" "))
            }
            Kind::Pac(_) | Kind::AutoDetect | Kind::Direct => format!("{:?}", found.kind),
        }
    }

    #[test]
    fn the_settings_of_a_user_are_read_from_what_the_registry_exports() {
        for (file, source, kind) in [
            ("windows-manual.reg", WININET, "http://proxy.corp.example:8080 | *.corp.example, 10.0.0.0/8 | true"),
            ("windows-script.reg", WININET, r#"Pac("http://wpad.corp.example/proxy.pac")"#),
            ("windows-detect.reg", WININET, "AutoDetect"),
            ("windows-machine.reg", WININET, "http://machine.corp.example:3128 |  | false"),
            ("windows-winhttp.reg", WINHTTP, "http://services.corp.example:8080 | *.corp.example | true"),
        ] {
            let found = read(&Export::of(file).registry()).unwrap();
            assert_eq!((found.source.as_str(), shown(&found).as_str()), (source, kind), "{file}");
        }
    }

    #[test]
    fn a_fresh_windows_and_damaged_blobs_say_nothing() {
        assert_eq!(read(&Registry::default()), None);
        let blob = Export::of("windows-winhttp.reg").registry().winhttp;
        for cut in 0..blob.len() {
            let said = read(&Registry { winhttp: blob[..cut].to_vec(), ..Registry::default() });
            assert!(said.is_none(), "a blob of {cut} bytes has no end");
        }
        let disabled = InternetSettings { proxy_server: "h:1".into(), ..InternetSettings::default() };
        assert_eq!(read(&Registry { user: disabled, ..Registry::default() }), None);
    }

    #[test]
    fn a_server_may_be_given_for_each_scheme() {
        for (text, upstreams) in [
            ("proxy:8080", vec!["http://proxy:8080"]),
            ("http=a:1;https=b:2;ftp=c:3;socks=d:4", vec!["http://b:2"]),
            ("http=a:1;socks=d:4", vec!["http://a:1"]),
            ("HTTPS=b:2", vec!["http://b:2"]),
            ("socks=d:4", vec!["socks5://d:4"]),
            ("ftp=c:3", vec![]),
            ("http://a:1", vec!["http://a:1"]),
            ("https=https://b:2", vec!["https://b:2"]),
            ("a:1 b:2;c:3", vec!["http://a:1", "http://b:2", "http://c:3"]),
            ("proxy", vec!["http://proxy:80"]),
        ] {
            let mut notes = Vec::new();
            let found: Vec<String> = servers("x", text, &mut notes).iter().map(ToString::to_string).collect();
            assert_eq!((found, notes.len()), (upstreams.iter().map(ToString::to_string).collect(), 0), "{text}");
        }
    }
}
