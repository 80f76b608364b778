//! Whether the credentials of a configuration were ever tried, and with what result: as the record of log-ins has it.

use jiff::Timestamp;

use crate::config::{Config, Credential};
use crate::daemon::tried_before;

/// Those that no proxy is known to have accepted, by their names. The logged-in identity is not counted, nor is it at risk.
pub fn untried(config: &Config) -> Vec<String> {
    let counts = |credential: &&std::sync::Arc<Credential>| credential.user.is_some() || credential.keytab.is_some();
    let is_untried = |credential: &&std::sync::Arc<Credential>| {
        tried_before(config, credential).is_none_or(|tried| !tried.accepted || tried.failed.is_some())
    };
    let all = config.credentials.iter().filter(counts).filter(is_untried);
    all.map(|credential| credential.name.clone()).collect()
}

/// In words.
pub fn told(config: &Config, credential: &Credential) -> String {
    if credential.user.is_none() && credential.keytab.is_none() {
        return "the logged-in identity: its log-ins are not recorded".into();
    }
    let Some(tried) = tried_before(config, credential) else { return "never tried".into() };
    let before = if tried.accepted { "accepted before" } else { "never accepted" };
    match (tried.failed, tried.rejected) {
        (None, _) if tried.accepted => "accepted by a proxy".into(),
        (None, _) => "known, and not judged".into(),
        (Some(when), true) => format!("rejected at {}, {before}", moment(when)),
        (Some(when), false) => format!("tried at {} and nobody said what became of it, {before}", moment(when)),
    }
}

fn moment(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    at.map_or_else(|| "an unknown time".into(), |at| at.to_string())
}
