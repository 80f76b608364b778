//! What upstreams send to make us log on: challenges, Digest, NTLM's second message, SPNEGO. Answers are judged by the
//! specifications' formulas, written down here once more.

use std::fmt::Write as _;
use std::sync::Arc;

use hallpass::auth::challenge::parse_all;
use hallpass::auth::digest::{Digest, Session, strongest};
use hallpass::auth::ntlm::{Fresh, Logon, NtHash, authenticate, negotiate};
use hallpass::auth::spnego::{self, Answer};
use hallpass::auth::{Challenge, Mechanism, RequestLine, Scheme};
use hallpass::secret::Secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use md4::Md4;
use md5::{Digest as _, Md5};
use sha2::Sha256;

const PASSWORD: &str = "Circle of Life";

/// `Proxy-Authenticate`, a field in each line.
pub fn challenge(bytes: &[u8]) {
    let read = parse_all(bytes.split(|byte| *byte == b'\n'));
    let size: usize = read.iter().map(size).sum();
    // What is not UTF-8 takes three bytes each.
    assert!(size <= bytes.len() * 3, "{size} bytes out of {}", bytes.len());
    for challenge in &read {
        assert!(!challenge.scheme.is_empty() && is_token(&challenge.scheme), "{challenge:?}");
        assert!(challenge.token.iter().all(|token| !token.is_empty() && token.is_ascii()), "{challenge:?}");
        for (name, _) in &challenge.params {
            assert!(is_token(name) && name.chars().all(|c| !c.is_ascii_uppercase()), "{challenge:?}");
        }
        // Its shape may go into a log, its content not.
        assert_eq!(challenge.to_string(), blank(challenge).to_string());
    }
    // What was understood means the same when it is written again, in one field or in many.
    let written: Vec<String> = read.iter().map(written).collect();
    assert_eq!(parse_all(written.iter().map(|field| field.as_bytes())), read);
    assert_eq!(parse_all([written.join(", ").as_bytes()]), read);
}

/// The same shape without what it holds.
fn blank(challenge: &Challenge) -> Challenge {
    let params = challenge.params.iter().map(|(name, _)| (name.clone(), String::new()));
    Challenge {
        scheme: challenge.scheme.clone(),
        token: challenge.token.as_ref().map(|token| "A".repeat(token.len())),
        params: params.collect(),
    }
}

fn size(challenge: &Challenge) -> usize {
    let params: usize = challenge.params.iter().map(|(name, value)| name.len() + value.len()).sum();
    challenge.scheme.len() + challenge.token.as_ref().map_or(0, String::len) + params
}

fn is_token(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

fn written(challenge: &Challenge) -> String {
    let params = challenge.params.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
    let token = challenge.token.clone().into_iter();
    format!("{} {}", challenge.scheme, token.chain(params).collect::<Vec<_>>().join(", ")).trim_end().into()
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A Digest challenge, and what we answer to it, twice.
pub fn digest(bytes: &[u8]) {
    let challenges = parse_all([bytes]);
    let Some(chosen) = strongest(&challenges) else { return };
    for user in ["Mufasa", "J\u{e4}s\u{f8}n \"Doe\\"] {
        let session = Session::new(Arc::new(|| "f2/wE4q74E6zIJEtWaHKaf5wv".into()));
        let mut digest = Digest::new(user, Secret::new(PASSWORD), session).expect("no control characters");
        let request = RequestLine { method: "CONNECT".into(), uri: "h.example:443".into() };
        for count in 1..=2 {
            let Ok(leg) = digest.step(&request, Some(chosen)) else {
                assert_eq!(count, 1, "the second answer fails where the first did not");
                break;
            };
            assert!(leg.proves_secret);
            let text = std::str::from_utf8(leg.credentials.expose()).expect("UTF-8");
            digest_is_right(text, user, chosen, count);
        }
    }
}

fn digest_is_right(text: &str, user: &str, challenge: &Challenge, count: u32) {
    let answer = match &parse_all([text.as_bytes()])[..] {
        [answer] if answer.is(Scheme::Digest) => answer.clone(),
        other => panic!("{text} is {other:?}"),
    };
    // No text of the challenge breaks out of its quotes, and what is said is said once.
    let mut names: Vec<&str> = answer.params.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let before = names.len();
    names.dedup();
    assert_eq!(names.len(), before, "{text}");
    let known = ["algorithm", "cnonce", "nc", "nonce", "opaque", "qop", "realm", "response", "uri", "userhash"];
    assert!(names.iter().all(|name| known.contains(name) || name.trim_end_matches('*') == "username"), "{text}");
    for name in ["realm", "nonce", "opaque"] {
        assert_eq!(answer.param(name), challenge.param(name), "{name}");
        assert!(answer.param(name).is_none_or(|value| !value.contains(char::REPLACEMENT_CHARACTER)), "{text}");
    }
    assert!(!text.contains(PASSWORD));
    let algorithm = challenge.param("algorithm").unwrap_or("MD5").to_ascii_lowercase();
    let hash = |parts: &[&str]| hex_hash(algorithm.starts_with("sha-256"), &parts.join(":"));
    let of = |name: &str| answer.param(name).unwrap_or_default();
    let mut key = hash(&[user, of("realm"), PASSWORD]);
    if algorithm.ends_with("-sess") {
        key = hash(&[&key, of("nonce"), of("cnonce")]);
    }
    let asked = hash(&["CONNECT", "h.example:443"]);
    let expected = match answer.param("qop") {
        Some(qop) => {
            assert_eq!((qop, of("nc")), ("auth", &*format!("{count:08x}")));
            hash(&[&key, of("nonce"), of("nc"), of("cnonce"), qop, &asked])
        }
        None => hash(&[&key, of("nonce"), &asked]),
    };
    assert_eq!((of("response"), of("uri")), (&*expected, "h.example:443"));
    match of("userhash") {
        "true" => assert_eq!(of("username"), hash(&[user, of("realm")])),
        _ => assert!(answer.param("username*").is_some() || of("username") == user, "{text}"),
    }
}

fn hex_hash(sha: bool, text: &str) -> String {
    let bytes = if sha { Sha256::digest(text).to_vec() } else { Md5::digest(text).to_vec() };
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String");
        hex
    })
}

