//! Digest (RFC 7616), the verifying side: nonces with a limited number of uses, `qop=auth` only.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use md5::{Digest as _, Md5};
use sha2::Sha256;

use super::account::Accounts;
use super::body::hex;
use crate::auth::Challenge;

const REALM: &str = "practice";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestAlgorithm {
    Md5,
    Md5Sess,
    Sha256,
    Sha256Sess,
}

impl DigestAlgorithm {
    const ALL: [Self; 4] = [Self::Md5, Self::Md5Sess, Self::Sha256, Self::Sha256Sess];

    pub fn token(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
        }
    }

    fn named(token: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.token().eq_ignore_ascii_case(token))
    }

    fn is_session(self) -> bool {
        matches!(self, Self::Md5Sess | Self::Sha256Sess)
    }

    fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 | Self::Md5Sess => hex(&Md5::digest(text)),
            Self::Sha256 | Self::Sha256Sess => hex(&Sha256::digest(text)),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum DigestVerdict {
    Accept(String),
    Reject(String),
    /// The password is right, the nonce is not good any more.
    Stale,
}

/// The nonces of one server.
#[derive(Default)]
pub(super) struct DigestJudge {
    nonces: Mutex<HashMap<String, Nonce>>,
}

#[derive(Default)]
struct Nonce {
    uses: u32,
    highest_count: u32,
}

impl DigestJudge {
    /// One `Proxy-Authenticate` value with a nonce of its own.
    pub fn challenge(&self, algorithm: DigestAlgorithm, stale: bool) -> String {
        let mut random = [0; 16];
        // Without randomness the nonce is guessable, which a practice proxy can live with.
        let _ = getrandom::fill(&mut random);
        let nonce = hex(&random);
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner).insert(nonce.clone(), Nonce::default());
        let stale = if stale { ", stale=true" } else { "" };
        let algorithm = algorithm.token();
        format!(
            "Digest realm=\"{REALM}\", nonce=\"{nonce}\", qop=\"auth\", algorithm={algorithm}, charset=UTF-8{stale}"
        )
    }

    /// `target` is the request target exactly as it came.
    pub fn verify(
        &self,
        accounts: &Accounts,
        offered: &[DigestAlgorithm],
        nonce_uses: Option<u32>,
        (method, target): (&str, &str),
        credentials: &Challenge,
    ) -> DigestVerdict {
        match check_response(accounts, offered, (method, target), credentials) {
            Err(why) => DigestVerdict::Reject(why),
            Ok((name, nonce, count)) if self.use_nonce(&nonce, count, nonce_uses) => DigestVerdict::Accept(name),
            Ok(_) => DigestVerdict::Stale,
        }
    }

    /// As Squid does: a count that does not grow makes the nonce stale, not the password wrong.
    fn use_nonce(&self, nonce: &str, count: u32, limit: Option<u32>) -> bool {
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = nonces.get_mut(nonce) else { return false };
        if count <= known.highest_count || limit.is_some_and(|limit| known.uses >= limit) {
            nonces.remove(nonce);
            return false;
        }
        known.uses += 1;
        known.highest_count = count;
        true
    }
}

/// (account, nonce, nonce count) of a response that only the password's owner could compute.
fn check_response(
    accounts: &Accounts,
    offered: &[DigestAlgorithm],
    (method, target): (&str, &str),
    credentials: &Challenge,
) -> Result<(String, String, u32), String> {
    let param = |name: &str| credentials.param(name).ok_or_else(|| format!("no {name}"));
    let algorithm = DigestAlgorithm::named(credentials.param("algorithm").unwrap_or("MD5"))
        .filter(|algorithm| offered.contains(algorithm))
        .ok_or("an algorithm that was not offered")?;
    let (realm, nonce, cnonce, count) = (param("realm")?, param("nonce")?, param("cnonce")?, param("nc")?);
    if realm != REALM || param("qop")? != "auth" || cnonce.is_empty() {
        return Err("realm, qop or cnonce is not what was asked for".into());
    }
    let uri = param("uri")?;
    if !designates(uri, target) {
        return Err(format!("the uri is not the request target: {uri} for {target}"));
    }
    let count_value = u32::from_str_radix(count, 16).ok().filter(|_| count.len() == 8).ok_or("nc is not 8 digits")?;
    let user = user_name(credentials).ok_or("no username")?;
    let account = accounts.find_named(&user).ok_or_else(|| format!("no such account: {user}"))?;
    let secret = algorithm.hash(&format!("{user}:{realm}:{}", account.password.expose()));
    let secret = if algorithm.is_session() { algorithm.hash(&format!("{secret}:{nonce}:{cnonce}")) } else { secret };
    let request = algorithm.hash(&format!("{method}:{uri}"));
    let expected = algorithm.hash(&format!("{secret}:{nonce}:{count}:{cnonce}:auth:{request}"));
    if param("response")? != expected {
        return Err(format!("wrong password for {}", account.name()));
    }
    Ok((account.name(), nonce.to_string(), count_value))
}

/// The same resource (RFC 7616 §3.4.6): the target as it came or, as curl says it to proxies, its path and query.
fn designates(uri: &str, target: &str) -> bool {
    let path = target.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
    uri == target || path == Some(uri)
}

/// `username` or, for what ASCII cannot say, `username*` (RFC 8187).
fn user_name(credentials: &Challenge) -> Option<String> {
    if let Some(name) = credentials.param("username") {
        return Some(name.to_string());
    }
    let encoded = credentials.param("username*")?;
    let (charset, rest) = encoded.split_once('\'')?;
    let (_, value) = rest.split_once('\'')?;
    charset.eq_ignore_ascii_case("utf-8").then(|| percent_decode(value))?
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('%') {
        bytes.extend(plain.bytes());
        bytes.push(u8::from_str_radix(after.get(..2)?, 16).ok()?);
        rest = &after[2..];
    }
    bytes.extend(rest.bytes());
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_must_name_the_resource_that_is_asked_for() {
        assert!(designates("http://h/a?b", "http://h/a?b"));
        assert!(designates("/a?b", "http://h/a?b"));
        assert!(designates("h:443", "h:443"));
        for other in ["/a", "/", "a?b", "http://other/a?b", "", "*"] {
            assert!(!designates(other, "http://h/a?b"), "{other}");
        }
    }

    #[test]
    fn a_user_name_beyond_ascii_is_read_from_its_extended_form() {
        let line = "Digest username*=UTF-8''J%C3%A4s%C3%B8n%20Doe, realm=\"r\"";
        let credentials = crate::auth::challenge::parse_all([line.as_bytes()]).remove(0);
        assert_eq!(user_name(&credentials).as_deref(), Some("J\u{e4}s\u{f8}n Doe"));
        assert_eq!(percent_decode("%"), None);
        assert_eq!(percent_decode("%f"), None);
    }

    #[test]
    fn the_hash_is_that_of_the_specification_s_example() {
        // RFC 7616 §3.9.1.
        let hash = |text: &str| DigestAlgorithm::Sha256.hash(text);
        let secret = hash("Mufasa:http-auth@example.org:Circle of Life");
        let request = hash("GET:/dir/index.html");
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        assert_eq!(
            hash(&format!("{secret}:{nonce}:00000001:{cnonce}:auth:{request}")),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }
}
