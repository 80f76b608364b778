//! As much of SPNEGO (RFC 4178) as HTTP needs: tokens found in a server's answer, ours wrapped.

use thiserror::Error;

/// A mechanism by the content octets of its object identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oid(pub &'static [u8]);

/// 1.2.840.113554.1.2.2
pub const KERBEROS: Oid = Oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02]);
/// 1.2.840.48018.1.2.2, what Windows has called Kerberos since a slip of 2000.
pub const MS_KERBEROS: Oid = Oid(&[0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 0x01, 0x02, 0x02]);
/// 1.3.6.1.4.1.311.2.2.10
pub const NTLMSSP: Oid = Oid(&[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a]);
/// 1.3.6.1.5.5.2
const SPNEGO: Oid = Oid(&[0x2b, 0x06, 0x01, 0x05, 0x05, 0x02]);

const NTLMSSP_SIGNATURE: &[u8] = b"NTLMSSP\0";

const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const ENUMERATED: u8 = 0x0a;
const APPLICATION_0: u8 = 0x60;
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_1: u8 = 0xa1;
const CONTEXT_2: u8 = 0xa2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the token is not well-formed SPNEGO")]
pub struct Malformed;

/// RFC 4178 §4.2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    AcceptCompleted,
    AcceptIncomplete,
    Reject,
    RequestMic,
}

/// What a server sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<'a> {
    /// An NTLMSSP message as it is.
    Ntlm(&'a [u8]),
    /// NegTokenResp. Without a token it asks for the first one of the mechanism it names.
    Response { state: Option<State>, mechanism: Option<&'a [u8]>, token: Option<&'a [u8]> },
    /// A token of another kind (a bare Kerberos one).
    Other(&'a [u8]),
}

impl<'a> Answer<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.starts_with(NTLMSSP_SIGNATURE) {
            return Ok(Self::Ntlm(bytes));
        }
        match bytes.first() {
            Some(&CONTEXT_1) => read_response(bytes),
            Some(&APPLICATION_0) => whole(bytes, APPLICATION_0).map(|_| Self::Other(bytes)),
            Some(_) | None => Err(Malformed),
        }
    }
}

/// `[1] SEQUENCE { negState [0], supportedMech [1], responseToken [2], mechListMIC [3] }`, all optional.
fn read_response(bytes: &[u8]) -> Result<Answer<'_>, Malformed> {
    let mut fields = whole(whole(bytes, CONTEXT_1)?, SEQUENCE)?;
    let (mut state, mut mechanism, mut token) = (None, None, None);
    let mut last = 0;
    while !fields.is_empty() {
        let (tag, content, rest) = element(fields)?;
        if tag <= last {
            return Err(Malformed);
        }
        match tag {
            CONTEXT_0 => state = Some(read_state(whole(content, ENUMERATED)?)?),
            CONTEXT_1 => mechanism = Some(whole(content, OBJECT_IDENTIFIER)?),
            CONTEXT_2 => token = Some(whole(content, OCTET_STRING)?),
            _ => {}
        }
        last = tag;
        fields = rest;
    }
    Ok(Answer::Response { state, mechanism, token })
}

fn read_state(content: &[u8]) -> Result<State, Malformed> {
    match content {
        [0] => Ok(State::AcceptCompleted),
        [1] => Ok(State::AcceptIncomplete),
        [2] => Ok(State::Reject),
        [3] => Ok(State::RequestMic),
        _ => Err(Malformed),
    }
}

/// The first message: the mechanisms we offer and the first one's token (RFC 4178 §4.2.1).
pub fn initial(mechanisms: &[Oid], token: &[u8]) -> Vec<u8> {
    let offered: Vec<u8> = mechanisms.iter().flat_map(|oid| wrap(OBJECT_IDENTIFIER, oid.0)).collect();
    let mut fields = wrap(CONTEXT_0, &wrap(SEQUENCE, &offered));
    fields.extend(wrap(CONTEXT_2, &wrap(OCTET_STRING, token)));
    framed(SPNEGO, &wrap(CONTEXT_0, &wrap(SEQUENCE, &fields)))
}

/// The frame of every mechanism's first token (RFC 2743 §3.1).
pub fn framed(mechanism: Oid, token: &[u8]) -> Vec<u8> {
    let mut message = wrap(OBJECT_IDENTIFIER, mechanism.0);
    message.extend_from_slice(token);
    wrap(APPLICATION_0, &message)
}

