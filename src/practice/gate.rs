//! Who may pass: the schemes a server offers, in order, and what one connection has proved so far.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;

use super::account::Accounts;
use super::basic;
use super::digest::{DigestAlgorithm, DigestJudge, DigestVerdict};
use super::ntlm::{NtlmJudge, Verdict};
use super::record::Record;
use crate::auth::{ChannelBinding, challenge};

/// One challenge a server makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    Ntlm,
    /// `Negotiate` that takes raw NTLM messages, as a proxy without Kerberos does.
    NtlmInNegotiate,
    Digest(DigestAlgorithm),
    Basic,
}

/// What a server demands.
#[derive(Default)]
pub struct Gate {
    offers: Vec<Offer>,
    accounts: Accounts,
    domain: String,
    nonce_uses: Option<u32>,
    binding: Option<ChannelBinding>,
    off: AtomicBool,
    hang_ups: AtomicU32,
    digest: DigestJudge,
}

/// What one connection has proved. Like Squid: NTLM holds until the connection ends or a type 1 begins anew.
#[derive(Default)]
pub(super) struct Proven {
    ntlm: NtlmJudge,
    user: Option<String>,
}

pub(super) enum Passage {
    /// With the account's name, where one was asked for.
    Open(Option<String>),
    /// The values of the challenge fields to answer with.
    Closed(Vec<HeaderValue>),
    /// A proof was judged, and the connection is to end without an answer.
    HangUp,
}

impl Gate {
    /// No offers: everybody passes. `domain` is the one NTLM challenges name.
    pub fn new(offers: impl IntoIterator<Item = Offer>, accounts: Accounts, domain: &str) -> Self {
        Self { offers: offers.into_iter().collect(), accounts, domain: domain.into(), ..Self::default() }
    }

    /// After this many requests a Digest nonce is stale.
    pub fn nonce_uses(mut self, uses: u32) -> Self {
        self.nonce_uses = Some(uses);
        self
    }

    /// NTLM must carry this channel binding.
    pub fn binding(mut self, binding: Option<ChannelBinding>) -> Self {
        self.binding = binding;
        self
    }

    pub fn demand(&self, demand: bool) {
        self.off.store(!demand, Ordering::SeqCst);
    }

    /// The next proofs are judged and counted, but not answered: the connection ends, as when a proxy restarts.
    pub fn hang_up(&self, proofs: u32) {
        self.hang_ups.store(proofs, Ordering::SeqCst);
    }

    /// `request` is (method, target); `credentials` the value of the authorization field.
    pub(super) fn check(
        &self,
        proven: &mut Proven,
        record: &Record,
        request: (&str, &str),
        credentials: Option<&HeaderValue>,
    ) -> Passage {
        if self.offers.is_empty() || self.off.load(Ordering::SeqCst) {
            return Passage::Open(None);
        }
        let credentials = credentials.and_then(|value| challenge::parse_all([value.as_bytes()]).into_iter().next());
        let Some(credentials) = credentials else {
            return proven.user.clone().map_or_else(|| self.closed(false), |user| Passage::Open(Some(user)));
        };
        let scheme = credentials.scheme.to_ascii_lowercase();
        let token = credentials.token.as_deref().unwrap_or_default();
        match scheme.as_str() {
            "ntlm" if self.offers.contains(&Offer::Ntlm) => self.ntlm(proven, record, "NTLM", token),
            "negotiate" if self.offers.contains(&Offer::NtlmInNegotiate) => {
                self.ntlm(proven, record, "Negotiate", token)
            }
            "basic" if self.offers.contains(&Offer::Basic) => {
                let user = basic::verify(&self.accounts, token);
                self.judged(record, user.ok_or_else(|| "wrong password or no such account".into()))
            }
            "digest" => self.digest(record, request, &credentials),
            other => {
                record.note(format!("credentials of a scheme that was not offered: {other}"));
                self.closed(false)
            }
        }
    }

    fn ntlm(&self, proven: &mut Proven, record: &Record, scheme: &str, token: &str) -> Passage {
        let token = STANDARD.decode(token).unwrap_or_default();
        match proven.ntlm.step(&self.accounts, &self.domain, self.binding.as_ref(), &token) {
            Verdict::Challenge(message) => {
                proven.user = None;
                Passage::Closed(values([format!("{scheme} {}", STANDARD.encode(message))]))
            }
            Verdict::Accept(user) => {
                proven.user = Some(user.clone());
                self.judged(record, Ok(user))
            }
            Verdict::Reject(why) => self.judged(record, Err(why)),
            // The value that authenticated this connection, said again, changes nothing.
            Verdict::OutOfOrder => match &proven.user {
                Some(user) => Passage::Open(Some(user.clone())),
                None => {
                    record.note("an NTLM message out of order".into());
                    self.closed(false)
                }
            },
        }
    }

    fn digest(&self, record: &Record, request: (&str, &str), credentials: &crate::auth::Challenge) -> Passage {
        let offered: Vec<DigestAlgorithm> = self.offers.iter().filter_map(|offer| offer.digest()).collect();
        match self.digest.verify(&self.accounts, &offered, self.nonce_uses, request, credentials) {
            DigestVerdict::Accept(user) => self.judged(record, Ok(user)),
            DigestVerdict::Reject(why) => self.judged(record, Err(why)),
            DigestVerdict::Stale => {
                record.stale();
                self.closed(true)
            }
        }
    }

    fn judged(&self, record: &Record, verdict: Result<String, String>) -> Passage {
        record.logon(&verdict);
        let less = |left: u32| left.checked_sub(1);
        if self.hang_ups.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            return Passage::HangUp;
        }
        verdict.map_or_else(|_| self.closed(false), |user| Passage::Open(Some(user)))
    }

    fn closed(&self, stale: bool) -> Passage {
        Passage::Closed(values(self.offers.iter().map(|offer| match offer {
            Offer::Ntlm => "NTLM".to_string(),
            Offer::NtlmInNegotiate => "Negotiate".to_string(),
            Offer::Digest(algorithm) => self.digest.challenge(*algorithm, stale),
            Offer::Basic => "Basic realm=\"practice\", charset=\"UTF-8\"".to_string(),
        })))
    }
}

impl Offer {
    fn digest(self) -> Option<DigestAlgorithm> {
        match self {
            Self::Digest(algorithm) => Some(algorithm),
            Self::Ntlm | Self::NtlmInNegotiate | Self::Basic => None,
        }
    }
}

/// All of them are ASCII made here; one that were not would be left out.
fn values(texts: impl IntoIterator<Item = String>) -> Vec<HeaderValue> {
    texts.into_iter().filter_map(|text| HeaderValue::try_from(text).ok()).collect()
}
