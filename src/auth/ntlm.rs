//! The client half of NTLMv2 (MS-NLMP). Bytes in, bytes out: the clock and randomness come from outside.
//!
//! Only authentication is asked for: no signing, no sealing, no key exchange, which HTTP never uses. So the
//! session key that the message integrity code (MIC) is made with is the session base key itself.

use hmac::{Hmac, KeyInit as _, Mac as _};
use md4::{Digest as _, Md4};
use md5::Md5;
use thiserror::Error;
use zeroize::Zeroizing;

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";

mod flags {
    pub const UNICODE: u32 = 0x0000_0001;
    pub const REQUEST_TARGET: u32 = 0x0000_0004;
    pub const NTLM: u32 = 0x0000_0200;
    pub const ALWAYS_SIGN: u32 = 0x0000_8000;
    pub const TARGET_TYPE_DOMAIN: u32 = 0x0001_0000;
    pub const EXTENDED_SESSION_SECURITY: u32 = 0x0008_0000;
    pub const TARGET_INFO: u32 = 0x0080_0000;
    pub const VERSION: u32 = 0x0200_0000;
    pub const KEY_128: u32 = 0x2000_0000;
    pub const KEY_56: u32 = 0x8000_0000;

    /// What the first message asks for: Windows' own list without what needs session keys, and without the
    /// answers of 1993 (LM, OEM).
    pub const ASKED: u32 =
        UNICODE | REQUEST_TARGET | NTLM | ALWAYS_SIGN | EXTENDED_SESSION_SECURITY | VERSION | KEY_128 | KEY_56;
    /// What the last message says whatever the challenge said: servers that leave one out mean it all the same.
    pub const ALWAYS: u32 = UNICODE | NTLM | EXTENDED_SESSION_SECURITY | VERSION;
}

/// Ids of AV pairs (MS-NLMP §2.2.2.1).
mod av {
    pub const END: u16 = 0;
    pub const NETBIOS_DOMAIN: u16 = 2;
    pub const FLAGS: u16 = 6;
    pub const TIMESTAMP: u16 = 7;
    pub const TARGET_NAME: u16 = 9;
    pub const CHANNEL_BINDINGS: u16 = 10;

    pub const FLAG_MIC: u32 = 2;
}

/// Windows 10, revision 15; for traces only (MS-NLMP §2.2.2.10).
const VERSION: [u8; 8] = [10, 0, 0x61, 0x4a, 0, 0, 0, 15];
const MIC: std::ops::Range<usize> = 72..88;
/// With what stands around it, it must fit into a field of 65535 octets.
const MAX_INFO: usize = 65_000;

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NtlmError {
    #[error("the upstream's NTLM challenge is not well formed: {0}")]
    BadChallenge(&'static str),
    #[error("the {0} is too long for NTLM")]
    TooLong(&'static str),
    #[error("an NT hash is 32 hexadecimal digits")]
    BadHash,
}

/// MD4 of the password: whoever has it can log on.
#[derive(Clone)]
pub struct NtHash(Zeroizing<[u8; 16]>);

impl NtHash {
    pub fn of_password(password: &str) -> Self {
        Self(Zeroizing::new(Md4::digest(&*utf_16(password)).into()))
    }

    pub fn parse(text: &str) -> Result<Self, NtlmError> {
        let digits = text.as_bytes();
        if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(NtlmError::BadHash);
        }
        let mut hash = Zeroizing::new([0; 16]);
        for (octet, pair) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| NtlmError::BadHash)?;
            *octet = u8::from_str_radix(pair, 16).map_err(|_| NtlmError::BadHash)?;
        }
        Ok(Self(hash))
    }
}

/// Who logs on, to what.
pub struct Logon<'a> {
    pub user: &'a str,
    /// `None` for a name that stands alone: then the domain that the challenge names. A UPN is a user in the
    /// domain `""`.
    pub domain: Option<&'a str>,
    pub hash: &'a NtHash,
    /// `HTTP/host`, for servers that check whom the client meant.
    pub spn: &'a str,
    /// The bare `tls-server-end-point` hash (RFC 5929 §4).
    pub binding: Option<&'a [u8]>,
}

