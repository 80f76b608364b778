//! The tables `[upstreams.NAME]`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::mistake::Problem;
use super::reader::Reader;
use super::{Canonicalize, ClientCertificate, Credential, Upstream, keys, value};
use crate::address::{Endpoint, Host, Target};
use crate::auth::Scheme;

pub(super) const CANONICALIZE: [(&str, Canonicalize); 3] =
    [("never", Canonicalize::Never), ("always", Canonicalize::Always), ("fallback", Canonicalize::Fallback)];

/// Channel bindings are sent to TLS upstreams unless a balancer in front of them ends the TLS.
pub(super) const CHANNEL_BINDINGS: [(&str, bool); 2] = [("auto", true), ("off", false)];

const PEM_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

pub fn read(reader: &mut Reader<'_>, credentials: &[Arc<Credential>], listen: &[SocketAddr]) -> Vec<Upstream> {
    let names = reader.layer.names("upstreams");
    names.iter().filter_map(|name| upstream(reader, name, credentials, listen)).collect()
}

/// `None` where the mistake leaves nothing to dial.
fn upstream(
    reader: &mut Reader<'_>,
    name: &str,
    credentials: &[Arc<Credential>],
    listen: &[SocketAddr],
) -> Option<Upstream> {
    let at = |key| ["upstreams", name, key];
    if super::rules::WORDS.contains(&name) {
        let problem = Problem::new(format!("{name:?} means something else where rules name upstreams"));
        reader.wrong(&["upstreams", name], problem.hint("give it another name"));
    }
    // Everything is read before anything is given up, so that all mistakes are found.
    let endpoint = endpoint(reader, name, listen);
    let schemes = schemes(reader, name);
    let credential = credential(reader, name, credentials);
    let spn = reader.parsed(&at("spn"), spn);
    let canonicalize = reader.parsed(&at("canonicalize"), |text| value::choice(text, &CANONICALIZE));
    let channel_bindings = reader.parsed(&at("channel_bindings"), |text| value::choice(text, &CHANNEL_BINDINGS));
    let ca_file = certificate(reader, &at("ca_file"));
    let client = client(reader, name);
    let endpoint = endpoint?;
    check_tls(reader, name, &endpoint);
    check_basic(reader, name, &endpoint, &schemes);
    Some(Upstream {
        name: name.into(),
        endpoint,
        schemes,
        credential: credential?,
        spn,
        canonicalize: canonicalize.unwrap_or(Canonicalize::Never),
        channel_bindings: channel_bindings.unwrap_or(true),
        ca_file,
        client,
    })
}

/// The upstream of that name.
pub fn known<'a>(wanted: &str, upstreams: &'a [Upstream]) -> Result<&'a Upstream, Problem> {
    upstreams.iter().find(|upstream| upstream.name == wanted).ok_or_else(|| {
        let near = keys::nearest(wanted, upstreams.iter().map(|upstream| upstream.name.as_str()));
        let hint = near.map_or_else(|| format!("add [upstreams.{wanted}]"), |near| format!("did you mean {near}?"));
        Problem::new(format!("there is no upstream {wanted:?}")).hint(hint)
    })
}

fn endpoint(reader: &mut Reader<'_>, name: &str, listen: &[SocketAddr]) -> Option<Endpoint> {
    let path = ["upstreams", name, "url"];
    if !reader.has(&path) {
        reader.wrong(&path, Problem::new("the upstream has no url").hint("url = \"http://HOST:PORT\""));
        return None;
    }
    let endpoint = reader.parsed(&path, value::upstream)?;
    if listen.iter().any(|own| is_own(&endpoint.target, *own)) {
        let problem = Problem::new(format!("{} is hallpass itself", endpoint.target));
        reader.wrong(&path, problem.hint("name the corporate proxy, or listen on another port"));
    }
    Some(endpoint)
}

pub(super) fn is_own(target: &Target, own: SocketAddr) -> bool {
    target.port == own.port()
        && match &target.host {
            Host::Name(_) => target.host.is_local(),
            // Dialling the unspecified address reaches loopback.
            Host::Ip(ip) => *ip == own.ip().to_canonical() || ip.is_unspecified(),
        }
}

