//! Digest (RFC 7616), and RFC 2069 where a challenge has no `qop`. Randomness comes from outside.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use md5::Md5;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{Challenge, Leg, Mechanism, MechanismError, RequestLine, Scheme};
use crate::secret::{Credentials, Secret};

/// Gives a client nonce that nobody can foresee: printable, without quotes.
pub type ClientNonce = Arc<dyn Fn() -> String + Send + Sync>;

/// What one account has learnt from one upstream. Clones share it: a nonce is good for every connection,
/// and its count must never be used twice.
#[derive(Clone)]
pub struct Session {
    current: Arc<Mutex<Option<Nonce>>>,
    client_nonce: ClientNonce,
}

impl Session {
    pub fn new(client_nonce: ClientNonce) -> Self {
        Self { current: Arc::default(), client_nonce }
    }
}

pub struct Digest {
    user: String,
    password: Secret,
    session: Session,
}

impl Digest {
    pub fn new(user: &str, password: Secret, session: Session) -> Result<Self, MechanismError> {
        if user.chars().any(char::is_control) {
            return Err(MechanismError::Unavailable("Digest cannot carry a user name with a control character".into()));
        }
        Ok(Self { user: user.into(), password, session })
    }
}

impl Mechanism for Digest {
    fn step(&mut self, request: &RequestLine, challenge: Option<&Challenge>) -> Result<Leg, MechanismError> {
        let mut current = self.session.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(challenge) = challenge {
            let offer = Offer::read(challenge)?;
            // Another connection may have taken this nonce into use; its count goes on.
            if current.as_ref().is_none_or(|nonce| nonce.offer != offer) {
                *current = Some(Nonce { offer, client_nonce: (self.session.client_nonce)(), count: 0 });
            }
        }
        let Some(nonce) = current.as_mut() else {
            return Err(MechanismError::Unavailable("the upstream has not given a Digest nonce yet".into()));
        };
        nonce.count = nonce.count.wrapping_add(1);
        let mut value = nonce.answer(&self.user, &self.password, request);
        Ok(Leg { credentials: Credentials::new(std::mem::take(&mut *value)), proves_secret: true })
    }
}

/// Of several Digest challenges in one response the strongest that we can answer; else the first, whose
/// error then says what is missing.
pub fn strongest<'a>(challenges: impl IntoIterator<Item = &'a Challenge>) -> Option<&'a Challenge> {
    let mut best: Option<(Option<Algorithm>, &Challenge)> = None;
    for challenge in challenges.into_iter().filter(|challenge| challenge.is(Scheme::Digest)) {
        let strength = Offer::read(challenge).ok().map(|offer| offer.algorithm);
        if best.is_none_or(|(so_far, _)| strength > so_far) {
            best = Some((strength, challenge));
        }
    }
    best.map(|(_, challenge)| challenge)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Algorithm {
    Md5,
    Md5Session,
    Sha256,
    Sha256Session,
}

impl Algorithm {
    fn read(name: &str) -> Option<Self> {
        [Self::Md5, Self::Md5Session, Self::Sha256, Self::Sha256Session]
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Session => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Session => "SHA-256-sess",
        }
    }

    fn of_session(self) -> bool {
        matches!(self, Self::Md5Session | Self::Sha256Session)
    }

    fn hash(self, parts: &[&str]) -> Zeroizing<String> {
        let text = Zeroizing::new(parts.join(":"));
        match self {
            Self::Md5 | Self::Md5Session => hex(&Md5::digest(text.as_bytes())),
            Self::Sha256 | Self::Sha256Session => hex(&Sha256::digest(text.as_bytes())),
        }
    }
}

fn hex(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2));
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A challenge that we can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Offer {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// Absent in RFC 2069 challenges; then an echoed `algorithm` may confuse the server too.
    names_algorithm: bool,
    qop: bool,
    utf_8: bool,
    hashed_user: bool,
}

impl Offer {
    fn read(challenge: &Challenge) -> Result<Self, MechanismError> {
        let given = |name: &str| challenge.param(name).map(|value| exact(name, value)).transpose();
        let need = |name: &str| {
            given(name)?.ok_or_else(|| MechanismError::BadChallenge(format!("the Digest challenge has no {name}")))
        };
        let algorithm = challenge.param("algorithm");
        let is = |name: &str, value: &str| challenge.param(name).is_some_and(|v| v.eq_ignore_ascii_case(value));
        Ok(Self {
            realm: need("realm")?,
            nonce: need("nonce")?,
            opaque: given("opaque")?,
            algorithm: Algorithm::read(algorithm.unwrap_or("MD5")).ok_or_else(|| {
                let why = format!("no such Digest algorithm here: {}", algorithm.unwrap_or(""));
                MechanismError::Unavailable(why.into())
            })?,
            names_algorithm: algorithm.is_some(),
            qop: read_qop(challenge.param("qop"))?,
            utf_8: is("charset", "UTF-8"),
            hashed_user: is("userhash", "true"),
        })
    }
}

