//! Whether the credentials of a configuration were ever tried, and with what result: as the record of log-ins has it.

use std::sync::Arc;

use jiff::Timestamp;

use crate::config::{Config, Credential};
use crate::daemon::{Before, tried_before};
use crate::upstream::lockout::Tried;

/// Those that no proxy is known to have accepted, by their names.
pub fn untried(config: &Config) -> Vec<String> {
    let is_untried = |credential: &&Arc<Credential>| is_untried(tried_before(config, credential));
    in_use(config).into_iter().filter(is_untried).map(|credential| credential.name.clone()).collect()
}

/// Those of the tables, and the logged-in identity, which stands in none, where an upstream gets it.
pub fn in_use(config: &Config) -> Vec<&Arc<Credential>> {
    let mut all: Vec<_> = config.credentials.iter().collect();
    for upstream in &config.upstreams {
        if !all.iter().any(|credential| credential.name == upstream.credential.name) {
            all.push(&upstream.credential);
        }
    }
    all
}

/// In words.
pub fn told(config: &Config, credential: &Credential) -> String {
    words(tried_before(config, credential))
}

/// What has no secret cannot lock anybody out.
fn is_untried(before: Before) -> bool {
    match before {
        Before::Uncounted => false,
        Before::Never => true,
        Before::Tried(tried) => !tried.accepted || tried.failed.is_some(),
    }
}

fn words(before: Before) -> String {
    let tried = match before {
        Before::Uncounted => return "logs in with its Kerberos ticket alone, which is not recorded".into(),
        Before::Never => return "never tried".into(),
        Before::Tried(tried) => tried,
    };
    let before = if tried.accepted { "accepted before" } else { "never accepted" };
    match tried {
        Tried { failed: None, accepted: true, .. } => "accepted by a proxy".into(),
        Tried { failed: None, .. } => "known, and not judged".into(),
        Tried { failed: Some(when), rejected: true, .. } => format!("rejected at {}, {before}", moment(when)),
        Tried { failed: Some(when), .. } => {
            format!("tried at {} and nobody said what became of it, {before}", moment(when))
        }
    }
}

fn moment(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    at.map_or_else(|| "an unknown time".into(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_accepted_last_and_what_cannot_be_refused_is_handed_out() {
        let tried = |accepted, failed, rejected| Before::Tried(Tried { accepted, failed, rejected });
        for (before, is_handed_out, says) in [
            (Before::Uncounted, true, "logs in with its Kerberos ticket alone, which is not recorded"),
            (Before::Never, false, "never tried"),
            (tried(true, None, false), true, "accepted by a proxy"),
            (tried(false, None, false), false, "known, and not judged"),
            (tried(false, Some(0), true), false, "rejected at 1970-01-01T00:00:00Z, never accepted"),
            (tried(true, Some(0), true), false, "rejected at 1970-01-01T00:00:00Z, accepted before"),
            (
                tried(true, Some(0), false),
                false,
                "tried at 1970-01-01T00:00:00Z and nobody said what became of it, accepted before",
            ),
        ] {
            assert_eq!((!is_untried(before), words(before).as_str()), (is_handed_out, says), "{before:?}");
        }
    }
}
