//! The security packages of Windows (SSPI), by which whoever is logged in logs on elsewhere.
//!
//! NTLM and Kerberos are asked for by their names and never through the package Negotiate, which changes from the one
//! to the other without a word: which of them may show what, and where, is for the exchange and the breaker to say.

mod status;
#[cfg(windows)]
mod windows;

#[cfg(windows)]
pub(super) use windows::{Context, Credentials, Tgt, tgt};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Package {
    Kerberos,
    Ntlm,
}

/// What a package answers, as winerror.h has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status(pub(super) i32);

impl Package {
    fn name(self) -> &'static str {
        match self {
            Self::Kerberos => "Kerberos",
            Self::Ntlm => "NTLM",
        }
    }
}
