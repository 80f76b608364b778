//! Which of several faults is the cause, and which follow from it. Thinks only.

use std::time::Duration;

use super::check::{Check, Finding, Stage, State};

/// A check that has ended, or that is still to.
pub(super) struct Ended {
    pub name: String,
    pub stage: Stage,
    pub rests_on: Vec<String>,
    pub is_goal: bool,
    pub finding: Finding,
    pub took: Duration,
}

impl Ended {
    pub fn not_yet(check: &Check) -> Self {
        Self {
            name: check.name.clone(),
            stage: check.stage,
            rests_on: check.rests_on.clone(),
            is_goal: check.is_goal,
            finding: Finding::skipped("it was not reached"),
            took: Duration::ZERO,
        }
    }

    fn has_failed(&self) -> bool {
        self.finding.state == State::Failed
    }

    /// What a fault of it may follow from.
    fn reasons(&self) -> &[String] {
        self.finding.explained_by.as_deref().unwrap_or(&self.rests_on)
    }
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub state: State,
    pub says: String,
    pub advice: Option<String>,
    pub details: Vec<String>,
    /// The check whose fault this one follows from: nothing is to be done here.
    pub because: Option<String>,
    pub took: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// In the order of the checks.
    pub entries: Vec<Entry>,
    /// The place of the most fundamental fault.
    cause: Option<usize>,
    pub took: Duration,
}

impl Report {
    pub fn cause(&self) -> Option<&Entry> {
        self.entries.get(self.cause?)
    }

    pub fn has_failed(&self) -> bool {
        self.cause.is_some()
    }
}

pub(super) fn judge(mut ended: Vec<Ended>, took: Duration) -> Report {
    soften(&mut ended);
    let because: Vec<Option<usize>> = (0..ended.len()).map(|at| origin(&ended, at)).collect();
    let rank = |at: &usize| (!matters(&ended, &because, *at), ended[*at].stage, *at);
    let faults = (0..ended.len()).filter(|at| ended[*at].has_failed() && because[*at].is_none());
    let cause = faults.min_by_key(rank);
    let names: Vec<String> = ended.iter().map(|check| check.name.clone()).collect();
    let entries = ended.into_iter().zip(because).map(|(Ended { name, finding, took, .. }, because)| Entry {
        name,
        state: finding.state,
        says: finding.says,
        advice: finding.advice,
        details: finding.details,
        because: because.and_then(|at| names.get(at).cloned()),
        took,
    });
    Report { entries: entries.collect(), cause, took }
}

/// What leads to goals that are all reached cannot be broken: another way led there.
fn soften(ended: &mut [Ended]) {
    let is_bypassed = |at: usize| {
        let mut goals = (0..ended.len()).filter(|goal| ended[*goal].is_goal && leads(ended, *goal, at)).peekable();
        goals.peek().is_some() && goals.all(|goal| matches!(ended[goal].finding.state, State::Fine | State::Warning))
    };
    let bypassed: Vec<usize> =
        (0..ended.len()).filter(|at| ended[*at].has_failed() && !ended[*at].is_goal && is_bypassed(*at)).collect();
    for at in bypassed {
        ended[at].finding.state = State::Warning;
    }
}

/// Whether the check at `at` rests on the one at `on`, by others or not.
fn leads(ended: &[Ended], at: usize, on: usize) -> bool {
    before(ended, at, &ended[at].rests_on).any(|earlier| earlier == on || leads(ended, earlier, on))
}

/// The places of these names that stand before `at`: so there are no circles.
fn before<'a>(ended: &'a [Ended], at: usize, names: &'a [String]) -> impl Iterator<Item = usize> + 'a {
    (0..at).filter(move |earlier| names.contains(&ended[*earlier].name))
}

/// The most fundamental fault that this one follows from, if it is one, or was not looked at.
fn origin(ended: &[Ended], at: usize) -> Option<usize> {
    if !matches!(ended[at].finding.state, State::Failed | State::Skipped) {
        return None;
    }
    let origins = before(ended, at, ended[at].reasons()).filter_map(|earlier| {
        let further = origin(ended, earlier);
        further.or_else(|| ended[earlier].has_failed().then_some(earlier))
    });
    origins.min_by_key(|origin| (ended[*origin].stage, *origin))
}

