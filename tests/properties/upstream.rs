//! An upstream that answers anything: as it should, or for ever the same, or whatever a number says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Sent;
use super::numbers::Numbers;

/// A challenge of an Active Directory (`tests/fuzz/seeds`).
const TYPE_2: &[u8] = include_bytes!("../fuzz/seeds/ntlm/active-directory");
const SIXTY_FOUR_KIB: &[u8] = include_bytes!("../fuzz/seeds/ntlm/sixty-four-kib");
const SPNEGO_TYPE_2: &[u8] = include_bytes!("../fuzz/seeds/spnego/incomplete-with-type-2");
const SPNEGO_ASKS: &[u8] = include_bytes!("../fuzz/seeds/spnego/request-mic-ntlm");
const SPNEGO_REJECTS: &[u8] = include_bytes!("../fuzz/seeds/spnego/rejected");

#[derive(Clone)]
pub enum Answer {
    Challenge {
        /// The values of `Proxy-Authenticate`.
        fields: Vec<Vec<u8>>,
        persists: bool,
        /// One of them says that the nonce was too old.
        stale: bool,
    },
    /// A close, a reset, half a head: nothing that is an answer.
    Break,
    Final(u16),
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Challenge { fields, persists, .. } => {
                let fields =
                    fields.iter().map(|field| String::from_utf8_lossy(field).chars().take(60).collect::<String>());
                write!(f, "407 (persists: {persists}) {:?}", fields.collect::<Vec<_>>())
            }
            Self::Break => f.write_str("break"),
            Self::Final(status) => write!(f, "{status}"),
        }
    }
}

#[derive(Clone, Copy)]
enum Manner {
    /// Does a handshake as it should be, and ends it with this.
    Proper(u16),
    /// Whatever comes, a fresh type 2.
    Type2ForEver,
    /// Whatever comes, another nonce and `stale=true`.
    StaleForEver,
    /// Whatever comes, the challenge that the talk began with.
    Deaf,
    /// Anything at all.
    Mad,
}

pub struct Upstream {
    manner: Manner,
    offers: Vec<&'static str>,
    nonces: usize,
    /// Breaks the manner so many times in a hundred.
    slips: usize,
}

impl Upstream {
    pub fn random(numbers: &mut Numbers) -> Self {
        let manner = match numbers.below(10) {
            0..3 => Manner::Proper(numbers.one_of(&[200, 403, 404, 407, 500, 502, 503])),
            3 => Manner::Type2ForEver,
            4..6 => Manner::StaleForEver,
            6 => Manner::Deaf,
            _ => Manner::Mad,
        };
        let all = ["Negotiate", "NTLM", "Digest", "Basic", "Bearer"];
        let offers = all.into_iter().filter(|_| numbers.percent(60)).collect();
        let slips = if numbers.percent(60) { 0 } else { 15 };
        Self { manner, offers, nonces: 0, slips }
    }

    pub fn answer(&mut self, credentials: Option<&[u8]>, numbers: &mut Numbers) -> Answer {
        if numbers.percent(self.slips) {
            return self.anything(numbers);
        }
        let sent = credentials.map(Sent::read);
        match self.manner {
            Manner::Mad => self.anything(numbers),
            Manner::Deaf => self.offer(false),
            Manner::Type2ForEver if sent.is_some() => challenge(vec![token("NTLM", TYPE_2)], true),
            Manner::StaleForEver => {
                self.offers = vec!["Digest"];
                self.offer(sent.is_some_and(|sent| sent.proves))
            }
            Manner::Proper(status) => match sent {
                Some(sent) if sent.first => challenge(vec![token(&sent.word, TYPE_2)], true),
                // The ticket is refused by those that refuse everybody.
                Some(sent) if sent.proves || status != 407 => self.verdict(status),
                Some(_) | None => self.offer(false),
            },
            Manner::Type2ForEver => self.offer(false),
        }
    }