/// What goes back must be what came, or the upstream takes the password for wrong: what is not UTF-8 was lost in reading.
fn exact(name: &str, value: &str) -> Result<String, MechanismError> {
    match value.contains(char::REPLACEMENT_CHARACTER) {
        true => Err(MechanismError::Unavailable(format!("the {name} of the Digest challenge is not UTF-8").into())),
        false => Ok(value.into()),
    }
}

fn read_qop(list: Option<&str>) -> Result<bool, MechanismError> {
    match list.map(str::trim) {
        None | Some("") => Ok(false),
        Some(list) if list.split(',').any(|qop| qop.trim().eq_ignore_ascii_case("auth")) => Ok(true),
        Some(list) => {
            let why = format!("the upstream wants Digest with qop={list}; only qop=auth leaves bodies alone");
            Err(MechanismError::Unavailable(why.into()))
        }
    }
}

struct Nonce {
    offer: Offer,
    /// One for the life of the nonce: `-sess` keys are bound to the first (RFC 7616 §3.4.2), and `count` varies.
    client_nonce: String,
    count: u32,
}

impl Nonce {
    fn answer(&self, user: &str, password: &Secret, request: &RequestLine) -> Zeroizing<String> {
        let offer = &self.offer;
        let count = format!("{:08x}", self.count);
        let response = self.response(user, password, request, &count);
        let mut value = Zeroizing::new(format!("Digest {}", user_field(user, offer)));
        let mut add = |field: &str| {
            value.push_str(", ");
            value.push_str(field);
        };
        add(&format!("realm={}", quoted(&offer.realm)));
        add(&format!("nonce={}", quoted(&offer.nonce)));
        add(&format!("uri={}", quoted(&request.uri)));
        if offer.names_algorithm {
            add(&format!("algorithm={}", offer.algorithm.name()));
        }
        if offer.qop || offer.algorithm.of_session() {
            add(&format!("cnonce={}", quoted(&self.client_nonce)));
        }
        if offer.qop {
            add(&format!("nc={count}"));
            add("qop=auth");
        }
        add(&format!("response=\"{}\"", *response));
        if let Some(opaque) = &offer.opaque {
            add(&format!("opaque={}", quoted(opaque)));
        }
        if offer.hashed_user {
            add("userhash=true");
        }
        value
    }

    /// RFC 7616 §3.4.1–3.4.3.
    fn response(&self, user: &str, password: &Secret, request: &RequestLine, count: &str) -> Zeroizing<String> {
        let Offer { realm, nonce, algorithm, qop, .. } = &self.offer;
        let mut key = algorithm.hash(&[user, realm, password.expose()]);
        if algorithm.of_session() {
            key = algorithm.hash(&[&key, nonce, &self.client_nonce]);
        }
        let asked = algorithm.hash(&[&request.method, &request.uri]);
        if *qop {
            algorithm.hash(&[&key, nonce, count, &self.client_nonce, "auth", &asked])
        } else {
            algorithm.hash(&[&key, nonce, &asked])
        }
    }
}