/// A further message (RFC 4178 §4.2.2).
pub fn response(token: &[u8]) -> Vec<u8> {
    wrap(CONTEXT_1, &wrap(SEQUENCE, &wrap(CONTEXT_2, &wrap(OCTET_STRING, token))))
}

/// The content of the one element that `bytes` is.
fn whole(bytes: &[u8], expected: u8) -> Result<&[u8], Malformed> {
    match element(bytes)? {
        (tag, content, []) if tag == expected => Ok(content),
        _ => Err(Malformed),
    }
}

/// Tag, content, rest. Only the shortest form of a length is DER, but not every server keeps to that.
fn element(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), Malformed> {
    let (&tag, rest) = bytes.split_first().ok_or(Malformed)?;
    let (&first, rest) = rest.split_first().ok_or(Malformed)?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f)).ok_or(Malformed)?;
            (octets.iter().fold(0_usize, |sum, octet| (sum << 8) | usize::from(*octet)), rest)
        }
        _ => return Err(Malformed),
    };
    let (content, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
    Ok((tag, content, rest))
}

fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().take_while(|octet| **octet == 0).count()..];
    let mut out = vec![tag];
    match significant {
        [] => out.push(0),
        [short @ 0..=0x7f] => out.push(*short),
        _ => {
            // At most eight octets, so that the sum stays below 0x89.
            out.push(0x80 + significant.len() as u8);
            out.extend_from_slice(significant);
        }
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn a_raw_ntlm_message_is_recognised() {
        assert_eq!(Answer::read(b"NTLMSSP\0\x02"), Ok(Answer::Ntlm(b"NTLMSSP\0\x02")));
    }

    #[test]
    fn an_answer_that_only_chooses_ntlm_is_read() {
        let bytes = STANDARD.decode("oRUwE6ADCgEDoQwGCisGAQQBgjcCAgo=").unwrap();
        assert_eq!(
            Answer::read(&bytes),
            Ok(Answer::Response { state: Some(State::RequestMic), mechanism: Some(NTLMSSP.0), token: None })
        );
    }

    #[test]
    fn what_is_wrapped_is_found_again_at_every_length_of_length() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536, 70_000] {
            let token = vec![0x5a; length];
            let wrapped = response(&token);
            assert_eq!(
                Answer::read(&wrapped),
                Ok(Answer::Response { state: None, mechanism: None, token: Some(&token[..]) }),
                "{length}"
            );
        }
    }

    #[test]
    fn the_first_message_begins_as_browsers_begin_it() {
        let message = initial(&[KERBEROS, MS_KERBEROS, NTLMSSP], &[7; 300]);
        assert!(STANDARD.encode(&message).starts_with("YI"));
        assert_eq!(Answer::read(&message), Ok(Answer::Other(&message)));
        let inner = whole(&message, APPLICATION_0).unwrap();
        let (tag, oid, rest) = element(inner).unwrap();
        assert_eq!((tag, oid), (OBJECT_IDENTIFIER, SPNEGO.0));
        let fields = whole(whole(rest, CONTEXT_0).unwrap(), SEQUENCE).unwrap();
        let (tag, offered, rest) = element(fields).unwrap();
        assert_eq!(tag, CONTEXT_0);
        assert_eq!(element(whole(offered, SEQUENCE).unwrap()).unwrap().1, KERBEROS.0);
        assert_eq!(whole(whole(rest, CONTEXT_2).unwrap(), OCTET_STRING), Ok(&[7; 300][..]));
    }

    #[test]
    fn a_token_cut_anywhere_is_refused() {
        let full = STANDARD.decode("oRUwE6ADCgEDoQwGCisGAQQBgjcCAgo=").unwrap();
        for bytes in [full, response(&[7; 300]), initial(&[KERBEROS], &[7; 300])] {
            for end in 0..bytes.len() {
                assert_eq!(Answer::read(&bytes[..end]), Err(Malformed), "{end} of {}", bytes.len());
            }
        }
    }

    #[test]
    fn no_damaged_octet_makes_it_panic() {
        let bytes = response(b"NTLMSSP\0\x02\0\0\0");
        for at in 0..bytes.len() {
            for value in 0..=255 {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                let _ = Answer::read(&damaged);
            }
        }
        assert_eq!(Answer::read(&[0xa1, 0x84, 0xff, 0xff, 0xff, 0xff]), Err(Malformed));
        assert_eq!(Answer::read(&[0xa1, 0x80, 0, 0]), Err(Malformed));
    }
}