    fn verdict(&mut self, status: u16) -> Answer {
        if status == 407 { self.offer(false) } else { Answer::Final(status) }
    }

    /// What it began with.
    fn offer(&mut self, stale: bool) -> Answer {
        let offers = self.offers.clone();
        let fields = offers.into_iter().map(|scheme| match scheme {
            "Digest" => self.digest(stale),
            "Basic" => b"Basic realm=\"corp\"".to_vec(),
            scheme => scheme.into(),
        });
        let fields = fields.collect();
        Answer::Challenge { fields, persists: true, stale: stale && self.offers.contains(&"Digest") }
    }

    fn digest(&mut self, stale: bool) -> Vec<u8> {
        self.nonces += 1;
        let stale = if stale { ", stale=true" } else { "" };
        format!("Digest realm=\"corp\", nonce=\"nonce-{}\", qop=\"auth\"{stale}", self.nonces).into()
    }

    fn anything(&mut self, numbers: &mut Numbers) -> Answer {
        match numbers.below(12) {
            0 => Answer::Final(numbers.one_of(&[200, 204, 301, 403, 404, 417, 500, 502, 503, 504])),
            1 => Answer::Break,
            _ => {
                let mut stale = false;
                let fields = (0..numbers.below(5)).map(|_| self.any_field(numbers, &mut stale)).collect();
                Answer::Challenge { fields, persists: numbers.percent(75), stale }
            }
        }
    }

    fn any_field(&mut self, numbers: &mut Numbers, stale: &mut bool) -> Vec<u8> {
        match numbers.below(20) {
            0..2 => b"Negotiate".to_vec(),
            2..4 => b"NTLM".to_vec(),
            4..6 => b"Basic realm=\"corp\"".to_vec(),
            6..8 => {
                let says = numbers.percent(50);
                *stale |= says;
                self.digest(says)
            }
            8 => numbers
                .one_of(&[
                    &b"Digest realm=\"r\", nonce=\"n\", algorithm=SHA-512-256"[..],
                    b"Digest realm=\"r\"",
                    b"Digest realm=\"B\xfcro\", nonce=\"n\"",
                    b"Digest realm=\"a\\\"b\", nonce=\"n, x\", qop=auth-int",
                    b"Digest nonce=\"\", realm=\"\"",
                ])
                .to_vec(),
            9..12 => token(numbers.one_of(&["NTLM", "Negotiate"]), TYPE_2),
            12 => token(numbers.one_of(&["NTLM", "Negotiate"]), SIXTY_FOUR_KIB),
            13 => token(numbers.one_of(&["NTLM", "Negotiate"]), SPNEGO_TYPE_2),
            14 => token(numbers.one_of(&["NTLM", "Negotiate"]), SPNEGO_ASKS),
            15 => token("Negotiate", SPNEGO_REJECTS),
            16 => {
                let mut damaged = TYPE_2.to_vec();
                let at = numbers.below(damaged.len());
                damaged[at] ^= 1 << numbers.below(8);
                damaged.truncate(1 + numbers.below(damaged.len()));
                token(numbers.one_of(&["NTLM", "Negotiate"]), &damaged)
            }
            17 => numbers.one_of(&[&b"Bearer"[..], b"Hallpass", b"", b",,=\"\\", b"NTLM =", b"\xff\xfe"]).to_vec(),
            18 => b"Basic realm=\"a\", NTLM, Negotiate".to_vec(),
            _ => (0..numbers.below(40)).map(|_| numbers.below(256) as u8).filter(|b| !b"\r\n\0".contains(b)).collect(),
        }
    }
}

fn challenge(fields: Vec<Vec<u8>>, persists: bool) -> Answer {
    Answer::Challenge { fields, persists, stale: false }
}

fn token(scheme: &str, bytes: &[u8]) -> Vec<u8> {
    format!("{scheme} {}", STANDARD.encode(bytes)).into()
}