/// RFC 7616 §3.4: hashed, or `username*` (RFC 8187) where quotes cannot hold it and the server knows UTF-8.
fn user_field(user: &str, offer: &Offer) -> String {
    if offer.hashed_user {
        return format!("username=\"{}\"", *offer.algorithm.hash(&[user, &offer.realm]));
    }
    if user.is_ascii() || !offer.utf_8 {
        return format!("username={}", quoted(user));
    }
    let mut field = String::from("username*=UTF-8''");
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            field.push(char::from(byte));
        } else {
            let _ = write!(field, "%{byte:02X}");
        }
    }
    field
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::challenge::parse_all;

    fn challenge(text: &str) -> Challenge {
        parse_all([text.as_bytes()]).remove(0)
    }

    fn request(method: &str, uri: &str) -> RequestLine {
        RequestLine { method: method.into(), uri: uri.into() }
    }

    fn session(client_nonce: &'static str) -> Session {
        Session::new(Arc::new(move || client_nonce.to_string()))
    }

    fn field(leg: &Leg, name: &str) -> Option<String> {
        let text = String::from_utf8(leg.credentials.expose().to_vec()).unwrap();
        challenge(&text).param(name).map(Into::into)
    }

    fn answer(user: &str, password: &str, offered: &str, client_nonce: &'static str, request: &RequestLine) -> Leg {
        let mut digest = Digest::new(user, Secret::new(password), session(client_nonce)).unwrap();
        digest.step(request, Some(&challenge(offered))).unwrap()
    }

    const EXAMPLE: &str = "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", \
         nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
         opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
    const EXAMPLE_CLIENT_NONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

    #[test]
    fn the_examples_of_the_rfc_come_out() {
        // RFC 7616 §3.9.1.
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let leg = answer(
                "Mufasa",
                "Circle of Life",
                &format!("{EXAMPLE}, algorithm={algorithm}"),
                EXAMPLE_CLIENT_NONCE,
                &request("GET", "/dir/index.html"),
            );
            assert_eq!(field(&leg, "response").as_deref(), Some(response));
            assert_eq!(field(&leg, "nc").as_deref(), Some("00000001"));
            assert_eq!(field(&leg, "algorithm").as_deref(), Some(algorithm));
            assert!(leg.proves_secret);
        }
    }

    #[test]
    fn the_example_of_the_older_rfc_comes_out() {
        // RFC 2617 §3.5.
        let leg = answer(
            "Mufasa",
            "Circle Of Life",
            "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
            "0a4f113b",
            &request("GET", "/dir/index.html"),
        );
        assert_eq!(field(&leg, "response").as_deref(), Some("6629fae49393a05397450978507c4ef1"));
        assert_eq!(field(&leg, "algorithm"), None);
    }

    #[test]
    fn a_challenge_without_qop_is_answered_as_rfc_2069_says() {
        let leg = answer("u", "p", "Digest realm=\"r\", nonce=\"n\"", "c", &request("GET", "/"));
        let (key, asked) = (hex(&Md5::digest("u:r:p")), hex(&Md5::digest("GET:/")));
        assert_eq!(field(&leg, "response").as_deref(), Some(&**hex(&Md5::digest(format!("{}:n:{}", *key, *asked)))));
        for absent in ["qop", "nc", "cnonce", "algorithm", "opaque"] {
            assert_eq!(field(&leg, absent), None, "{absent}");
        }
    }

    #[test]
    fn a_session_key_is_bound_to_the_first_client_nonce() {
        for (name, algorithm) in [("MD5-sess", Algorithm::Md5Session), ("SHA-256-sess", Algorithm::Sha256Session)] {
            let offered = format!("Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm={name}");
            let mut digest = Digest::new("u", Secret::new("p"), session("c")).unwrap();
            digest.step(&request("GET", "/"), Some(&challenge(&offered))).unwrap();
            let leg = digest.step(&request("GET", "/"), None).unwrap();
            let key = algorithm.hash(&[&algorithm.hash(&["u", "r", "p"]), "n", "c"]);
            let expected = algorithm.hash(&[&key, "n", "00000002", "c", "auth", &algorithm.hash(&["GET", "/"])]);
            assert_eq!(field(&leg, "response").as_deref(), Some(expected.as_str()), "{name}");
        }
    }

    #[test]
    fn all_connections_of_one_session_count_on_from_each_other() {
        let session = session("c");
        let mut first = Digest::new("u", Secret::new("p"), session.clone()).unwrap();
        let mut second = Digest::new("u", Secret::new("p"), session).unwrap();
        let asked = request("CONNECT", "h:443");
        assert!(matches!(second.step(&asked, None), Err(MechanismError::Unavailable(_))));
        let offered = challenge("Digest realm=\"r\", nonce=\"n1\", qop=\"auth\"");
        let mut counts = vec![first.step(&asked, Some(&offered)).unwrap()];
        counts.push(second.step(&asked, None).unwrap());
        counts.push(second.step(&asked, Some(&offered)).unwrap());
        counts.push(first.step(&asked, None).unwrap());
        let counts: Vec<_> = counts.iter().filter_map(|leg| field(leg, "nc")).collect();
        assert_eq!(counts, ["00000001", "00000002", "00000003", "00000004"]);
    }

    #[test]
    fn a_stale_nonce_is_replaced_for_every_connection() {
        let session = session("c");
        let mut first = Digest::new("u", Secret::new("p"), session.clone()).unwrap();
        let mut second = Digest::new("u", Secret::new("p"), session).unwrap();
        let asked = request("CONNECT", "h:443");
        first.step(&asked, Some(&challenge("Digest realm=\"r\", nonce=\"n1\", qop=\"auth\""))).unwrap();
        first.step(&asked, Some(&challenge("Digest realm=\"r\", nonce=\"n2\", qop=\"auth\", stale=true"))).unwrap();
        let leg = second.step(&asked, None).unwrap();
        assert_eq!((field(&leg, "nonce").as_deref(), field(&leg, "nc").as_deref()), (Some("n2"), Some("00000002")));
    }

    #[test]
    fn a_repeated_stale_challenge_does_not_start_the_count_anew() {
        let mut digest = Digest::new("u", Secret::new("p"), session("c")).unwrap();
        let asked = request("CONNECT", "h:443");
        let stale = challenge("Digest realm=\"r\", nonce=\"n\", qop=\"auth\", stale=true");
        digest.step(&asked, Some(&stale)).unwrap();
        let leg = digest.step(&asked, Some(&stale)).unwrap();
        assert_eq!(field(&leg, "nc").as_deref(), Some("00000002"));
    }

    #[test]
    fn what_stands_in_quotes_is_escaped_and_hashed_as_it_is() {
        let leg = answer("a\"b\\c", "p", "Digest realm=\"q\\\"r\", nonce=\"n\"", "c", &request("GET", "/"));
        let text = String::from_utf8(leg.credentials.expose().to_vec()).unwrap();
        assert!(text.starts_with("Digest username=\"a\\\"b\\\\c\", realm=\"q\\\"r\", "), "{text}");
        let (key, asked) = (hex(&Md5::digest("a\"b\\c:q\"r:p")), hex(&Md5::digest("GET:/")));
        assert_eq!(field(&leg, "response").as_deref(), Some(&**hex(&Md5::digest(format!("{}:n:{}", *key, *asked)))));
    }

    #[test]
    fn a_user_outside_ascii_is_named_in_the_way_the_server_can_read() {
        let asked = request("GET", "/");
        let text = |offered: &str| {
            let leg = answer("J\u{e4}s\u{f8}n Doe", "p", offered, "c", &asked);
            String::from_utf8(leg.credentials.expose().to_vec()).unwrap()
        };
        let with_charset = text("Digest realm=\"r\", nonce=\"n\", charset=UTF-8");
        assert!(with_charset.starts_with("Digest username*=UTF-8''J%C3%A4s%C3%B8n%20Doe, "), "{with_charset}");
        let without = text("Digest realm=\"r\", nonce=\"n\"");
        assert!(without.starts_with("Digest username=\"J\u{e4}s\u{f8}n Doe\", "), "{without}");
    }

    #[test]
    fn a_hashed_user_is_not_shown() {
        let offered = format!("{EXAMPLE}, algorithm=SHA-256, charset=UTF-8, userhash=true");
        let leg = answer("Mufasa", "p", &offered, "c", &request("GET", "/"));
        let expected = hex(&Sha256::digest("Mufasa:http-auth@example.org"));
        assert_eq!(field(&leg, "username").as_deref(), Some(expected.as_str()));
        assert_eq!(field(&leg, "userhash").as_deref(), Some("true"));
    }

    #[test]
    fn the_strongest_known_algorithm_is_chosen() {
        for (offered, chosen) in [
            (&["MD5", "SHA-256"][..], Some("SHA-256")),
            (&["SHA-256-sess", "MD5"][..], Some("SHA-256-sess")),
            (&["SHA-512-256", "MD5"][..], Some("MD5")),
            (&["SHA-512-256"][..], Some("SHA-512-256")),
            (&[][..], None),
        ] {
            let challenges: Vec<_> =
                offered.iter().map(|a| challenge(&format!("Digest realm=r, nonce=n, algorithm={a}"))).collect();
            assert_eq!(strongest(&challenges).and_then(|c| c.param("algorithm")), chosen, "{offered:?}");
        }
    }

    #[test]
    fn what_cannot_be_answered_is_not_tried() {
        let mut digest = Digest::new("u", Secret::new("p"), session("c")).unwrap();
        let mut tried = |text: &str| digest.step(&request("GET", "/"), Some(&challenge(text))).unwrap_err();
        for text in ["Digest realm=r, nonce=n, qop=auth-int", "Digest realm=r, nonce=n, algorithm=SHA-512-256"] {
            assert!(matches!(tried(text), MechanismError::Unavailable(_)), "{text}");
        }
        for text in ["Digest realm=r", "Digest nonce=n", "Digest"] {
            assert!(matches!(tried(text), MechanismError::BadChallenge(_)), "{text}");
        }
    }

    #[test]
    fn a_challenge_that_could_not_be_repeated_exactly_is_not_answered_with_a_wrong_one() {
        let mut digest = Digest::new("u", Secret::new("p"), session("c")).unwrap();
        for text in [
            &b"Digest realm=\"B\xfcro\", nonce=n"[..],
            b"Digest realm=r, nonce=\xfc",
            b"Digest realm=r, nonce=n, opaque=\xfc",
        ] {
            let offered = parse_all([text]).remove(0);
            let error = digest.step(&request("GET", "/"), Some(&offered)).unwrap_err();
            assert!(matches!(error, MechanismError::Unavailable(_)), "{text:?}");
        }
        let offered = challenge("Digest realm=\"B\u{fc}ro\", nonce=n");
        let leg = digest.step(&request("GET", "/"), Some(&offered)).unwrap();
        assert_eq!(field(&leg, "realm").as_deref(), Some("B\u{fc}ro"));
    }
}
