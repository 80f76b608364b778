//! The heads of a log-in without what could be used or tells whose it is: tokens keep their length, their type and, where a
//! log-in can be played again by it, their structure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::redact::Redactor;

/// Fields whose values tell how a proxy works and, but for names in them, nothing else.
const TELLING: [&str; 28] = [
    "host",
    "user-agent",
    "server",
    "via",
    "date",
    "mime-version",
    "content-type",
    "content-length",
    "content-encoding",
    "content-language",
    "transfer-encoding",
    "connection",
    "proxy-connection",
    "keep-alive",
    "proxy-agent",
    "proxy-support",
    "proxy-status",
    "cache-control",
    "pragma",
    "expires",
    "vary",
    "retry-after",
    "accept-ranges",
    "allow",
    "trailer",
    "x-squid-error",
    "x-cache",
    "x-cache-lookup",
];

/// What a parameter of a challenge may show; all others are names or numbers that are good once.
const PARAMETERS: [&str; 6] = ["algorithm", "qop", "stale", "charset", "userhash", "nc"];

const SIGNATURE: &[u8] = b"NTLMSSP\0";

/// In place of every Basic log-in: its length would be that of a password.
const BASIC: &str = "eDp4";

/// One head without its secrets, byte for byte otherwise. Names are still in it.
pub(super) fn without_secrets(head: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(head.len());
    let mut field = String::new();
    for (at, line) in head.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let text = String::from_utf8_lossy(line);
        if at > 0 && !text.starts_with([' ', '\t']) {
            field = text.split_once(':').map(|(name, _)| name.trim().to_ascii_lowercase()).unwrap_or_default();
        }
        if at == 0 || text.trim().is_empty() || TELLING.contains(&field.as_str()) {
            out.extend_from_slice(line);
            continue;
        }
        let value = if text.starts_with([' ', '\t']) { 0 } else { text.find(':').map_or(0, |colon| colon + 1) };
        let (name, value) = text.split_at(value);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(
            match field.as_str() {
                "proxy-authorization"
                | "authorization"
                | "proxy-authenticate"
                | "www-authenticate"
                | "proxy-authentication-info" => challenge(value),
                _ => hidden(value),
            }
            .as_bytes(),
        );
    }
    out
}

/// And without names.
pub(super) fn without_names(head: &[u8], redactor: &Redactor) -> Vec<u8> {
    match std::str::from_utf8(head) {
        Ok(text) => redactor.text(text).into_bytes(),
        // Names in other letters cannot be known in bytes that are no text.
        Err(_) => redactor
            .text(&head.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect::<String>())
            .into_bytes(),
    }
}

/// As many signs, blanks and line ends where they were.
fn hidden(text: &str) -> String {
    text.chars().map(|c| if c.is_whitespace() { c } else { 'x' }).collect()
}

