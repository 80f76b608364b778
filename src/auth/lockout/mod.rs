//! The lock-out breaker's thinking: what is known of a secret, when it may be shown, how many may show it at a time.
//!
//! A directory counts wrong passwords per account and locks the account after a few, wherever they come from. So a
//! leg that shows a secret needs a [`Leave`], and the leave holds the secret: who has none can show nothing.

mod account;
mod entry;
mod window;

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

pub use account::AccountName;
pub use entry::{Ask, Closed, Entry, FIRST_PAUSE, Now, PAUSE, Scope, Trials};
pub use window::Window;

use super::MechanismError;
use crate::secret::Secret;

/// What an account proves itself with, as it is configured.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    Password(Secret),
    NtHash(Secret),
    /// The file as it is.
    Keytab(Arc<Zeroizing<Vec<u8>>>),
    /// Of whoever is logged in: the system keeps the secret to itself, and this tells one log-on from others.
    LogOn(Arc<str>),
}

impl Proof {
    /// The kind, and the octets that tell one secret from another.
    pub fn parts(&self) -> [&[u8]; 2] {
        match self {
            Self::Password(secret) => [b"password", secret.expose().as_bytes()],
            Self::NtHash(secret) => [b"nt_hash", secret.expose().as_bytes()],
            Self::Keytab(bytes) => [b"keytab", bytes],
            Self::LogOn(which) => [b"log_on", which.as_bytes()],
        }
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[proof]")
    }
}

/// What a scheme puts at risk at an upstream: an account, and the secret that is configured for it.
pub trait Stake: Send + Sync {
    fn account(&self) -> &AccountName;

    /// The secret, if it was read before. Does not block.
    fn known(&self) -> Option<Proof>;

    /// Reads it where it was not read before. May block.
    fn read(&self) -> Result<Proof, MechanismError>;

    /// Reads it anew: it may have been changed. What was derived from another one is forgotten. May block.
    fn read_anew(&self) -> Result<Proof, MechanismError>;

    /// What was read from a file that holds something else by now is read anew, and what was derived from it forgotten. May
    /// block.
    fn freshen(&self);

    /// What was read, and derived from it, before a person asked for a fresh start for the so manieth time is forgotten.
    /// Does not block.
    fn renew(&self, generation: u64);
}

/// What became of a secret that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    Rejected,
    /// Somebody answered who may not have looked at it.
    Unclear,
}

/// What counts a showing. One that is dropped without a verdict was given up by whoever waited for it: what was shown
/// may have been judged, and one more trial need not wait.
pub trait Permit: Send + Sync {
    /// Nobody has found the secret bad in the meantime.
    fn is_good(&self) -> bool;

    /// Somebody has judged what it let us show.
    fn is_spent(&self) -> bool;

    /// The secret was accepted before.
    fn is_proven(&self) -> bool;

    /// What shows the secret goes out now.
    fn show(&self);

    /// It did not go out after all, so there is nothing to be judged.
    fn withhold(&self);

    /// Only the first verdict counts. A rejection is written to disk, so this may block.
    fn judge(&self, verdict: Verdict);

    /// There will be no verdict: the connection broke. It may have been judged.
    fn lose(&self);

    /// When it may be shown again, now that it was rejected.
    fn closed(&self) -> Closed;
}

/// Leave to show a secret, once.
pub struct Leave {
    proof: Proof,
    permit: Box<dyn Permit>,
}

impl Leave {
    pub fn new(proof: Proof, permit: Box<dyn Permit>) -> Self {
        Self { proof, permit }
    }

    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    pub fn permit(&self) -> &dyn Permit {
        &*self.permit
    }
}

impl fmt::Debug for Leave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[leave]")
    }
}
