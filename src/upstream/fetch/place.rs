//! Where a text is fetched from: an `http://` or `https://` URL, and what a redirect makes of it.

use super::FetchError;
use crate::address::Target;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub is_tls: bool,
    pub target: Target,
    /// `host[:port]` as it belongs into `Host`.
    pub authority: String,
    /// From the first `/` on.
    pub path: String,
}

impl Place {
    pub fn parse(url: &str) -> Result<Self, FetchError> {
        let bad = || FetchError::Url(without_path(url));
        let url = url.split('#').next().unwrap_or_default();
        if url.bytes().any(|byte| byte.is_ascii_control() || byte == b' ') {
            return Err(bad());
        }
        let (scheme, rest) = url.split_once("://").ok_or_else(bad)?;
        let (is_tls, port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (false, 80),
            "https" => (true, 443),
            _ => return Err(bad()),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let target = Target::parse(authority, Some(port)).map_err(|_| bad())?;
        let authority = if target.port == port { target.host.to_string() } else { target.to_string() };
        let path = if path.starts_with('/') { path.to_string() } else { format!("/{path}") };
        Ok(Self { is_tls, target, authority, path })
    }

    /// Never from TLS to plain text.
    pub fn redirected(&self, location: &str) -> Result<Self, FetchError> {
        let bad = || FetchError::Redirect(without_path(location));
        let scheme = if self.is_tls { "https" } else { "http" };
        let base = format!("{scheme}://{}", self.authority);
        let url = match location {
            _ if location.contains("://") && !location.starts_with(['/', '?']) => location.to_string(),
            _ if location.starts_with("//") => format!("{scheme}:{location}"),
            _ if location.starts_with('/') => format!("{base}{location}"),
            _ => {
                let path = self.path.split('?').next().unwrap_or_default();
                let end = if location.starts_with('?') { path.len() } else { path.rfind('/').map_or(0, |at| at + 1) };
                format!("{base}{}{location}", &path[..end])
            }
        };
        let next = Self::parse(&url).map_err(|_| bad())?;
        if self.is_tls && !next.is_tls { Err(bad()) } else { Ok(next) }
    }
}

/// A path, a query or a user may be what others must not see: scheme and host alone are told.
fn without_path(url: &str) -> String {
    let (scheme, rest) = url.split_once("//").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if scheme.is_empty() { host.into() } else { format!("{scheme}//{host}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(place: &Place) -> String {
        format!("{} {} {}", if place.is_tls { "tls" } else { "plain" }, place.target, place.path)
    }

    #[test]
    fn a_url_is_read_and_everything_else_refused() {
        for (url, place) in [
            ("http://wpad/proxy.pac", "plain wpad:80 /proxy.pac"),
            ("HTTPS://Wpad.Corp.Example?u=1#x", "tls wpad.corp.example:443 /?u=1"),
            ("http://[2001:db8::1]:8080", "plain [2001:db8::1]:8080 /"),
        ] {
            assert_eq!(shown(&Place::parse(url).unwrap()), place);
        }
        for url in [
            "",
            "wpad/proxy.pac",
            "ftp://wpad/p",
            "file:///p",
            "http://",
            "http://u:p@h/",
            "http://h/a b",
            "http://h/\r\nX: y",
        ] {
            assert!(matches!(Place::parse(url), Err(FetchError::Url(_))), "{url:?}");
        }
    }

    #[test]
    fn a_redirect_leads_where_it_says_but_not_out_of_tls() {
        let plain = Place::parse("http://a.test:81/d/p.pac?q").unwrap();
        let tls = Place::parse("https://a.test/d/p.pac").unwrap();
        for (from, location, place) in [
            (&plain, "/x.pac", "plain a.test:81 /x.pac"),
            (&plain, "x.pac", "plain a.test:81 /d/x.pac"),
            (&plain, "?r=/://", "plain a.test:81 /d/p.pac?r=/://"),
            (&plain, "//b.test/x", "plain b.test:80 /x"),
            (&plain, "https://b.test/x", "tls b.test:443 /x"),
            (&tls, "//b.test/x", "tls b.test:443 /x"),
        ] {
            assert_eq!(shown(&from.redirected(location).unwrap()), place);
        }
        for location in ["http://a.test/x", "ftp://a.test/x", "https://", "https://u@h/"] {
            assert!(matches!(tls.redirected(location), Err(FetchError::Redirect(_))), "{location}");
        }
        let refused = [
            Place::parse("ftp://host.test/?secret").unwrap_err(),
            tls.redirected("http://secret@host.test/secret/login#secret").unwrap_err(),
            tls.redirected("//secret:secret@host.test/secret").unwrap_err(),
        ];
        for refused in refused.map(|error| error.to_string()) {
            assert!(refused.contains("host.test") && !refused.contains("secret"), "{refused}");
        }
    }
}
