//! NTLM (MS-NLMP), the verifying side, for one connection.
//!
//! Shares no code with the side that proves passwords: a mistake in common would never show. Nor is it the
//! acceptor of the sspi crate, which looks at the MIC only, so that a client that sends none (curl, cntlm) gets
//! in with any password.

use hmac::{Hmac, KeyInit, Mac};
use md4::{Digest as _, Md4};
use md5::Md5;

use super::account::{Account, Accounts};
use super::ntlm_message::{self as message, Authenticate};
use crate::auth::ChannelBinding;

/// Bit of MsvAvFlags that says "there is a MIC" (MS-NLMP §2.2.2.1).
const MIC_PRESENT: u32 = 0x2;
/// An NTLMv2 response: 16 bytes of proof, then the blob; a v1 response is exactly 24 long.
const PROOF: usize = 16;
const V1_RESPONSE: usize = 24;

/// What a message led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Send this type 2 and wait.
    Challenge(Vec<u8>),
    /// `DOMAIN\user`.
    Accept(String),
    /// A password was judged, or its proof was not even well formed.
    Reject(String),
    /// Not the message for this moment: nothing was judged.
    OutOfOrder,
}

/// The state of one connection's handshake.
#[derive(Default)]
pub struct NtlmJudge {
    pending: Option<Pending>,
}

struct Pending {
    server_challenge: [u8; 8],
    negotiate: Vec<u8>,
    challenge: Vec<u8>,
}

impl NtlmJudge {
    /// A type 1 may come at any time and begins anew. With `binding`, a type 3 must carry it (extended protection).
    pub fn step(
        &mut self,
        accounts: &Accounts,
        domain: &str,
        binding: Option<&ChannelBinding>,
        token: &[u8],
    ) -> Verdict {
        match message::message_type(token) {
            Some(1) => self.challenge(domain, token),
            Some(3) => match self.pending.take() {
                Some(pending) => {
                    judge(&pending, accounts, binding, token).map_or_else(Verdict::Reject, Verdict::Accept)
                }
                None => Verdict::OutOfOrder,
            },
            _ => Verdict::OutOfOrder,
        }
    }

    fn challenge(&mut self, domain: &str, negotiate: &[u8]) -> Verdict {
        let Some(flags) =
            message::negotiate_flags(negotiate).filter(|flags| flags & (message::UNICODE | message::OEM) != 0)
        else {
            return Verdict::OutOfOrder;
        };
        let mut server_challenge = [0; 8];
        if getrandom::fill(&mut server_challenge).is_err() {
            return Verdict::OutOfOrder;
        }
        let challenge = message::challenge(flags, server_challenge, domain, filetime());
        self.pending = Some(Pending { server_challenge, negotiate: negotiate.to_vec(), challenge: challenge.clone() });
        Verdict::Challenge(challenge)
    }
}

fn judge(
    pending: &Pending,
    accounts: &Accounts,
    binding: Option<&ChannelBinding>,
    token: &[u8],
) -> Result<String, String> {
    let answer = message::authenticate(token).ok_or("the type 3 message is not well formed")?;
    let account = accounts
        .find(&answer.domain, &answer.user)
        .ok_or_else(|| format!("no such account: {}\\{}", answer.domain, answer.user))?;
    if answer.nt_response.len() <= V1_RESPONSE {
        return Err("the response is not NTLMv2".into());
    }
    let (proof, blob) = answer.nt_response.split_at(PROOF);
    let key = v2_key(&account, &answer);
    if hmac_md5(&key, &[&pending.server_challenge, blob]) != proof {
        return Err(format!("wrong password for {}", account.name()));
    }
    let pairs = message::pairs(blob).ok_or("the response's pairs are not well formed")?;
    if pairs.flags & MIC_PRESENT != 0 {
        check_mic(pending, &answer, &hmac_md5(&key, &[proof]), token)?;
    }
    match binding.map(|binding| binding_digest(binding)) {
        Some(expected) if pairs.channel_bindings.as_deref() != Some(&expected[..]) => {
            Err(if pairs.channel_bindings.is_some() { "foreign channel binding" } else { "no channel binding" }.into())
        }
        _ => Ok(account.name()),
    }
}

/// NTOWFv2 (§3.3.2): the user in capitals, the domain as the client wrote it.
fn v2_key(account: &Account, answer: &Authenticate) -> [u8; 16] {
    let password = Md4::digest(message::utf16(account.password.expose()));
    hmac_md5(&password, &[&message::utf16(&answer.user.to_uppercase()), &message::utf16(&answer.domain)])
}

/// The MIC seals all three messages (§3.1.5.1.2), itself counted as zeros.
fn check_mic(pending: &Pending, answer: &Authenticate, base: &[u8; 16], token: &[u8]) -> Result<(), String> {
    let key = if answer.flags & message::KEY_EXCHANGE != 0 { rc4(base, &answer.session_key) } else { base.to_vec() };
    let mut blank = token.to_vec();
    let mic = blank.get_mut(message::MIC).ok_or("the type 3 message is too short for its MIC")?;
    mic.fill(0);
    if hmac_md5(&key, &[&pending.negotiate, &pending.challenge, &blank]) == token[message::MIC] {
        Ok(())
    } else {
        Err("the MIC is wrong".into())
    }
}

