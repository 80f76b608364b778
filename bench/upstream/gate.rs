//! Who gets in: nobody is asked, or a password is really verified.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use hallpass::practice::{Account, Accounts, NtlmJudge, Verdict};
use libgssapi::context::{SecurityContext, ServerCtx};
use libgssapi::credential::{Cred, CredUsage};

use crate::head::Head;

pub const DOMAIN: &str = "BENCH";
pub const USER: &str = "alice";
pub const PASSWORD: &str = "Alice-Pw-1";
/// Where the system's Kerberos library is told of the keytab that tickets are checked by.
pub const KEYTAB: &str = "KRB5_KTNAME";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub enum Auth {
    None,
    Basic,
    Ntlm,
    Negotiate,
}

impl Auth {
    pub const ALL: [Self; 4] = [Self::None, Self::Basic, Self::Ntlm, Self::Negotiate];
}

/// What all connections of one port have in common.
#[derive(Clone)]
pub struct Gate {
    auth: Auth,
    accounts: Accounts,
    basic: Arc<str>,
    /// The service's key, where there is a keytab.
    key: Option<Cred>,
}

impl Gate {
    pub fn new(auth: Auth) -> Self {
        let pair = format!("{USER}:{PASSWORD}");
        Self {
            auth,
            accounts: Accounts::new([Account::new(DOMAIN, USER, PASSWORD)]),
            basic: format!("Basic {}", STANDARD.encode(pair)).into(),
            key: std::env::var_os(KEYTAB).and_then(|_| Cred::acquire(None, None, CredUsage::Accept, None).ok()),
        }
    }
}

/// One connection's state: what NTLM and Negotiate prove holds for all requests that follow.
pub struct Door {
    gate: Gate,
    judge: NtlmJudge,
    known: bool,
}

pub enum Answer {
    /// Known already, or nobody asks.
    Enter,
    /// The password was right.
    LoggedOn,
    /// A 407 with this challenge.
    Challenge(String),
    /// A proof was wrong.
    Refused(String),
}

impl Door {
    pub fn new(gate: Gate) -> Self {
        Self { known: gate.auth == Auth::None, judge: NtlmJudge::default(), gate }
    }

    pub fn knock(&mut self, head: &Head) -> Answer {
        if self.known {
            return Answer::Enter;
        }
        let shown = head.field("proxy-authorization");
        match (self.gate.auth, shown) {
            (Auth::None, _) => Answer::Enter,
            // Basic proves nothing for the connection: each request brings it.
            (Auth::Basic, Some(shown)) if shown == &*self.gate.basic => Answer::LoggedOn,
            (Auth::Basic, Some(_)) => Answer::Refused("Basic realm=\"bench\"".into()),
            (Auth::Basic, None) => Answer::Challenge("Basic realm=\"bench\"".into()),
            (Auth::Ntlm, Some(shown)) => self.ntlm(shown, "NTLM"),
            (Auth::Ntlm, None) => Answer::Challenge("NTLM".into()),
            (Auth::Negotiate, Some(shown)) => self.negotiate(shown),
            (Auth::Negotiate, None) => Answer::Challenge("Negotiate".into()),
        }
    }

    /// A ticket, or NTLM by this name.
    fn negotiate(&mut self, shown: &str) -> Answer {
        let token = token(shown);
        if token.starts_with(b"NTLMSSP\0") {
            return self.ntlm(shown, "Negotiate");
        }
        let mut context = ServerCtx::new(self.gate.key.clone());
        if context.step(&token, None).is_ok() && context.is_complete() {
            self.known = true;
            return Answer::LoggedOn;
        }
        Answer::Refused("Negotiate".into())
    }

    fn ntlm(&mut self, shown: &str, scheme: &str) -> Answer {
        match self.judge.step(&self.gate.accounts, DOMAIN, None, &token(shown)) {
            Verdict::Challenge(token) => Answer::Challenge(format!("{scheme} {}", STANDARD.encode(token))),
            Verdict::Accept(_) => {
                self.known = true;
                Answer::LoggedOn
            }
            Verdict::Reject(_) | Verdict::OutOfOrder => Answer::Refused(scheme.into()),
        }
    }
}

/// What stands behind the scheme's name.
fn token(shown: &str) -> Vec<u8> {
    shown.split_once(' ').and_then(|(_, token)| STANDARD.decode(token.trim()).ok()).unwrap_or_default()
}