/// `scheme`, `scheme token`, `name=value`: told apart by what follows a word.
fn challenge(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let (mut rest, mut scheme) = (value, String::new());
    while let Some(first) = rest.chars().next() {
        let length =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+/_~.-!#$%&'*^`|".contains(c))).unwrap_or(rest.len());
        if length == 0 {
            out.push(if first.is_whitespace() || ",=".contains(first) { first } else { 'x' });
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (word, after) = rest.split_at(length);
        let padding = after.len() - after.trim_start_matches('=').len();
        let ends = after[padding..].trim_start_matches([' ', '\t', '\r', '\n']);
        let is_alone = padding == 0 || ends.is_empty() || ends.starts_with(',');
        if !is_alone {
            let (shown, used) = parameter(word, after);
            out += &shown;
            rest = &after[used..];
        } else if padding == 0 && is_scheme(word, out.trim_end()) {
            scheme = word.to_ascii_lowercase();
            out += word;
            rest = after;
        } else {
            out += &token(&scheme, &rest[..length + padding]);
            rest = &after[padding..];
        }
    }
    out
}

/// A word at the start of an element.
fn is_scheme(word: &str, before: &str) -> bool {
    (before.is_empty() || before.ends_with(',')) && word.len() <= 16
}

/// `=value` behind a name, and how much of `after` it is.
fn parameter(name: &str, after: &str) -> (String, usize) {
    let value = &after[1..];
    let (quoted, length) = match value.strip_prefix('"') {
        Some(inner) => {
            let mut escaped = false;
            let end = inner.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            (true, end.map_or(value.len(), |end| end + 2))
        }
        None => (false, value.find([',', ' ', '\t', '\r', '\n']).unwrap_or(value.len())),
    };
    let text = &value[..length];
    let shown = match (PARAMETERS.contains(&name.to_ascii_lowercase().as_str()), quoted) {
        (true, _) => text.to_string(),
        (false, true) => format!("\"{}\"", hidden(text.trim_matches('"'))),
        (false, false) => hidden(text),
    };
    (format!("{name}={shown}"), 1 + length)
}

fn token(scheme: &str, token: &str) -> String {
    if scheme == "basic" {
        return BASIC.into();
    }
    let Ok(mut bytes) = STANDARD.decode(token) else { return hidden(token) };
    match bytes.windows(SIGNATURE.len()).position(|part| part == SIGNATURE) {
        Some(at) => ntlm(&mut bytes[at..]),
        // Of a ticket, what tells its size.
        None => bytes.iter_mut().skip(4).for_each(|byte| *byte = 0),
    }
    STANDARD.encode(bytes)
}

/// The three messages (MS-NLMP §2.2.1): the first says nothing of anybody, the second is what a log-in is answered by, the
/// third could be attacked.
fn ntlm(message: &mut [u8]) {
    match message.get(8).copied() {
        Some(1) => {}
        Some(2) if ntlm_challenge(message).is_some() => {}
        Some(_) | None => message.iter_mut().skip(12).for_each(|byte| *byte = 0),
    }
}

/// Names become as many x; the challenge is another one; time, flags and places stay.
fn ntlm_challenge(message: &mut [u8]) -> Option<()> {
    const UNICODE: u8 = 1;
    const TARGET_INFO: u8 = 0x80;
    let name = field(message, 12)?;
    let wide = message.get(20)? & UNICODE != 0;
    let info = if message.get(22)? & TARGET_INFO != 0 { field(message, 40)? } else { 0..0 };
    let pairs = pairs(message.get(info.clone())?)?;
    message.get_mut(24..32)?.fill(0x11);
    let payload = 32.max(if info.is_empty() { 32 } else { 48 });
    // What nobody says where it is cannot be known to be harmless; the version is.
    for (at, byte) in message.iter_mut().enumerate().skip(payload) {
        let is_version = (48..56).contains(&at) && name.start >= 56;
        if !(is_version || info.contains(&at)) {
            *byte = 0;
        }
    }
    fill(message.get_mut(name)?, wide);
    for (id, place) in pairs {
        let value = message.get_mut(info.start + place.start..info.start + place.end)?;
        match id {
            1..=5 | 9 => fill(value, true),
            6 | 7 => {}
            _ => value.fill(0),
        }
    }
    Some(())
}

fn fill(name: &mut [u8], wide: bool) {
    name.iter_mut().enumerate().for_each(|(at, byte)| *byte = if wide && at % 2 == 1 { 0 } else { b'x' });
}

fn field(message: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let length = usize::from(u16::from_le_bytes(message.get(at..at + 2)?.try_into().ok()?));
    let start = usize::try_from(u32::from_le_bytes(message.get(at + 4..at + 8)?.try_into().ok()?)).ok()?;
    let end = start.checked_add(length)?;
    (end <= message.len() && (start >= 32 || length == 0)).then_some(if length == 0 { 0..0 } else { start..end })
}

/// Ids and places of AV pairs (MS-NLMP §2.2.2.1).
fn pairs(info: &[u8]) -> Option<Vec<(u16, std::ops::Range<usize>)>> {
    let (mut pairs, mut at) = (Vec::new(), 0);
    while at < info.len() {
        let id = u16::from_le_bytes(info.get(at..at + 2)?.try_into().ok()?);
        let length = usize::from(u16::from_le_bytes(info.get(at + 2..at + 4)?.try_into().ok()?));
        if id == 0 {
            break;
        }
        (at + 4 + length <= info.len()).then_some(())?;
        pairs.push((id, at + 4..at + 4 + length));
        at += 4 + length;
    }
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::ntlm::{Fresh, Logon, NtHash, authenticate, negotiate};

    /// Of a Squid of Debian 12 with a helper that stands in for a domain.
    const TYPE_2: &str = "TlRMTVNTUAACAAAACQAJAK6qqqqXggjiOGqHgXsitV4AAAAAAAA6AFdPUktHUk9VUA==";

    fn shown(head: &str) -> String {
        String::from_utf8(without_secrets(head.as_bytes())).unwrap()
    }

    fn respond(challenge: &[u8]) -> Vec<u8> {
        let hash = NtHash::of_password("hunter2");
        let logon =
            Logon { user: "alice", domain: Some("CORP"), hash: &hash, spn: "HTTP/proxy.corp.test", binding: None };
        authenticate(challenge, &logon, &Fresh { client_challenge: [7; 8], file_time: 1 }).unwrap().to_vec()
    }

    #[test]
    fn heads_keep_their_form_and_lose_what_is_good_for_anything() {
        let proof = STANDARD.encode(respond(&challenge_with_names()));
        let hidden = |length: usize| "x".repeat(length);
        for (head, redacted) in [
            ("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\nProxy-Authorization: Basic YWxpY2U6aHVudGVyMg==\r\n\r\n".into(),
             "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\nProxy-Authorization: Basic eDp4\r\n\r\n".to_string()),
            ("HTTP/1.1 407 No\r\nSet-Cookie: id=secret; path=/\r\nX-Odd : a b\r\n\r\n".into(),
             "HTTP/1.1 407 No\r\nSet-Cookie: xxxxxxxxxx xxxxxx\r\nX-Odd : x x\r\n\r\n".into()),
            ("HTTP/1.1 407 No\r\nProxy-Authenticate: Digest realm=\"Corp, Inc\",nonce=\"abc\", qop=\"auth,auth-int\",stale=false, Basic realm=x\r\n\r\n".into(),
             "HTTP/1.1 407 No\r\nProxy-Authenticate: Digest realm=\"xxxxx xxx\",nonce=\"xxx\", qop=\"auth,auth-int\",stale=false, Basic realm=x\r\n\r\n".into()),
            ("HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n".into(),
             "HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n".into()),
            (format!("C h:1 HTTP/1.1\r\nProxy-Authorization: NTLM {proof}\r\n\r\n"),
             format!("C h:1 HTTP/1.1\r\nProxy-Authorization: NTLM TlRMTVNTUAADAAAA{}\r\n\r\n", blank(&proof))),
            ("C h:1 HTTP/1.1\r\nProxy-Authorization: Digest username=\"alice\", uri=\"h:1\", response=\"0123\", nc=00000001\r\n\r\n".into(),
             "C h:1 HTTP/1.1\r\nProxy-Authorization: Digest username=\"xxxxx\", uri=\"xxx\", response=\"xxxx\", nc=00000001\r\n\r\n".into()),
            ("HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n realm=\"Corp\"\r\n\r\n".into(),
             "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n realm=\"xxxx\"\r\n\r\n".into()),
            (format!("HTTP/1.1 200 OK\r\nProxy-Authenticate: Negotiate !{}\r\n\r\n", "z".repeat(30)),
             format!("HTTP/1.1 200 OK\r\nProxy-Authenticate: Negotiate {}\r\n\r\n", hidden(31))),
        ] {
            assert_eq!(shown(&head), redacted, "{head}");
        }
    }

    /// What is left of a third message behind its type.
    fn blank(proof: &str) -> String {
        let length = STANDARD.decode(proof).unwrap().len() - 12;
        STANDARD.encode(vec![0; length])
    }

    fn challenge_with_names() -> Vec<u8> {
        let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let mut info = Vec::new();
        for (id, value) in
            [(2_u16, wide("CORP")), (1, wide("PROXY7")), (7, vec![1, 2, 3, 4, 5, 6, 7, 8]), (0, Vec::new())]
        {
            info.extend(id.to_le_bytes());
            info.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
            info.extend(value);
        }
        let name = wide("CORP");
        let mut message = SIGNATURE.to_vec();
        message.extend(2_u32.to_le_bytes());
        message.extend([8, 0, 8, 0, 56, 0, 0, 0]);
        message.extend(0xa289_8205_u32.to_le_bytes());
        message.extend([9, 8, 7, 6, 5, 4, 3, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
        let length = u8::try_from(info.len()).unwrap();
        message.extend([length, 0, length, 0, 64, 0, 0, 0, 10, 0, 97, 74, 0, 0, 0, 15]);
        message.extend(name);
        message.extend(info);
        message
    }

    #[test]
    fn a_challenge_of_ntlm_is_another_one_that_can_be_answered() {
        let challenge = challenge_with_names();
        let redacted = STANDARD.decode(token("ntlm", &STANDARD.encode(&challenge))).unwrap();
        assert_eq!(redacted.len(), challenge.len());
        assert_eq!(redacted[..24], challenge[..24], "type, places and flags stay");
        assert_ne!(redacted[24..32], challenge[24..32]);
        let narrow: Vec<u8> = redacted.iter().copied().filter(|byte| *byte != 0).collect();
        for name in ["CORP", "PROXY7"] {
            assert!(!narrow.windows(name.len()).any(|part| part == name.as_bytes()), "{name}");
        }
        assert_eq!(respond(&redacted).len(), respond(&challenge).len(), "answered as the real one");
        // One whose name lies outside cannot be answered anyway.
        let odd = STANDARD.decode(token("ntlm", TYPE_2)).unwrap();
        assert_eq!((odd.len(), odd[12..].iter().max()), (STANDARD.decode(TYPE_2).unwrap().len(), Some(&0)));
        assert_eq!(
            token("ntlm", &STANDARD.encode(negotiate())),
            STANDARD.encode(negotiate()),
            "the first is no secret"
        );
    }

    #[test]
    fn a_ticket_keeps_its_size_alone() {
        let ticket: Vec<u8> = [0x60, 0x82, 0x05, 0x2c].into_iter().chain((0..200).map(|i| i as u8 | 1)).collect();
        let redacted = STANDARD.decode(token("negotiate", &STANDARD.encode(&ticket))).unwrap();
        assert_eq!((redacted.len(), &redacted[..4]), (ticket.len(), &ticket[..4]));
        assert!(redacted[4..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn whatever_comes_is_redacted_without_a_panic() {
        let whole = challenge_with_names();
        for end in 0..whole.len() {
            let mut cut = whole[..end].to_vec();
            if cut.len() > 8 {
                ntlm(&mut cut);
                assert!(cut.len() < 32 || cut[24..32] != whole[24..32], "cut at {end}");
            }
        }
        for head in ["", "\r\n", ":", "HTTP/1.1 407\nProxy-Authenticate: =\",=\\\n\n", "X\n Y\n\t=\n\u{e9}: \u{e9}\n"] {
            let _ = without_secrets(head.as_bytes());
        }
    }
}
