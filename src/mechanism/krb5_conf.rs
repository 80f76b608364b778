//! What `krb5.conf` says about realms, their hosts and their KDCs. All else is the Kerberos library's business.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::address::Target;

const KERBEROS_PORT: u16 = 88;
/// Files that include files.
const MAX_DEPTH: usize = 5;
const DEFAULT_FILE: &str = "/etc/krb5.conf";

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Krb5Conf {
    /// `dns_lookup_kdc`: DNS may be asked unless the file forbids it.
    lookup: Option<bool>,
    domain_realm: Vec<(String, String)>,
    kdcs: Vec<(String, String)>,
}

impl Krb5Conf {
    /// From the files that `KRB5_CONFIG` names. What cannot be read says nothing.
    pub(super) fn load() -> Self {
        let files = env::var_os("KRB5_CONFIG").unwrap_or_else(|| DEFAULT_FILE.into());
        let mut conf = Self::default();
        for file in env::split_paths(&files) {
            conf.read_file(&file, MAX_DEPTH);
        }
        conf
    }

    /// In the order of the file. Those behind a KDC proxy (`https://…`) are passed over.
    pub(super) fn kdcs(&self, realm: &str) -> Vec<Target> {
        let of_realm = self.kdcs.iter().filter(|(name, _)| name == realm);
        of_realm.filter_map(|(_, place)| parse_kdc(place)).collect()
    }

    pub(super) fn may_ask_dns(&self) -> bool {
        self.lookup.unwrap_or(true)
    }

    /// `[domain_realm]`: the host itself, else its nearest domain, with or without the leading dot.
    pub(super) fn realm_of_host(&self, host: &str) -> Option<String> {
        let host = host.to_ascii_lowercase();
        let found = |name: &str| self.domain_realm.iter().find(|(domain, _)| domain == name);
        let domains = host.match_indices('.').map(|(dot, _)| &host[dot..]);
        let nearest = domains.filter_map(|domain| found(domain).or_else(|| found(&domain[1..])));
        found(&host).into_iter().chain(nearest).map(|(_, realm)| realm.clone()).next()
    }

    fn read_file(&mut self, file: &Path, depth: usize) {
        if let Ok(text) = fs::read_to_string(file) {
            self.read(&text, depth);
        }
    }

    /// The profile format: `[section]`, `name = value`, `name = {` … `}`.
    fn read(&mut self, text: &str, depth: usize) {
        let mut section = String::new();
        let mut group: Option<String> = None;
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[') {
                section = name.split(']').next().unwrap_or_default().trim().into();
                group = None;
            } else if line.starts_with('}') {
                group = None;
            } else if let Some((name, value)) = line.split_once('=') {
                match value.trim() {
                    "{" => group = Some(name.trim().into()),
                    value => self.take(&section, group.as_deref(), name.trim(), unquoted(value)),
                }
            } else if depth > 0 {
                included(line).iter().for_each(|file| self.read_file(file, depth - 1));
            }
        }
    }

    /// The first value of a relation counts, as in the library.
    fn take(&mut self, section: &str, group: Option<&str>, name: &str, value: &str) {
        match (section, group, name) {
            ("libdefaults", None, "dns_lookup_kdc") if self.lookup.is_none() => {
                self.lookup = Some(!["n", "no", "false", "f", "nil", "0", "off"].contains(&value));
            }
            ("domain_realm", None, domain) => self.domain_realm.push((domain.to_ascii_lowercase(), value.into())),
            ("realms", Some(realm), "kdc") => self.kdcs.push((realm.into(), value.into())),
            _ => {}
        }
    }
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

/// `include FILE`, `includedir DIRECTORY`: there only names of letters, digits, `-` and `_`, or ending in `.conf`.
fn included(line: &str) -> Vec<PathBuf> {
    match line.split_once(char::is_whitespace) {
        Some(("include", file)) => vec![file.trim().into()],
        Some(("includedir", directory)) => {
            let plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
            let wanted = |name: &str| !name.starts_with('.') && (name.ends_with(".conf") || plain(name));
            let entries = fs::read_dir(directory.trim()).into_iter().flatten().flatten();
            let mut files: Vec<_> = entries
                .filter(|entry| entry.file_name().to_str().is_some_and(wanted))
                .map(|entry| entry.path())
                .collect();
            files.sort();
            files
        }
        Some(_) | None => Vec::new(),
    }
}

/// `host`, `host:port`, `tcp/host:port`.
fn parse_kdc(place: &str) -> Option<Target> {
    let place = place.strip_prefix("tcp/").or_else(|| place.strip_prefix("tcp://")).unwrap_or(place);
    Target::parse(place, Some(KERBEROS_PORT)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "
# a comment
[libdefaults]
  default_realm = CORP.EXAMPLE
  dns_lookup_kdc = false
[realms]
  CORP.EXAMPLE = {
    kdc = dc1.corp.example
    kdc = tcp/dc2.corp.example:8088
    kdc = https://gateway.corp.example/KdcProxy
    admin_server = dc1.corp.example
  }
  OTHER.EXAMPLE = {
    kdc = \"[2001:db8::1]:88\"
  }
[domain_realm]
  .corp.example = CORP.EXAMPLE
  .Sub.corp.example = SUB.EXAMPLE
  proxy.corp.example = OTHER.EXAMPLE
  plain.example = PLAIN.EXAMPLE
";

    fn shown(conf: &Krb5Conf, realm: &str) -> Vec<String> {
        conf.kdcs(realm).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn realms_and_their_kdcs_are_found() {
        let mut conf = Krb5Conf::default();
        conf.read(EXAMPLE, 0);
        assert!(!conf.may_ask_dns() && Krb5Conf::default().may_ask_dns());
        assert_eq!(shown(&conf, "CORP.EXAMPLE"), ["dc1.corp.example:88", "dc2.corp.example:8088"]);
        assert_eq!(shown(&conf, "OTHER.EXAMPLE"), ["[2001:db8::1]:88"]);
        assert!(shown(&conf, "THIRD.EXAMPLE").is_empty());
    }

    #[test]
    fn a_host_belongs_to_the_realm_of_its_nearest_domain() {
        let mut conf = Krb5Conf::default();
        conf.read(EXAMPLE, 0);
        for (host, realm) in [
            ("www.corp.example", Some("CORP.EXAMPLE")),
            ("a.b.corp.example", Some("CORP.EXAMPLE")),
            ("a.sub.corp.example", Some("SUB.EXAMPLE")),
            ("Proxy.corp.example", Some("OTHER.EXAMPLE")),
            ("corp.example", None),
            ("plain.example", Some("PLAIN.EXAMPLE")),
            ("www.plain.example", Some("PLAIN.EXAMPLE")),
            ("example", None),
            ("", None),
        ] {
            assert_eq!(conf.realm_of_host(host).as_deref(), realm, "{host}");
        }
    }

    #[test]
    fn any_prefix_is_read_without_panic() {
        for end in 0..EXAMPLE.len() {
            Krb5Conf::default().read(&EXAMPLE[..end], 0);
        }
        Krb5Conf::default().read("[\n]\n}\n=\n={\ninclude\nincludedir /nowhere", 1);
    }
}
