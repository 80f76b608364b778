//! Absolute-form targets (RFC 9112 §3.2.2): where they lead and how an origin wants them.

use thiserror::Error;

use crate::address::{AddressError, Target};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub scheme: String,
    pub target: Target,
    /// `host[:port]` as it belongs into `Host`.
    pub authority: String,
    /// From the first `/` or `?` on; at least `/`.
    pub path: String,
    /// There was neither path nor question, which OPTIONS means the whole server by.
    pub is_bare: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UrlError {
    #[error("the request target is not a URL")]
    NotAbsolute,
    #[error("a URL in a request has no fragment")]
    Fragment,
    #[error("the scheme {0} has no port that we know")]
    UnknownScheme(String),
    #[error(transparent)]
    Address(#[from] AddressError),
}

impl Url {
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::NotAbsolute)?;
        if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) {
            return Err(UrlError::NotAbsolute);
        }
        if rest.contains('#') {
            return Err(UrlError::Fragment);
        }
        let scheme = scheme.to_ascii_lowercase();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let target = Target::parse(authority, default_port(&scheme)).map_err(|error| {
            if error == AddressError::NoPort { UrlError::UnknownScheme(scheme.clone()) } else { error.into() }
        })?;
        let authority =
            if Some(target.port) == default_port(&scheme) { target.host.to_string() } else { target.to_string() };
        let is_bare = path.is_empty();
        let path = if path.starts_with('/') { path.to_string() } else { format!("/{path}") };
        Ok(Self { scheme, target, authority, path, is_bare })
    }

    /// As a proxy wants it. Written anew, so that every reader sees one host.
    pub fn absolute(&self) -> String {
        [&self.scheme, "://", &self.authority, &self.path].concat()
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        "ftp" => Some(21),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lead_to_one_host_and_are_written_anew() {
        for (text, target, absolute) in [
            ("http://Example.com", "example.com:80", "http://example.com/"),
            ("HTTP://example.com:80/a?b", "example.com:80", "http://example.com/a?b"),
            ("http://example.com:8080?q=/x", "example.com:8080", "http://example.com:8080/?q=/x"),
            ("http://[::1]:81/", "[::1]:81", "http://[::1]:81/"),
            ("ftp://h/f", "h:21", "ftp://h/f"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.target.to_string().as_str(), url.absolute().as_str()), (target, absolute), "{text}");
        }
    }

    #[test]
    fn what_leads_nowhere_or_hides_a_secret_is_refused() {
        for text in [
            "h/p",
            "http://",
            "http:///p",
            "://h",
            "http://u:p@h/",
            "http://h:0/",
            "gopher://h/",
            "http://h/#f",
            "http://h:x/",
            "http://h\\@i/",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }
}
