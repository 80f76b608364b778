//! The three NTLM messages as bytes (MS-NLMP §2.2): what the judge reads and the challenge it writes.

use super::account;

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";
/// Signature, type, target name, flags, challenge, reserved, target info, version (§2.2.1.2).
const CHALLENGE_HEAD: usize = 56;
/// The MIC follows the 72 bytes of fields, flags and version (§2.2.1.3).
pub(super) const MIC: std::ops::Range<usize> = 72..88;

pub(super) const UNICODE: u32 = 0x0000_0001;
/// Names in one byte per character, from clients that do not offer UNICODE (curl).
pub(super) const OEM: u32 = 0x0000_0002;
const REQUEST_TARGET: u32 = 0x0000_0004;
const NTLM: u32 = 0x0000_0200;
const ALWAYS_SIGN: u32 = 0x0000_8000;
const TARGET_TYPE_DOMAIN: u32 = 0x0001_0000;
const EXTENDED_SESSION_SECURITY: u32 = 0x0008_0000;
const TARGET_INFO: u32 = 0x0080_0000;
const VERSION: u32 = 0x0200_0000;
pub(super) const KEY_EXCHANGE: u32 = 0x4000_0000;
/// What a domain member grants when it is asked for: sign, seal, 128, key exchange, 56.
const GRANTED: u32 = 0x0000_0010 | 0x0000_0020 | 0x2000_0000 | KEY_EXCHANGE | 0x8000_0000;

const AV_END: u16 = 0;
const AV_COMPUTER: u16 = 1;
const AV_DOMAIN: u16 = 2;
const AV_DNS_COMPUTER: u16 = 3;
const AV_DNS_DOMAIN: u16 = 4;
const AV_FLAGS: u16 = 6;
const AV_TIMESTAMP: u16 = 7;
const AV_CHANNEL_BINDINGS: u16 = 10;

/// 1, 2 or 3; `None` for what is no NTLM message.
pub(super) fn message_type(message: &[u8]) -> Option<u32> {
    message.starts_with(SIGNATURE).then(|| u32_at(message, 8))?
}

pub(super) fn negotiate_flags(message: &[u8]) -> Option<u32> {
    u32_at(message, 12)
}

/// A type 2 for a type 1 with these flags.
pub(super) fn challenge(asked: u32, challenge: [u8; 8], domain: &str, filetime: u64) -> Vec<u8> {
    let charset = if asked & UNICODE != 0 { UNICODE } else { OEM };
    let name = domain.to_uppercase();
    let name = if charset == UNICODE { utf16(&name) } else { name.into_bytes() };
    let info = target_info(domain, filetime);
    let flags = charset | REQUEST_TARGET | NTLM | ALWAYS_SIGN | TARGET_TYPE_DOMAIN | TARGET_INFO | VERSION;
    let flags = flags | EXTENDED_SESSION_SECURITY | (asked & GRANTED);
    let mut message = Vec::with_capacity(CHALLENGE_HEAD + name.len() + info.len());
    message.extend(SIGNATURE);
    message.extend(2_u32.to_le_bytes());
    push_field(&mut message, name.len(), CHALLENGE_HEAD);
    message.extend(flags.to_le_bytes());
    message.extend(challenge);
    message.extend([0; 8]);
    push_field(&mut message, info.len(), CHALLENGE_HEAD + name.len());
    // Windows 10.0, NTLMSSP revision 15: only for people who read traces.
    message.extend([10, 0, 0x63, 0x45, 0, 0, 0, 15]);
    message.extend(name);
    message.extend(info);
    message
}

fn target_info(domain: &str, filetime: u64) -> Vec<u8> {
    let mut info = Vec::new();
    let dns = account::dns_domain(domain);
    push_av(&mut info, AV_DOMAIN, &utf16(&domain.to_uppercase()));
    push_av(&mut info, AV_COMPUTER, &utf16("PROXY"));
    push_av(&mut info, AV_DNS_DOMAIN, &utf16(&dns));
    push_av(&mut info, AV_DNS_COMPUTER, &utf16(&format!("proxy.{dns}")));
    push_av(&mut info, AV_TIMESTAMP, &filetime.to_le_bytes());
    push_av(&mut info, AV_END, &[]);
    info
}

/// A type 3, cut into the parts that are judged.
pub(super) struct Authenticate {
    pub user: String,
    /// As the client wrote it: its bytes go into the hash.
    pub domain: String,
    pub nt_response: Vec<u8>,
    pub session_key: Vec<u8>,
    pub flags: u32,
}

pub(super) fn authenticate(message: &[u8]) -> Option<Authenticate> {
    if message_type(message)? != 3 {
        return None;
    }
    let flags = u32_at(message, 60)?;
    Some(Authenticate {
        nt_response: field(message, 20)?.to_vec(),
        domain: text(flags, field(message, 28)?)?,
        user: text(flags, field(message, 36)?)?,
        session_key: field(message, 52)?.to_vec(),
        flags,
    })
}

/// The pairs a client put into its NTLMv2 response, after the blob's 28 fixed bytes (§2.2.2.7).
#[derive(Default)]
pub(super) struct Pairs {
    pub flags: u32,
    pub channel_bindings: Option<Vec<u8>>,
}

pub(super) fn pairs(blob: &[u8]) -> Option<Pairs> {
    let mut found = Pairs::default();
    let mut rest = blob.get(28..)?;
    loop {
        let (id, length) = (u16_at(rest, 0)?, usize::from(u16_at(rest, 2)?));
        let value = rest.get(4..4 + length)?;
        match id {
            AV_END => return Some(found),
            AV_FLAGS => found.flags = u32_at(value, 0)?,
            AV_CHANNEL_BINDINGS => found.channel_bindings = Some(value.to_vec()),
            _ => {}
        }
        rest = &rest[4 + length..];
    }
}

pub(super) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn text(flags: u32, bytes: &[u8]) -> Option<String> {
    if flags & UNICODE == 0 {
        return String::from_utf8(bytes.to_vec()).ok();
    }
    let units: Vec<u16> = bytes.chunks(2).map(|unit| u16_at(unit, 0)).collect::<Option<_>>()?;
    String::from_utf16(&units).ok()
}

/// Lengths here are ours and small; a length that did not fit would be a message nobody could read.
fn push_field(message: &mut Vec<u8>, length: usize, offset: usize) {
    let length = u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes();
    message.extend(length);
    message.extend(length);
    message.extend(u32::try_from(offset).unwrap_or(u32::MAX).to_le_bytes());
}

fn push_av(info: &mut Vec<u8>, id: u16, value: &[u8]) {
    info.extend(id.to_le_bytes());
    info.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    info.extend(value);
}

fn field(message: &[u8], at: usize) -> Option<&[u8]> {
    let length = usize::from(u16_at(message, at)?);
    let offset = usize::try_from(u32_at(message, at + 4)?).ok()?;
    message.get(offset..offset.checked_add(length)?)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
