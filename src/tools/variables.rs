//! The environment variables by which programs find their proxy.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

/// What no program needs to ask a relay on its own machine for.
const LOOPBACK: &str = "localhost,127.0.0.1,::1";

/// What a program is to know.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub relay: SocketAddr,
    /// The exceptions that are there already, in any dialect; loopback joins them.
    pub no_proxy: Option<&'a str>,
    /// Certificates to be trusted as well, as PEM.
    pub ca_file: Option<&'a Path>,
}

/// Names and values, each in both cases where programs differ: curl reads `http_proxy` only in lower case, others
/// only look for upper case.
pub fn variables(wanted: &Wanted) -> Vec<(&'static str, OsString)> {
    let url = format!("http://{}", wanted.relay);
    let no_proxy = match wanted.no_proxy.map(str::trim).filter(|list| !list.is_empty()) {
        Some(list) => format!("{list},{LOOPBACK}"),
        None => LOOPBACK.into(),
    };
    let mut variables: Vec<(&'static str, OsString)> =
        ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"].map(|name| (name, url.clone().into())).into();
    variables.extend(["NO_PROXY", "no_proxy"].map(|name| (name, no_proxy.clone().into())));
    // Node's own fetch and http look at the others only then.
    variables.push(("NODE_USE_ENV_PROXY", "1".into()));
    if let Some(file) = wanted.ca_file {
        variables.push(("NODE_EXTRA_CA_CERTS", file.into()));
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_cases_say_the_same_and_loopback_is_no_matter_for_the_relay() {
        let relay = SocketAddr::from(([127, 0, 0, 1], 3128));
        let found = variables(&Wanted { relay, no_proxy: Some("corp.example "), ca_file: Some(Path::new("/ca.pem")) });
        let value =
            |name: &str| found.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()).unwrap();
        for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"] {
            assert_eq!(value(name), "http://127.0.0.1:3128", "{name}");
        }
        assert_eq!(value("NO_PROXY"), "corp.example,localhost,127.0.0.1,::1");
        assert_eq!(value("no_proxy"), value("NO_PROXY"));
        assert_eq!((value("NODE_USE_ENV_PROXY"), value("NODE_EXTRA_CA_CERTS")), ("1".into(), "/ca.pem".into()));
    }
}
