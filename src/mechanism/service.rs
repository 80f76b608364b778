//! The name under which a directory knows an upstream: `HTTP/proxy.corp.example`.

use std::str::FromStr;

use thiserror::Error;

use super::Outside;
use crate::address::{Endpoint, Host};

/// Whether the name in DNS that an upstream's name is an alias of takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Canonicalize {
    #[default]
    Never,
    Always,
    /// Only when the directory does not know the name as it is.
    Fallback,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not one of never, always, fallback: {0:?}")]
pub struct UnknownCanonicalize(pub String);

impl FromStr for Canonicalize {
    type Err = UnknownCanonicalize;

    fn from_str(text: &str) -> Result<Self, UnknownCanonicalize> {
        match text {
            "never" => Ok(Self::Never),
            "always" => Ok(Self::Always),
            "fallback" => Ok(Self::Fallback),
            _ => Err(UnknownCanonicalize(text.into())),
        }
    }
}

/// A service principal name, perhaps with a realm of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    principal: String,
    realm: Option<String>,
}

impl Service {
    fn parse(spn: &str) -> Self {
        match spn.rsplit_once('@') {
            Some((principal, realm)) => Self { principal: principal.into(), realm: Some(realm.into()) },
            None => Self { principal: spn.into(), realm: None },
        }
    }

    fn of_host(host: &str) -> Self {
        Self { principal: format!("HTTP/{host}"), realm: None }
    }

    pub(super) fn principal(&self) -> &str {
        &self.principal
    }

    /// What stands after the service's class.
    pub(super) fn host(&self) -> &str {
        self.principal.split_once('/').map_or("", |(_, host)| host)
    }

    /// Given in the configuration.
    pub(super) fn realm(&self) -> Option<&str> {
        self.realm.as_deref()
    }
}

/// In the order in which the directory is asked. An address is no name that a directory knows.
pub(super) fn candidates(
    upstream: &Endpoint,
    spn: Option<&str>,
    canonicalize: Canonicalize,
    outside: &Outside,
) -> Result<Vec<Service>, String> {
    if let Some(spn) = spn {
        return Ok(vec![Service::parse(spn)]);
    }
    let Host::Name(name) = &upstream.target.host else {
        return Err(format!("{} is an address, and Kerberos needs a name: set `spn`", upstream.target.host));
    };
    let canonical = || (outside.canonical_name)(name).filter(|canonical| canonical != name);
    let written = Service::of_host(name);
    Ok(match canonicalize {
        Canonicalize::Never => vec![written],
        Canonicalize::Always => vec![canonical().map_or(written, |name| Service::of_host(&name))],
        Canonicalize::Fallback => {
            std::iter::once(written).chain(canonical().map(|name| Service::of_host(&name))).collect()
        }
    })
}

/// What NTLM tells a server about whom it meant: there, an address will do.
pub(super) fn for_ntlm(upstream: &Endpoint, spn: Option<&str>) -> String {
    spn.map_or_else(|| Service::of_host(&upstream.target.host.to_string()), Service::parse).principal
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::address::{Protocol, Target};

    fn upstream(target: &str) -> Endpoint {
        Endpoint { target: Target::parse(target, None).unwrap(), protocol: Protocol::Http }
    }

    fn aliased() -> Outside {
        Outside { canonical_name: Arc::new(|_| Some("lb7.corp.example".into())), ..Outside::none() }
    }

    #[test]
    fn names_are_asked_for_in_order() {
        use Canonicalize::{Always, Fallback, Never};
        for (spn, canonicalize, expected) in [
            (None, Never, &["HTTP/proxy.corp.example"][..]),
            (None, Always, &["HTTP/lb7.corp.example"]),
            (None, Fallback, &["HTTP/proxy.corp.example", "HTTP/lb7.corp.example"]),
            (Some("HTTP/other"), Always, &["HTTP/other"]),
        ] {
            let found = candidates(&upstream("proxy.corp.example:8080"), spn, canonicalize, &aliased()).unwrap();
            assert_eq!(found.iter().map(Service::principal).collect::<Vec<_>>(), expected, "{canonicalize:?}");
        }
    }

    #[test]
    fn an_address_needs_a_name_beside_it() {
        let upstream = upstream("10.0.0.1:8080");
        assert!(candidates(&upstream, None, Canonicalize::Never, &aliased()).unwrap_err().contains("set `spn`"));
        let named = candidates(&upstream, Some("HTTP/proxy@CORP.EXAMPLE"), Canonicalize::Never, &aliased()).unwrap();
        assert_eq!((named[0].principal(), named[0].realm()), ("HTTP/proxy", Some("CORP.EXAMPLE")));
        assert_eq!(for_ntlm(&upstream, None), "HTTP/10.0.0.1");
    }
}