/// A fault that keeps the user from what they want goes before one that does not.
fn matters(ended: &[Ended], because: &[Option<usize>], fault: usize) -> bool {
    let keeps_from = |at: usize| ended[at].is_goal && (at == fault || because[at] == Some(fault));
    ended[fault].stage == Stage::Configuration || (0..ended.len()).any(keeps_from)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Row(&'static str, Stage, State, &'static [&'static str]);

    fn ended(rows: &[Row]) -> Vec<Ended> {
        let row = |Row(name, stage, state, rests_on): &Row| Ended {
            name: (*name).into(),
            stage: *stage,
            rests_on: rests_on.iter().map(ToString::to_string).collect(),
            is_goal: *stage == Stage::Target,
            finding: Finding { state: *state, ..Finding::fine("x") },
            took: Duration::ZERO,
        };
        rows.iter().map(row).collect()
    }

    /// The cause, and what each check is explained with.
    fn judged(ended: Vec<Ended>) -> (Option<String>, Vec<(State, Option<String>)>) {
        let report = judge(ended, Duration::ZERO);
        let cause = report.cause().map(|entry| entry.name.clone());
        (cause, report.entries.into_iter().map(|entry| (entry.state, entry.because)).collect())
    }

    use Stage::{Credential, Kerberos, Surroundings, Target, Upstream};
    use State::{Failed, Fine, Skipped, Warning};

    #[test]
    fn what_follows_from_a_fault_is_none_of_its_own() {
        let (cause, entries) = judged(ended(&[
            Row("upstream", Upstream, Fine, &[]),
            Row("kerberos", Kerberos, Failed, &["upstream"]),
            Row("credential", Credential, Failed, &["upstream", "kerberos"]),
            Row("target", Target, Failed, &["credential"]),
            Row("issuer", Stage::Inspection, Skipped, &["target"]),
        ]));
        let kerberos = Some("kerberos".to_string());
        assert_eq!(cause, kerberos);
        assert_eq!(
            entries,
            [(Fine, None), (Failed, None), (Failed, kerberos.clone()), (Failed, kerberos.clone()), (Skipped, kerberos)]
        );
    }

    #[test]
    fn a_fault_that_another_way_leads_around_is_a_warning() {
        let (cause, entries) = judged(ended(&[
            Row("upstream", Upstream, Failed, &[]),
            Row("kerberos", Kerberos, Failed, &[]),
            Row("credential", Credential, Fine, &["kerberos"]),
            Row("target", Target, Fine, &["credential", "upstream"]),
        ]));
        assert_eq!((cause, entries[0].0, entries[1].0), (None, Warning, Warning));
    }

    #[test]
    fn a_way_is_broken_as_long_as_one_goal_is_not_reached() {
        let (cause, _) = judged(ended(&[
            Row("upstream", Upstream, Failed, &[]),
            Row("one", Target, Fine, &["upstream"]),
            Row("other", Target, Failed, &["upstream"]),
        ]));
        assert_eq!(cause.as_deref(), Some("upstream"));
    }

    #[test]
    fn what_keeps_from_a_goal_goes_before_what_is_broken_beside_it() {
        let rows = [
            Row("relay", Stage::Listener, Failed, &[]),
            Row("dead", Upstream, Failed, &[]),
            Row("alive", Upstream, Fine, &[]),
            Row("target", Target, Failed, &["dead", "alive"]),
            Row("shells", Surroundings, Failed, &[]),
        ];
        let mut checks = ended(&rows);
        // The second upstream said no: that the first one is dead does not explain it.
        checks[3].finding = Finding { state: Failed, ..Finding::fine("x").explained_by(["alive"]) };
        let (cause, entries) = judged(checks);
        assert_eq!((cause.as_deref(), &entries[3].1), (Some("target"), &None));
        assert_eq!(judged(ended(&rows)).0.as_deref(), Some("dead"));
        assert_eq!(judged(ended(&rows[4..])).0.as_deref(), Some("shells"));
    }

    #[test]
    fn only_what_stands_before_a_check_explains_it() {
        let (cause, entries) =
            judged(ended(&[Row("one", Upstream, Failed, &["other"]), Row("other", Kerberos, Failed, &["one"])]));
        assert_eq!(
            (cause.as_deref(), entries[0].1.as_deref(), entries[1].1.as_deref()),
            (Some("one"), None, Some("one"))
        );
    }
}