/// What must be new in each answer.
pub struct Fresh {
    pub client_challenge: [u8; 8],
    /// 100 ns steps since 1601. Used when the server does not tell its own time.
    pub file_time: u64,
}

/// The first message. Always the same, so the MIC can be computed over it without keeping it.
pub fn negotiate() -> Vec<u8> {
    let mut message = header(1);
    message.extend(flags::ASKED.to_le_bytes());
    message.extend([0; 16]);
    message.extend(VERSION);
    message
}

/// The third message, in answer to the second.
pub fn authenticate(challenge: &[u8], logon: &Logon<'_>, fresh: &Fresh) -> Result<Zeroizing<Vec<u8>>, NtlmError> {
    let received = Challenge::read(challenge)?;
    let domain = match logon.domain {
        Some(domain) => domain.to_string(),
        None => received.domain(),
    };
    let key = response_key(logon.hash, logon.user, &domain);
    let server_time =
        received.info.iter().find(|pair| pair.id == av::TIMESTAMP).and_then(|pair| pair.value.try_into().ok());
    let info = answered_info(&received.info, logon, server_time.is_some());
    if info.len() > MAX_INFO {
        return Err(NtlmError::BadChallenge("its target information is too long"));
    }
    let client = blob(&info, server_time.map_or(fresh.file_time, u64::from_le_bytes), fresh);
    let proof = hmac(&key, &[received.server_challenge, &client]);
    let session_key = hmac(&key, &[&*proof]);
    // With the server's time the answer of LMv2 is left empty (MS-NLMP §3.1.5.1.2).
    let lm = match server_time {
        Some(_) => Zeroizing::new(vec![0; 24]),
        None => joined(&*hmac(&key, &[received.server_challenge, &fresh.client_challenge]), &fresh.client_challenge),
    };
    let mut message = assemble(
        &[
            ("answer", &lm),
            ("answer", &joined(&*proof, &client)),
            ("domain", &utf_16(&domain)),
            ("user name", &utf_16(logon.user)),
            ("workstation", &[]),
            ("session key", &[]),
        ],
        flags::ALWAYS | (received.flags & (flags::ASKED | flags::TARGET_INFO)),
    )?;
    if server_time.is_some() {
        let mic = hmac(&session_key, &[&negotiate(), challenge, &message]);
        message[MIC].copy_from_slice(&*mic);
    }
    Ok(message)
}

fn header(kind: u32) -> Vec<u8> {
    let mut message = SIGNATURE.to_vec();
    message.extend(kind.to_le_bytes());
    message
}

/// Fields' places, flags, version, room for the MIC, then the fields (MS-NLMP §2.2.1.3).
fn assemble(fields: &[(&'static str, &[u8]); 6], flags: u32) -> Result<Zeroizing<Vec<u8>>, NtlmError> {
    let mut message = Zeroizing::new(header(3));
    let mut offset = MIC.end;
    for (name, field) in fields {
        let length = u16::try_from(field.len()).map_err(|_| NtlmError::TooLong(name))?;
        let place = u32::try_from(offset).map_err(|_| NtlmError::TooLong(name))?;
        message.extend(length.to_le_bytes());
        message.extend(length.to_le_bytes());
        message.extend(place.to_le_bytes());
        offset += field.len();
    }
    message.extend(flags.to_le_bytes());
    message.extend(VERSION);
    message.extend([0; MIC.end - MIC.start]);
    for (_, field) in fields {
        message.extend_from_slice(field);
    }
    Ok(message)
}

struct Challenge<'a> {
    flags: u32,
    server_challenge: &'a [u8],
    target_name: &'a [u8],
    info: Vec<Pair<'a>>,
}

struct Pair<'a> {
    id: u16,
    value: &'a [u8],
}

