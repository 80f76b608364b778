//! Whether the configuration can be used, and what it hardly means.

use std::sync::Arc;
use std::time::Duration;

use super::{Case, Check, Finding, Stage};
use crate::config::{Config, Mistakes};

const NAME: &str = "configuration";
const LIMIT: Duration = Duration::from_secs(5);

pub(super) fn check(case: &Arc<Case>) -> Check {
    let case = case.clone();
    Check::new(Stage::Configuration, NAME, LIMIT, async move { of_warnings(&case) })
}

/// The file cannot be used at all.
pub(super) fn check_of_mistakes(mistakes: &Mistakes) -> Check {
    let finding = of_mistakes(mistakes);
    Check::new(Stage::Configuration, NAME, LIMIT, async move { finding })
}

/// A file that it names cannot be used, such as a certificate.
pub(super) fn check_of_unusable(why: &str) -> Check {
    let finding = Finding::failed(format!("the configuration cannot be used: {why}"), "correct the file that it names");
    Check::new(Stage::Configuration, NAME, LIMIT, async move { finding })
}

fn of_warnings(case: &Case) -> Finding {
    let read = files(&case.config);
    let way = &case.proxy.standing;
    let profile = way.profile.as_ref().map(|name| format!(", profile {name} ({})", way.why)).unwrap_or_default();
    match case.warnings.as_slice() {
        [] => Finding::fine(format!("{read}{profile}")),
        warnings => {
            let count = match warnings.len() {
                1 => "one thing that is hardly meant".into(),
                several => format!("{several} things that are hardly meant"),
            };
            Finding::warning(format!("{read}{profile}: {count}"), "hallpass config check says the same")
                .details(warnings.iter().map(ToString::to_string))
        }
    }
}

fn files(config: &Config) -> String {
    match config.files.as_slice() {
        [] => "no file, so defaults, variables and flags alone".into(),
        files => files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
    }
}

fn of_mistakes(mistakes: &Mistakes) -> Finding {
    let first = mistakes.0.first().map(ToString::to_string).unwrap_or_default();
    let says = match mistakes.0.len() {
        0 | 1 => "the configuration has a mistake".into(),
        several => format!("the configuration has {several} mistakes"),
    };
    let advice = match mistakes.0.len() {
        0 | 1 => format!("correct it: {first}"),
        _ => format!("correct them, the first one is {first}"),
    };
    Finding::failed(says, advice).details(mistakes.0.iter().skip(1).map(ToString::to_string))
}
