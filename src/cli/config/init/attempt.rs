//! What a trial means for whoever sets hallpass up.

use std::fmt;

use crate::address::Target;
use crate::auth::lockout::Closed;
use crate::auth::{Refusal, Rejection, Scheme};
use crate::daemon::Trial;
use crate::proxy::chain;
use crate::upstream::{ConnectCause, ConnectError};

/// Who tries.
pub enum Account {
    /// There is no password yet, and no ticket.
    Nobody,
    /// In words.
    Known(String),
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("us"),
            Self::Known(who) => f.write_str(who),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It works. Without a scheme nobody asked who we are, so nothing is known about an account.
    Works { scheme: Option<Scheme> },
    /// The proxy answered, and what stands behind it is another matter.
    Forbidden { scheme: Option<Scheme> },
    /// No proxy was on the way.
    Direct,
    /// A log-in is wanted, and there is nothing to log in with.
    WantsAccount,
    /// It wants the password as it is.
    WantsBasic,
    /// An account that another password does not help.
    Locked,
    /// The secret was found bad, now or before.
    WrongPassword,
    /// There is no proxy there, or none that can be talked with.
    OutOfReach,
}

/// What happened, for a person, and what follows.
pub fn judge(trial: &Trial, target: &Target, account: &Account) -> (Outcome, String) {
    match trial {
        Trial::Through { hop, scheme: Some(scheme) } => (
            Outcome::Works { scheme: Some(*scheme) },
            format!("It works: {hop} let {account} through to {target} ({scheme})."),
        ),
        Trial::Through { hop, scheme: None } => (
            Outcome::Works { scheme: None },
            format!("It works: {hop} let us through to {target} and asked for no log-in."),
        ),
        Trial::Answered { hop, scheme, status } => answered(&hop.to_string(), *scheme, *status, target, account),
        Trial::Direct(why) => {
            (Outcome::Direct, format!("No proxy was tried: {target} is reached directly ({why}). Try another target."))
        }
        Trial::NoWay(why) => (Outcome::OutOfReach, format!("There is no way to {target}: {why}.")),
        Trial::Failed(error) => failed(error, account),
    }
}

fn answered(hop: &str, scheme: Option<Scheme>, status: u16, target: &Target, account: &Account) -> (Outcome, String) {
    let means = match status {
        401 | 403 | 451 => {
            format!("this target is forbidden ({status}): the proxy's rules do not let {target} through")
        }
        502..=504 => format!("the proxy could not reach {target} itself ({status})"),
        _ => format!("the proxy answered {status} for {target}"),
    };
    let text = match scheme {
        Some(scheme) => format!("{hop} accepted {account} ({scheme}), but {means}."),
        None => format!("{hop} did not ask for a log-in, but {means}."),
    };
    (Outcome::Forbidden { scheme }, text)
}

fn failed(error: &ConnectError, account: &Account) -> (Outcome, String) {
    let hop = &error.hop;
    match &error.cause {
        ConnectCause::Refused(Refusal::Rejected { scheme, why: Rejection::Locked }) => {
            let text =
                format!("{hop} did not let {account} in ({scheme}): {}. Have it unlocked first.", Rejection::Locked);
            (Outcome::Locked, text)
        }
        ConnectCause::Refused(Refusal::Rejected { scheme, why }) => {
            (Outcome::WrongPassword, format!("{hop} did not accept the password of {account} ({scheme}): {why}."))
        }
        ConnectCause::Refused(Refusal::Closed(closed)) => (Outcome::WrongPassword, known_bad(closed, account)),
        ConnectCause::Refused(Refusal::NoCredential(why)) => (
            Outcome::WantsAccount,
            match account {
                Account::Nobody => format!("{hop} asks for a log-in."),
                Account::Known(_) => format!("{hop} asks for a log-in, and there is none to send: {why}."),
            },
        ),
        ConnectCause::Refused(Refusal::NoScheme { offered, .. }) if has_basic(offered) => (
            Outcome::WantsBasic,
            format!(
                "{hop} asks for Basic authentication alone: the password would go over the network as it is, {}.",
                if hop.to_string().starts_with("https:") { "inside TLS" } else { "for everyone on the way to read" }
            ),
        ),
        ConnectCause::Refused(Refusal::NoScheme { .. } | Refusal::Crowded | Refusal::Broken | Refusal::Endless)
        | ConnectCause::Dial(_)
        | ConnectCause::Tls(_)
        | ConnectCause::HandshakeTimeout { .. }
        | ConnectCause::Broken(_)
        | ConnectCause::Socks(_)
        | ConnectCause::Unknown
        | ConnectCause::Mistake => (Outcome::OutOfReach, format!("{hop} cannot be used: {}.", chain(&error.cause))),
    }
}