impl<'a> Challenge<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, NtlmError> {
        let bad = NtlmError::BadChallenge;
        if bytes.get(..12) != Some(&header(2)) {
            return Err(bad("it is not a challenge message"));
        }
        let flags = u32_at(bytes, 20).ok_or(bad("it is cut short"))?;
        let server_challenge = bytes.get(24..32).ok_or(bad("it is cut short"))?;
        let target_name = field(bytes, 12).ok_or(bad("its target name lies outside"))?;
        // Without the flag the octets there are something else: old servers begin their payload at 32.
        let info = match flags & flags::TARGET_INFO {
            0 => &[],
            _ => field(bytes, 40).ok_or(bad("its target information lies outside"))?,
        };
        let info = read_pairs(info).ok_or(bad("its target information is cut short"))?;
        Ok(Self { flags, server_challenge, target_name, info })
    }

    /// The domain of a user who named none.
    fn domain(&self) -> String {
        let named = self.info.iter().find(|pair| pair.id == av::NETBIOS_DOMAIN).map(|pair| pair.value);
        let fallback = if self.flags & flags::TARGET_TYPE_DOMAIN == 0 { &[][..] } else { self.target_name };
        let units: Vec<u16> =
            named.unwrap_or(fallback).chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
        String::from_utf16_lossy(&units)
    }
}

/// Unknown ids are kept: new ones come with new servers. Some leave the end mark out.
fn read_pairs(mut bytes: &[u8]) -> Option<Vec<Pair<'_>>> {
    let mut pairs = Vec::new();
    while !bytes.is_empty() {
        let (id, length) = (u16_at(bytes, 0)?, usize::from(u16_at(bytes, 2)?));
        if id == av::END {
            break;
        }
        pairs.push(Pair { id, value: bytes.get(4..4 + length)? });
        bytes = &bytes[4 + length..];
    }
    Some(pairs)
}

/// The server's pairs with what the client adds (MS-NLMP §3.1.5.1.2). Each of those only once: what the
/// server put there is not ours to repeat.
fn answered_info(received: &[Pair<'_>], logon: &Logon<'_>, with_mic: bool) -> Vec<u8> {
    let mut info = Vec::new();
    let mut add = |id: u16, value: &[u8]| {
        // A pair came with a 16-bit length, or is ours and short.
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        info.extend(id.to_le_bytes());
        info.extend(length.to_le_bytes());
        info.extend_from_slice(&value[..usize::from(length)]);
    };
    let mut flags = if with_mic { av::FLAG_MIC } else { 0 };
    for pair in received {
        match pair.id {
            av::FLAGS => flags |= u32_at(pair.value, 0).unwrap_or(0) & !av::FLAG_MIC,
            av::CHANNEL_BINDINGS | av::TARGET_NAME => {}
            _ => add(pair.id, pair.value),
        }
    }
    if flags != 0 {
        add(av::FLAGS, &flags.to_le_bytes());
    }
    add(av::CHANNEL_BINDINGS, &logon.binding.map_or([0; 16], bindings_hash));
    add(av::TARGET_NAME, &utf_16(logon.spn));
    add(av::END, &[]);
    info
}

/// MD5 of `gss_channel_bindings_struct` (RFC 4121 §4.1.1.2) without addresses.
fn bindings_hash(end_point: &[u8]) -> [u8; 16] {
    let data = super::binding_data(end_point);
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    Md5::new().chain_update([0; 16]).chain_update(length.to_le_bytes()).chain_update(data).finalize().into()
}

/// `temp` of MS-NLMP §3.3.2.
fn blob(info: &[u8], time: u64, fresh: &Fresh) -> Vec<u8> {
    let mut blob = vec![1, 1, 0, 0, 0, 0, 0, 0];
    blob.extend(time.to_le_bytes());
    blob.extend(fresh.client_challenge);
    blob.extend([0; 4]);
    blob.extend_from_slice(info);
    blob.extend([0; 4]);
    blob
}

/// NTOWFv2 (MS-NLMP §3.3.2).
fn response_key(hash: &NtHash, user: &str, domain: &str) -> Zeroizing<[u8; 16]> {
    hmac(&hash.0, &[&utf_16(&upper(user)), &utf_16(domain)])
}

/// Upper case as Windows makes it: one UTF-16 unit for one, so `ß` stays, and no letter changes its script
/// or becomes ASCII.
fn upper(text: &str) -> String {
    let one = |c: char| {
        let mut upper = c.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(u), None) if u.len_utf16() == 1 && !matches!(c, '\u{b5}' | '\u{131}' | '\u{17f}') => u,
            _ => c,
        }
    };
    text.chars().map(one).collect()
}

