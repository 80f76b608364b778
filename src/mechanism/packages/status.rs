//! What the packages answer, for people: what is missing, and what to do about it.

use super::{Package, Status};
use crate::auth::{Lack, Lacking};

/// Of winerror.h.
mod code {
    pub const UNSUPPORTED_FUNCTION: u32 = 0x8009_0302;
    pub const TARGET_UNKNOWN: u32 = 0x8009_0303;
    pub const SECPKG_NOT_FOUND: u32 = 0x8009_0305;
    pub const INVALID_TOKEN: u32 = 0x8009_0308;
    pub const LOGON_DENIED: u32 = 0x8009_030c;
    pub const UNKNOWN_CREDENTIALS: u32 = 0x8009_030d;
    pub const NO_CREDENTIALS: u32 = 0x8009_030e;
    pub const NO_AUTHENTICATING_AUTHORITY: u32 = 0x8009_0311;
    pub const WRONG_PRINCIPAL: u32 = 0x8009_0322;
    pub const TIME_SKEW: u32 = 0x8009_0324;
    pub const KDC_UNKNOWN_ETYPE: u32 = 0x8009_0342;
    pub const BAD_BINDINGS: u32 = 0x8009_0346;
    pub const DOWNGRADE_DETECTED: u32 = 0x8009_0350;
}

impl Status {
    pub(in super::super) fn is_error(self) -> bool {
        self.0 < 0
    }

    fn code(self) -> u32 {
        self.0.cast_unsigned()
    }

    /// The directory has another name for it, or none.
    pub(in super::super) fn is_unknown_service(self) -> bool {
        [code::TARGET_UNKNOWN, code::WRONG_PRINCIPAL].contains(&self.code())
    }

    /// Somebody who knows has refused the secret.
    pub(in super::super) fn is_verdict(self) -> bool {
        self.code() == code::LOGON_DENIED
    }

    /// Nobody who knows was reached, so nobody was shown anything.
    pub(in super::super) fn was_heard_by_nobody(self) -> bool {
        self.code() == code::NO_AUTHENTICATING_AUTHORITY
    }
}

impl Package {
    pub(in super::super) fn explain(self, status: Status, service: &str) -> Lacking {
        let (package, code) = (self.name(), status.code());
        let (what, why) = match code {
            code::NO_CREDENTIALS | code::UNKNOWN_CREDENTIALS => (
                Lack::Ticket,
                "whoever is logged in to Windows has no account there that works beyond this machine; log in with the \
                 account of the domain, or name a user and a password"
                    .into(),
            ),
            code::TARGET_UNKNOWN | code::WRONG_PRINCIPAL => (
                Lack::Service,
                format!("the directory does not know the service {service}; set `spn` or `canonicalize`"),
            ),
            code::TIME_SKEW => (Lack::Clock, "this machine's clock and the domain's are too far apart".into()),
            code::LOGON_DENIED => (
                Lack::Ticket,
                "the directory refuses the password that Windows was logged in to with; lock the screen and unlock it \
                 with the present one, then hallpass status --retry"
                    .into(),
            ),
            code::NO_AUTHENTICATING_AUTHORITY => {
                (Lack::Kdc, "no domain controller answers; is this machine in the domain's network?".into())
            }
            code::UNSUPPORTED_FUNCTION => (
                Lack::Other,
                format!(
                    "a policy of this machine or of the account forbids {package} (\"Restrict NTLM\", Protected Users)"
                ),
            ),
            code::SECPKG_NOT_FOUND => (Lack::Other, format!("this Windows has no {package}")),
            code::INVALID_TOKEN => (Lack::Other, "the upstream's message makes no sense to it".into()),
            code::KDC_UNKNOWN_ETYPE => (
                Lack::Service,
                format!("the directory has no key for {service} of a kind that this machine takes (RC4 only?)"),
            ),
            code::BAD_BINDINGS => (Lack::Other, "the upstream's certificate is not the one that it binds to".into()),
            code::DOWNGRADE_DETECTED => {
                (Lack::Kdc, "somebody on the way to the domain controller weakens the log-on".into())
            }
            _ => (Lack::Other, format!("it gives no message for {service}")),
        };
        Lacking::new(what, format!("{package} of Windows: {why} ({code:#010x})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_says_what_is_missing_and_what_to_do() {
        for (code, what, words) in [
            (0x8009_030e_u32, Lack::Ticket, "name a user and a password (0x8009030e)"),
            (0x8009_0303, Lack::Service, "HTTP/proxy; set `spn` or `canonicalize`"),
            (0x8009_0322, Lack::Service, "HTTP/proxy; set `spn`"),
            (0x8009_0324, Lack::Clock, "clock"),
            (0x8009_030c, Lack::Ticket, "unlock it with the present one, then hallpass status --retry (0x8009030c)"),
            (0x8009_0311, Lack::Kdc, "no domain controller answers"),
            (0x8009_0302, Lack::Other, "forbids Kerberos"),
            (0x8009_0342, Lack::Service, "no key for HTTP/proxy"),
            (0xc000_0001, Lack::Other, "HTTP/proxy (0xc0000001)"),
        ] {
            let status = Status(code.cast_signed());
            let lacking = Package::Kerberos.explain(status, "HTTP/proxy");
            assert_eq!(lacking.what, what, "{code:x}");
            assert!(lacking.why.starts_with("Kerberos of Windows: ") && lacking.why.contains(words), "{lacking}");
            assert!(status.is_error());
        }
        assert!(!Status(0x0009_0312).is_error() && !Status(0).is_error());
    }
}