/// MD5 of a `gss_channel_bindings_struct` that has only application data (§2.2.2.1, RFC 5929 §4).
fn binding_digest(hash: &[u8]) -> [u8; 16] {
    let data = [&b"tls-server-end-point:"[..], hash].concat();
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    Md5::new().chain_update([0; 16]).chain_update(length.to_le_bytes()).chain_update(data).finalize().into()
}

fn hmac_md5(key: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    // HMAC takes keys of every length, so there is no error to meet; an all-zero answer would match nothing.
    let Ok(mut mac) = Hmac::<Md5>::new_from_slice(key) else { return [0; 16] };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// Ten lines for one 16-byte key are better than a crate of a broken cipher.
fn rc4(key: &[u8; 16], data: &[u8]) -> Vec<u8> {
    let mut state: [u8; 256] = std::array::from_fn(|i| u8::try_from(i).unwrap_or_default());
    let mut j = 0_u8;
    for i in 0..256 {
        j = j.wrapping_add(state[i]).wrapping_add(key[i % key.len()]);
        state.swap(i, usize::from(j));
    }
    let (mut i, mut j) = (0_u8, 0_u8);
    data.iter()
        .map(|byte| {
            i = i.wrapping_add(1);
            j = j.wrapping_add(state[usize::from(i)]);
            state.swap(usize::from(i), usize::from(j));
            byte ^ state[usize::from(state[usize::from(i)].wrapping_add(state[usize::from(j)]))]
        })
        .collect()
}

/// 100 ns steps since 1601, which clients copy into their response.
fn filetime() -> u64 {
    const SECONDS_1601_TO_1970: u64 = 11_644_473_600;
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let ticks = u64::try_from(since_1970.as_micros()).unwrap_or_default() * 10;
    ticks + SECONDS_1601_TO_1970 * 10_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MS-NLMP §4.2.4: a response without a MIC, as curl and cntlm send it.
    const PROOF_OF_THE_SPECIFICATION: [u8; 16] =
        [0x68, 0xcd, 0x0a, 0xb8, 0x51, 0xe5, 0x1c, 0x96, 0xaa, 0xbc, 0x92, 0x7b, 0xeb, 0xef, 0x6a, 0x1c];
    const SERVER_CHALLENGE: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];

    fn blob() -> Vec<u8> {
        let mut blob = vec![1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        blob.extend([0xaa; 8]);
        blob.extend([0; 4]);
        for (id, name) in [(2_u16, "Domain"), (1, "Server")] {
            blob.extend(id.to_le_bytes());
            blob.extend(12_u16.to_le_bytes());
            blob.extend(message::utf16(name));
        }
        blob.extend([0; 8]);
        blob
    }

    fn type_3(proof: [u8; 16]) -> Vec<u8> {
        let parts = [Vec::new(), [proof.to_vec(), blob()].concat(), message::utf16("Domain"), message::utf16("User")];
        let mut head = b"NTLMSSP\0\x03\0\0\0".to_vec();
        let mut payload = Vec::new();
        for part in parts.into_iter().chain([Vec::new(), Vec::new()]) {
            let length = u16::try_from(part.len()).unwrap().to_le_bytes();
            head.extend([length, length].concat());
            head.extend(u32::try_from(64 + payload.len()).unwrap().to_le_bytes());
            payload.extend(part);
        }
        head.extend(message::UNICODE.to_le_bytes());
        [head, payload].concat()
    }

    fn verdict(password: &str, proof: [u8; 16]) -> Result<String, String> {
        let accounts = Accounts::new([Account::new("Domain", "User", password)]);
        let pending = Pending { server_challenge: SERVER_CHALLENGE, negotiate: Vec::new(), challenge: Vec::new() };
        judge(&pending, &accounts, None, &type_3(proof))
    }

    #[test]
    fn a_response_without_a_mic_is_judged_by_its_proof() {
        assert_eq!(verdict("Password", PROOF_OF_THE_SPECIFICATION), Ok("Domain\\User".into()));
        assert!(verdict("password", PROOF_OF_THE_SPECIFICATION).is_err());
        assert!(verdict("Password", [0; 16]).is_err());
    }

    #[test]
    fn rc4_gives_the_known_stream() {
        // RFC 6229, 128-bit key 0102…10.
        let key = std::array::from_fn(|i| u8::try_from(i + 1).unwrap());
        assert_eq!(rc4(&key, &[0; 4]), [0x9a, 0xc7, 0xcc, 0x9a]);
    }

    #[test]
    fn any_prefix_of_a_message_is_judged_without_panic() {
        let accounts = Accounts::new([Account::new("Domain", "User", "Password")]);
        let whole = type_3(PROOF_OF_THE_SPECIFICATION);
        for end in 0..whole.len() {
            let pending = Pending { server_challenge: SERVER_CHALLENGE, negotiate: Vec::new(), challenge: Vec::new() };
            let _ = judge(&pending, &accounts, None, &whole[..end]);
            NtlmJudge::default().step(&accounts, "D", None, &whole[..end]);
        }
    }
}