/// Nothing was sent.
fn known_bad(closed: &Closed, account: &Account) -> String {
    let what = match closed.rejected {
        true => format!("this password of {account} was refused before, so it was not sent again"),
        false => format!("nobody has said whether this password of {account} is good, so it was not sent again"),
    };
    format!("Nothing was tried: {what}. If it is right now, hallpass status --retry allows one more try.")
}

fn has_basic(offered: &str) -> bool {
    offered.split([',', ' ']).any(|scheme| scheme.eq_ignore_ascii_case(Scheme::Basic.token()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Hop;
    use crate::upstream::DialError;

    fn judged(trial: &Trial) -> (Outcome, String) {
        judge(trial, &Target::parse("t.test:443", None).unwrap(), &Account::Known("CORP\\alice".into()))
    }

    fn refused(refusal: Refusal) -> Trial {
        cause(ConnectCause::Refused(refusal))
    }

    fn cause(cause: ConnectCause) -> Trial {
        let target = Target::parse("t.test:443", None).unwrap();
        Trial::Failed(Box::new(ConnectError::new(&target, &Hop::Direct, cause)))
    }

    #[test]
    fn each_end_of_a_trial_says_what_happened_and_what_follows() {
        let scheme = Some(Scheme::Ntlm);
        let answered = |scheme, status| Trial::Answered { hop: Hop::Direct, scheme, status };
        let offered = |offered: &str| Refusal::NoScheme { offered: offered.into(), allowed: "NTLM".into() };
        let closed = Refusal::Closed(Closed { rejected: true, since: 0, next: None });
        for (trial, outcome, words) in [
            (Trial::Through { hop: Hop::Direct, scheme }, Outcome::Works { scheme }, "let CORP\\alice through"),
            (Trial::Through { hop: Hop::Direct, scheme: None }, Outcome::Works { scheme: None }, "asked for no log-in"),
            (
                answered(scheme, 403),
                Outcome::Forbidden { scheme },
                "accepted CORP\\alice (NTLM), but this target is forbidden",
            ),
            (answered(scheme, 503), Outcome::Forbidden { scheme }, "could not reach t.test:443 itself"),
            (
                answered(None, 418),
                Outcome::Forbidden { scheme: None },
                "did not ask for a log-in, but the proxy answered 418",
            ),
            (Trial::Direct("a rule".into()), Outcome::Direct, "reached directly (a rule)"),
            (Trial::NoWay("denied".into()), Outcome::OutOfReach, "no way to t.test:443: denied"),
            (
                refused(Refusal::Rejected { scheme: Scheme::Ntlm, why: Rejection::Unsaid }),
                Outcome::WrongPassword,
                "did not accept the password of CORP\\alice (NTLM)",
            ),
            (
                refused(Refusal::Rejected { scheme: Scheme::Negotiate, why: Rejection::Locked }),
                Outcome::Locked,
                "Have it unlocked first",
            ),
            (refused(closed), Outcome::WrongPassword, "Nothing was tried"),
            (refused(offered("Basic, X")), Outcome::WantsBasic, "Basic authentication alone"),
            (refused(offered("Hawk")), Outcome::OutOfReach, "offered: Hawk"),
            (cause(DialError::NoAddress("p.test".into()).into()), Outcome::OutOfReach, "cannot be used"),
        ] {
            let (found, said) = judged(&trial);
            assert!(found == outcome && said.contains(words), "{found:?} {said}");
        }
    }
}
