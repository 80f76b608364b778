//! The forms in which a secret could be found somewhere.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use md4::{Digest as _, Md4};
use md5::Md5;
use sha2::Sha256;

/// Of the practice proxy's Digest challenges.
const REALM: &str = "practice";

#[derive(Default)]
pub struct Needles(Vec<(String, Vec<u8>)>);

impl Needles {
    pub fn text(&mut self, text: &str) {
        self.add(text, text.as_bytes());
    }

    /// Everything that is as good as this password.
    pub fn password(&mut self, user: &str, password: &str) {
        self.in_memory(user, password);
        for (what, octets) in [("password", password.as_bytes()), ("password in UTF-16", &utf_16(password))] {
            for shift in 0..3 {
                self.add(&format!("base64 of the {what}, shifted by {shift}"), &inner(octets, shift));
            }
        }
        for hash in [nt_hash(password), nt_hash(password).to_uppercase()] {
            self.add("the NT hash in hexadecimal", hash.as_bytes());
        }
        self.add("base64 of the NT hash", STANDARD_NO_PAD.encode(Md4::digest(utf_16(password))).as_bytes());
        for key in digest_keys(user, password) {
            self.add("the key of Digest", key.as_bytes());
        }
        // JSON and Debug write what is not ASCII in their own way.
        self.add("the escaped password", password.escape_unicode().to_string().as_bytes());
        self.add("the escaped password", password.escape_default().to_string().as_bytes());
        let json: String = password.chars().map(json_escape).collect();
        self.add("the escaped password", json.as_bytes());
    }

    /// The forms in which it is worked with.
    pub fn in_memory(&mut self, user: &str, password: &str) {
        self.add("the password", password.as_bytes());
        self.add("the password in UTF-16", &utf_16(password));
        self.add("the NT hash", &Md4::digest(utf_16(password)));
        self.add("user and password of Basic", STANDARD.encode(format!("{user}:{password}")).as_bytes());
    }

    fn add(&mut self, name: &str, needle: &[u8]) {
        self.0.push((name.into(), needle.into()));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, needle)| (name.as_str(), needle.as_slice()))
    }

    /// The names of those that are there.
    pub fn found_in(&self, haystack: &[u8]) -> Vec<&str> {
        self.iter().filter(|(_, needle)| count(haystack, needle) > 0).map(|(name, _)| name).collect()
    }
}

pub fn count(haystack: &[u8], needle: &[u8]) -> usize {
    let Some((first, rest)) = needle.split_first() else { return 0 };
    let starts = haystack.iter().enumerate().filter(|(_, octet)| *octet == first);
    starts.filter(|(at, _)| haystack[at + 1..].starts_with(rest)).count()
}

pub fn nt_hash(password: &str) -> String {
    hex(&Md4::digest(utf_16(password)))
}

/// How each form looks where it stands among other things.
pub fn dresses(user: &str, password: &str) -> Vec<(String, Vec<u8>)> {
    let mut dresses = vec![
        ("plain".to_owned(), format!("password={password}\n").into_bytes()),
        ("UTF-16".into(), utf_16(password)),
        ("escaped".into(), password.escape_unicode().to_string().into_bytes()),
        ("NT hash".into(), nt_hash(password).into_bytes()),
        ("NT HASH".into(), nt_hash(password).to_uppercase().into_bytes()),
        ("NT hash, raw".into(), Md4::digest(utf_16(password)).to_vec()),
        ("Basic".into(), format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))).into_bytes()),
    ];
    for length in 0..3 {
        let around = |octets: &[u8]| [&vec![b'x'; length], octets, b"yyyy"].concat();
        dresses.push((format!("base64 after {length}"), STANDARD.encode(around(password.as_bytes())).into_bytes()));
        dresses.push((
            format!("url-safe after {length}"),
            URL_SAFE_NO_PAD.encode(around(password.as_bytes())).into_bytes(),
        ));
        dresses.push((
            format!("base64 of UTF-16 after {length}"),
            STANDARD.encode(around(&utf_16(password))).into_bytes(),
        ));
    }
    for key in digest_keys(user, password) {
        dresses.push((format!("Digest {}", key.len()), key.into_bytes()));
    }
    dresses
}

/// The characters of the base64 of anything with these octets at this place (modulo 3).
fn inner(octets: &[u8], shift: usize) -> Vec<u8> {
    let encoded = STANDARD_NO_PAD.encode([&vec![0; shift], octets].concat());
    let begin = (shift * 8).div_ceil(6);
    let end = (shift + octets.len()) * 8 / 6;
    encoded.as_bytes()[begin..end].to_vec()
}

fn digest_keys(user: &str, password: &str) -> [String; 2] {
    let text = format!("{user}:{REALM}:{password}");
    [hex(&Md5::digest(&text)), hex(&Sha256::digest(&text))]
}

fn json_escape(c: char) -> String {
    if c.is_ascii() { c.into() } else { format!("\\u{:04x}", u32::from(c)) }
}

fn utf_16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