/// NTLM's second message, and the third that we answer (MS-NLMP §2.2.1.3, §3.1.5.1.2, §3.3.2).
pub fn ntlm(bytes: &[u8]) {
    let hash = NtHash::of_password(PASSWORD);
    for domain in [Some("Domain"), None] {
        let logon = Logon { user: "User", domain, hash: &hash, spn: "HTTP/proxy", binding: Some(&[7; 32]) };
        let fresh = Fresh { client_challenge: [0xaa; 8], file_time: 1 };
        let Ok(message) = authenticate(bytes, &logon, &fresh) else { continue };
        assert!(bytes.starts_with(b"NTLMSSP\0\x02\0\0\0"), "it is no challenge");
        third_is_right(bytes, &message, domain);
    }
}

const MIC: std::ops::Range<usize> = 72..88;

fn third_is_right(second: &[u8], message: &[u8], domain: Option<&str>) {
    assert!(message.starts_with(b"NTLMSSP\0\x03\0\0\0"));
    let places: Vec<(usize, usize)> = (0..6).map(|field| place(message, 12 + 8 * field)).collect();
    // The fields follow each other without holes, and nothing else is there.
    let mut end = MIC.end;
    for (offset, length) in &places {
        assert_eq!(*offset, end);
        end += length;
    }
    assert_eq!(end, message.len());
    let field = |at: usize| &message[places[at].0..places[at].0 + places[at].1];
    let (lm, answer, name, user) = (field(0), field(1), field(2), field(3));
    if let Some(domain) = domain {
        assert_eq!(name, utf_16(domain));
    }
    assert_eq!((user, field(4), field(5)), (&*utf_16("User"), &[][..], &[][..]));
    // No signing, no sealing, no key exchange, no LM, no OEM.
    assert_eq!(number(message, 60) & 0x4000_00b2, 0);
    let (proof, blob) = answer.split_at(16);
    let key = hmac(&Md4::digest(utf_16(PASSWORD)), &[&utf_16("USER"), name]);
    assert_eq!(proof, hmac(&key, &[&second[24..32], blob]));
    let pairs = pairs(&blob[28..]);
    let given = |id: u16| pairs.iter().filter(|(found, _)| *found == id).map(|(_, value)| *value).collect::<Vec<_>>();
    assert_eq!((given(9), given(10).len()), (vec![&*utf_16("HTTP/proxy")], 1));
    let mic = given(6).iter().any(|flags| flags.len() == 4 && number(flags, 0) & 2 != 0);
    let session_key = hmac(&key, &[proof]);
    let mut without = message.to_vec();
    without[MIC].fill(0);
    match mic {
        true => {
            assert_eq!(message[MIC], hmac(&session_key, &[&negotiate(), second, &without]));
            assert_eq!((lm, given(7)[0]), (&[0; 24][..], &blob[8..16]));
        }
        false => assert_eq!(message[MIC], [0; 16]),
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn short(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes")))
}

fn place(message: &[u8], at: usize) -> (usize, usize) {
    assert_eq!(short(message, at), short(message, at + 2), "two lengths of one field");
    (number(message, at + 4) as usize, short(message, at))
}

/// AV pairs up to the end mark, which is there, with the four zeros of the blob behind it.
fn pairs(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut pairs = Vec::new();
    loop {
        let (id, length) = (short(bytes, 0) as u16, short(bytes, 2));
        if id == 0 {
            assert_eq!(bytes, [0; 8]);
            return pairs;
        }
        pairs.push((id, &bytes[4..4 + length]));
        bytes = &bytes[4 + length..];
    }
}

fn utf_16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Md5>::new_from_slice(key).expect("any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

/// A token of Negotiate.
pub fn spnego(bytes: &[u8]) {
    let lies_in = |part: &[u8]| part.is_empty() || bytes.as_ptr_range().contains(&part.as_ptr());
    match Answer::read(bytes) {
        Ok(Answer::Ntlm(message)) => assert!(message == bytes && bytes.starts_with(b"NTLMSSP\0")),
        Ok(Answer::Other(message)) => assert!(message == bytes && bytes[0] == 0x60),
        Ok(Answer::Response { mechanism, token, .. }) => {
            assert!(mechanism.into_iter().chain(token).all(lies_in));
            assert_eq!(bytes[0], 0xa1);
        }
        Err(spnego::Malformed) => {}
    }
    // Whatever is wrapped is found again.
    let wrapped = spnego::response(bytes);
    assert_eq!(Answer::read(&wrapped), Ok(Answer::Response { state: None, mechanism: None, token: Some(bytes) }));
    let first = spnego::initial(&[spnego::KERBEROS, spnego::NTLMSSP], bytes);
    assert_eq!(Answer::read(&first), Ok(Answer::Other(&first)));
    if !bytes.is_empty() {
        assert!(Answer::read(&wrapped[..wrapped.len() - 1]).is_err());
    }
}