fn utf_16(text: &str) -> Zeroizing<Vec<u8>> {
    // All room at once: growing would leave copies behind that are not wiped.
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() * 2));
    bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    bytes
}

fn joined(first: &[u8], second: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([first, second].concat())
}

fn hmac(key: &[u8; 16], parts: &[&[u8]]) -> Zeroizing<[u8; 16]> {
    let mut mac = Hmac::<Md5>::new(&padded(key).into());
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// HMAC's own first step for short keys (RFC 2104 §2), done here because it cannot fail for 16 octets.
fn padded(key: &[u8; 16]) -> [u8; 64] {
    let mut block = [0; 64];
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    block
}

/// The octets a field's descriptor points to.
fn field(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let length = usize::from(u16_at(bytes, at)?);
    let offset = usize::try_from(u32_at(bytes, at + 4)?).ok()?;
    // An empty field may point anywhere.
    if length == 0 { Some(&[]) } else { bytes.get(offset..offset.checked_add(length)?) }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Fresh = Fresh { client_challenge: [0xaa; 8], file_time: 0 };
    const SERVER_CHALLENGE: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];

    fn pair(id: u16, value: &[u8]) -> Vec<u8> {
        [&id.to_le_bytes()[..], &(value.len() as u16).to_le_bytes(), value].concat()
    }

    /// The target information of MS-NLMP §4.2.
    fn example_info() -> Vec<u8> {
        [pair(2, &utf_16("Domain")), pair(1, &utf_16("Server")), pair(0, &[])].concat()
    }

    fn challenge(extra_flags: u32, info: &[u8]) -> Vec<u8> {
        let name = utf_16("Domain");
        let mut message = header(2);
        message.extend([name.len() as u8, 0, name.len() as u8, 0, 56, 0, 0, 0]);
        message.extend((flags::ASKED | flags::TARGET_TYPE_DOMAIN | extra_flags).to_le_bytes());
        message.extend(SERVER_CHALLENGE);
        message.extend([0; 8]);
        message.extend((info.len() as u16).to_le_bytes());
        message.extend((info.len() as u16).to_le_bytes());
        message.extend((56 + name.len() as u32).to_le_bytes());
        message.extend(VERSION);
        message.extend(&*name);
        message.extend(info);
        message
    }

    fn with_time() -> Vec<u8> {
        challenge(flags::TARGET_INFO, &[pair(7, &[1, 2, 3, 4, 5, 6, 7, 8]), example_info()].concat())
    }

    fn logon(hash: &NtHash) -> Logon<'_> {
        Logon { user: "User", domain: Some("Domain"), hash, spn: "HTTP/proxy", binding: None }
    }

    fn answer(challenge: &[u8]) -> Zeroizing<Vec<u8>> {
        authenticate(challenge, &logon(&NtHash::of_password("Password")), &FRESH).unwrap()
    }

    fn nt_answer(message: &[u8]) -> &[u8] {
        field(message, 20).unwrap()
    }

    fn answered_pairs(message: &[u8]) -> Vec<(u16, Vec<u8>)> {
        read_pairs(&nt_answer(message)[16 + 28..]).unwrap().iter().map(|p| (p.id, p.value.to_vec())).collect()
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf16(&bytes.chunks(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect::<Vec<_>>()).unwrap()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn the_examples_of_the_specification_come_out() {
        // MS-NLMP §4.2.2.1.1, §4.2.4.
        let hash = NtHash::of_password("Password");
        assert_eq!(hex(&*hash.0), "a4f49c406510bdcab6824ee7c30fd852");
        let key = response_key(&hash, "User", "Domain");
        assert_eq!(hex(&*key), "0c868a403bfd7a93a3001ef22ef02e3f");
        let lm = hmac(&key, &[&SERVER_CHALLENGE, &FRESH.client_challenge]);
        assert_eq!(hex(&*lm), "86c35097ac9cec102554764a57cccc19");
        let proof = hmac(&key, &[&SERVER_CHALLENGE, &blob(&example_info(), 0, &FRESH)]);
        assert_eq!(hex(&*proof), "68cd0ab851e51c96aabc927bebef6a1c");
        assert_eq!(hex(&*hmac(&key, &[&*proof])), "8de40ccadbc14a82f15cb0ad0de95ca3");
    }

    #[test]
    fn a_hash_and_its_password_answer_alike() {
        let hash = NtHash::parse("A4F49C406510BDCAB6824EE7C30FD852").unwrap();
        assert_eq!(*authenticate(&with_time(), &logon(&hash), &FRESH).unwrap(), *answer(&with_time()));
        for bad in [
            "",
            "a4f49c406510bdcab6824ee7c30fd85",
            "a4f49c406510bdcab6824ee7c30fd85g",
            "+4f49c406510bdcab6824ee7c30fd852",
        ] {
            assert!(NtHash::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_mic_covers_all_three_messages() {
        let challenge = with_time();
        let message = answer(&challenge);
        let mut without = message.to_vec();
        without[MIC].fill(0);
        let key = response_key(&NtHash::of_password("Password"), "User", "Domain");
        let session_key = hmac(&key, &[&nt_answer(&message)[..16]]);
        assert_eq!(message[MIC], hmac(&session_key, &[&negotiate(), &challenge, &without])[..]);
        assert!(answered_pairs(&message).contains(&(av::FLAGS, vec![2, 0, 0, 0])));
        assert_eq!(field(&message, 12), Some(&[0; 24][..]), "no LMv2 beside a MIC");
    }

    #[test]
    fn without_the_servers_time_ours_is_used_and_no_mic_is_promised() {
        let fresh = Fresh { client_challenge: [0xaa; 8], file_time: 0x0102_0304_0506_0708 };
        let hash = NtHash::of_password("Password");
        let message = authenticate(&challenge(flags::TARGET_INFO, &example_info()), &logon(&hash), &fresh).unwrap();
        assert_eq!(nt_answer(&message)[24..32], fresh.file_time.to_le_bytes());
        assert!(answered_pairs(&message).iter().all(|(id, _)| *id != av::FLAGS));
        assert_eq!(message[MIC], [0; 16]);
        let lm = field(&message, 12).map(hex);
        assert_eq!(lm.as_deref(), Some("86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa"));
    }

    #[test]
    fn a_challenge_without_target_information_is_answered() {
        // The oldest form ends after the server challenge and its context.
        let mut old = challenge(0, &[])[..40].to_vec();
        old[12..20].copy_from_slice(&[0, 0, 0, 0, 40, 0, 0, 0]);
        for challenge in [challenge(0, &[]), challenge(flags::TARGET_INFO, &[]), old] {
            assert_eq!(nt_answer(&answer(&challenge))[16], 1);
        }
    }

    #[test]
    fn pairs_of_the_server_are_kept_and_ours_stand_there_once() {
        let info = [
            pair(av::FLAGS, &[4, 0, 0, 0]),
            pair(99, b"from the future"),
            pair(av::CHANNEL_BINDINGS, &[9; 16]),
            pair(av::TARGET_NAME, &utf_16("cifs/evil")),
            pair(av::TIMESTAMP, &[1; 8]),
        ];
        let message = answer(&challenge(flags::TARGET_INFO, &info.concat()));
        let expected = [
            (99, b"from the future".to_vec()),
            (av::TIMESTAMP, vec![1; 8]),
            (av::FLAGS, vec![6, 0, 0, 0]),
            (av::CHANNEL_BINDINGS, vec![0; 16]),
            (av::TARGET_NAME, utf_16("HTTP/proxy").to_vec()),
        ];
        assert_eq!(answered_pairs(&message), expected);
    }

    #[test]
    fn channel_bindings_are_hashed_with_their_type() {
        // RFC 5929's application data in the structure of RFC 4121, put together by hand.
        let mut structure = vec![0; 16];
        structure.extend([21 + 32, 0, 0, 0]);
        structure.extend(b"tls-server-end-point:");
        structure.extend([7; 32]);
        let hash = NtHash::of_password("Password");
        let bound = Logon { binding: Some(&[7; 32]), ..logon(&hash) };
        let message = authenticate(&with_time(), &bound, &FRESH).unwrap();
        assert!(answered_pairs(&message).contains(&(av::CHANNEL_BINDINGS, Md5::digest(&structure).to_vec())));
    }

    #[test]
    fn a_user_without_a_domain_gets_the_one_the_challenge_names() {
        let hash = NtHash::of_password("Password");
        for (domain, sent) in [(None, "Domain"), (Some(""), ""), (Some("OTHER"), "OTHER")] {
            let message = authenticate(&with_time(), &Logon { domain, ..logon(&hash) }, &FRESH).unwrap();
            assert_eq!(text(field(&message, 28).unwrap()), sent);
            assert_eq!(text(field(&message, 36).unwrap()), "User");
        }
        let message = authenticate(&challenge(0, &[]), &Logon { domain: None, ..logon(&hash) }, &FRESH).unwrap();
        assert_eq!(text(field(&message, 28).unwrap()), "Domain", "the target name, when it is a domain");
    }

    #[test]
    fn letters_are_raised_one_for_one() {
        for (name, raised) in [
            ("gr\u{fc}\u{df}e", "GR\u{dc}\u{df}E"),
            ("\u{43f}\u{430}", "\u{41f}\u{410}"),
            ("\u{b5}\u{131}", "\u{b5}\u{131}"),
            ("\u{ff}", "\u{178}"),
        ] {
            assert_eq!(upper(name), raised);
        }
    }

    #[test]
    fn a_challenge_cut_anywhere_is_refused() {
        let full = with_time();
        let hash = NtHash::of_password("Password");
        for end in 0..full.len() {
            let result = authenticate(&full[..end], &logon(&hash), &FRESH);
            assert!(matches!(result, Err(NtlmError::BadChallenge(_))), "{end}");
        }
    }

    #[test]
    fn no_damaged_octet_makes_it_panic() {
        let full = with_time();
        let hash = NtHash::of_password("Password");
        for at in 0..full.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, full[at] ^ 1, full[at] ^ 0x80] {
                let mut damaged = full.clone();
                damaged[at] = value;
                let _ = authenticate(&damaged, &logon(&hash), &FRESH);
            }
        }
    }

    #[test]
    fn an_answer_that_would_not_fit_is_an_error() {
        let hash = NtHash::of_password("Password");
        let info = pair(99, &vec![0; 65_500]);
        let result = authenticate(&challenge(flags::TARGET_INFO, &info), &logon(&hash), &FRESH);
        assert!(matches!(result, Err(NtlmError::BadChallenge(_))));
        let long = "u".repeat(40_000);
        let result = authenticate(&with_time(), &Logon { user: &long, ..logon(&hash) }, &FRESH);
        assert_eq!(result.err(), Some(NtlmError::TooLong("user name")));
    }
}