fn schemes(reader: &mut Reader<'_>, name: &str) -> Vec<Scheme> {
    let path = ["upstreams", name, "schemes"];
    let scheme = |text: &str| text.parse::<Scheme>().map_err(Problem::new);
    let Some(schemes) = reader.list(&path, scheme) else { return Scheme::DEFAULT.into() };
    if reader.items(&path).is_some_and(|items| items.is_empty()) {
        reader.wrong(&path, Problem::new("the list is empty").hint("leave the key out for the default"));
    }
    if schemes.iter().enumerate().any(|(at, scheme)| schemes[..at].contains(scheme)) {
        reader.wrong(&path, Problem::new("a scheme stands here twice"));
    }
    schemes
}

/// The one that is named, the only one there is, or the logged-in identity.
fn credential(reader: &mut Reader<'_>, name: &str, credentials: &[Arc<Credential>]) -> Option<Arc<Credential>> {
    let path = ["upstreams", name, "credential"];
    if !reader.has(&path) {
        return match credentials {
            [] => Some(Arc::new(Credential::logged_in())),
            [only] => Some(Arc::clone(only)),
            several => {
                let problem = Problem::new("which credential? There are several");
                reader.wrong(&path, problem.hint(format!("add credential = {:?}", several[0].name)));
                None
            }
        };
    }
    let wanted = reader.text(&path)?;
    let found = credentials.iter().find(|credential| credential.name == wanted);
    if found.is_none() {
        let near = keys::nearest(&wanted, credentials.iter().map(|credential| credential.name.as_str()));
        let hint = near.map_or_else(|| format!("add [credentials.{wanted}]"), |near| format!("did you mean {near}?"));
        reader.wrong(&path, Problem::new(format!("there is no credential {wanted:?}")).hint(hint));
    }
    found.cloned()
}

fn spn(text: &str) -> Result<String, Problem> {
    match text.split_once('/') {
        Some((service, host)) if !service.is_empty() && !host.is_empty() && !text.contains(char::is_whitespace) => {
            Ok(text.into())
        }
        _ => Err(Problem::new(format!("{text:?} is no service principal name")).hint("\"HTTP/proxy.corp.example\"")),
    }
}

fn certificate(reader: &mut Reader<'_>, key: &[&str]) -> Option<PathBuf> {
    let path = reader.path(key)?;
    match fs::read_to_string(&path) {
        Ok(text) if text.contains(PEM_CERTIFICATE) => {}
        Ok(_) => reader.wrong(key, no_pem(&path)),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => reader.wrong(key, no_pem(&path)),
        Err(error) => reader.wrong(key, Problem::new(format!("cannot read {}: {error}", path.display()))),
    }
    Some(path)
}

fn no_pem(path: &Path) -> Problem {
    Problem::new(format!("there is no certificate in {}", path.display()))
        .hint("PEM is wanted; openssl x509 -inform DER -in FILE makes it from DER")
}

/// Certificate and key belong together. The key is a secret: whether it is there is all that is looked at.
fn client(reader: &mut Reader<'_>, name: &str) -> Option<ClientCertificate> {
    let (certificate_key, key_key) = (["upstreams", name, "client_cert"], ["upstreams", name, "client_key"]);
    let found = certificate(reader, &certificate_key);
    let key = reader.path(&key_key);
    if let Some(key) = &key
        && let Err(error) = fs::metadata(key)
    {
        reader.wrong(&key_key, Problem::new(format!("cannot find {}: {error}", key.display())));
    }
    match (reader.has(&certificate_key), reader.has(&key_key)) {
        (true, false) => reader.wrong(&certificate_key, Problem::new("client_cert without client_key")),
        (false, true) => reader.wrong(&key_key, Problem::new("client_key without client_cert")),
        _ => {}
    }
    Some(ClientCertificate { certificate: found?, key: key? })
}

fn check_tls(reader: &mut Reader<'_>, name: &str, endpoint: &Endpoint) {
    if endpoint.is_tls() {
        return;
    }
    for key in ["ca_file", "client_cert"] {
        let path = ["upstreams", name, key];
        if reader.has(&path) {
            let problem = Problem::new(format!("{key} is for https:// upstreams")).hint("write https:// in url");
            reader.wrong(&path, problem);
        }
    }
}

/// Whoever names Basic may have it; that it stands in clear on the wire is not for everybody to know.
fn check_basic(reader: &mut Reader<'_>, name: &str, endpoint: &Endpoint, schemes: &[Scheme]) {
    if endpoint.is_tls() || endpoint.target.host.is_local() || !schemes.contains(&Scheme::Basic) {
        return;
    }
    let problem = Problem::new(format!("basic shows the password to everyone on the way to {endpoint}"));
    reader.warn(&["upstreams", name, "schemes"], problem.hint("an https:// upstream hides it; else leave basic out"));
}
