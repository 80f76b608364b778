//! What is known of one secret of one account: the schedule of its trials.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// After the first failure.
pub const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// After each further one. Longer than the half hour after which directories commonly forget.
pub const PAUSE: Duration = Duration::from_secs(35 * 60);

/// The time, told by two clocks: one that only this process has and that never goes back, and the world's, which
/// outlives the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since any beginning.
    pub moment: Duration,
    /// Seconds since 1970.
    pub wall: u64,
}

/// A run of trials without a success.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trials {
    pub failures: u32,
    /// When the last one began or was rejected, in seconds since 1970.
    pub last: u64,
    /// It was rejected. Else nobody said what became of it.
    pub rejected: bool,
    /// The same time by this process's own clock, so that nobody who sets the world's changes a pause.
    #[serde(skip)]
    seen: Option<Seen>,
    #[serde(skip)]
    pardon: Pardon,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    at: Duration,
    /// What had passed by then.
    passed: Duration,
}

/// One trial that was most likely not counted does not have the next one wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Pardon {
    #[default]
    None,
    Given,
    Used,
}

/// When it may be shown again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    pub rejected: bool,
    /// Seconds since 1970.
    pub since: u64,
    /// `None`: not before something changes.
    pub next: Option<Duration>,
}

/// Whose run of trials a trial belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Wherever it is shown.
    Everywhere,
    /// Others take it, and only this upstream does not.
    Here,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// It is good as far as anybody knows.
    Free,
    /// By one request, which is written down before.
    Trial(Scope),
    Closed(Closed),
}

/// One secret. Its digest is slow to try guesses against.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub digest: String,
    /// Of two versions of an entry, the one with more changes is the newer one.
    pub changes: u64,
    /// How often a person had asked for a fresh start when it was judged.
    pub generation: u64,
    /// By somebody, once.
    pub accepted: bool,
    #[serde(default)]
    pub trials: Trials,
    /// Who rejected it and has not taken it since, though another one has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused_by: Vec<(String, Trials)>,
}

impl Trials {
    fn begin(&mut self, now: Now) {
        self.failures = self.failures.saturating_add(1);
        self.rejected = false;
        self.mark(now);
        if self.pardon == Pardon::Given {
            self.pardon = Pardon::Used;
        }
    }

    fn reject(&mut self, now: Now) {
        self.failures = self.failures.max(1);
        self.rejected = true;
        self.mark(now);
    }

    fn mark(&mut self, now: Now) {
        self.last = now.wall;
        self.seen = Some(Seen { at: now.moment, passed: Duration::ZERO });
    }

    /// Read from disk: what has passed is told by the world's clock once, and by our own from then on. If the
    /// world's was set back, the whole pause begins anew.
    fn settle(&mut self, now: Now) {
        let passed = Duration::from_secs(now.wall.saturating_sub(self.last));
        self.seen.get_or_insert(Seen { at: now.moment, passed });
    }

    fn pardon(&mut self) {
        if self.pardon == Pardon::None && !self.rejected {
            self.pardon = Pardon::Given;
        }
    }

    /// Somebody answered, and not that it is bad: no more than a short pause.
    fn doubt(&mut self) {
        self.failures = self.failures.min(1);
        self.pardon();
    }

    /// `None`: there may be a trial now.
    fn closed(&self, accepted: bool, now: Now) -> Option<Closed> {
        if self.pardon == Pardon::Given {
            return None;
        }
        let closed = |next| Some(Closed { rejected: self.rejected, since: self.last, next });
        if self.rejected && !accepted {
            return closed(None);
        }
        let pause = if self.failures <= 1 { FIRST_PAUSE } else { PAUSE };
        let passed = self.seen.map_or(Duration::ZERO, |seen| seen.passed + now.moment.saturating_sub(seen.at));
        let left = pause.saturating_sub(passed);
        if left.is_zero() { None } else { closed(Some(left)) }
    }
}

impl Entry {
    pub fn new(digest: String, generation: u64) -> Self {
        Self { digest, generation, ..Self::default() }
    }

    /// As it was read from disk.
    pub fn settle(&mut self, now: Now) {
        self.trials.settle(now);
        self.refused_by.iter_mut().for_each(|(_, trials)| trials.settle(now));
    }

    /// A person asked for a fresh start.
    pub fn renew(&mut self, generation: u64) {
        if self.generation < generation {
            *self = Self { accepted: self.accepted, ..Self::new(std::mem::take(&mut self.digest), generation) }
                .after(self.changes);
        }
    }

    fn after(self, changes: u64) -> Self {
        Self { changes: changes + 1, ..self }
    }

    /// Whether it may be shown to this upstream.
    pub fn ask(&self, upstream: &str, now: Now) -> Ask {
        let (trials, scope) = match self.at(upstream) {
            Some(trials) if self.trials.failures == 0 => (trials, Scope::Here),
            Some(_) | None => (&self.trials, Scope::Everywhere),
        };
        match trials.failures {
            0 if self.accepted => Ask::Free,
            0 => Ask::Trial(Scope::Everywhere),
            _ => trials.closed(self.accepted, now).map_or(Ask::Trial(scope), Ask::Closed),
        }
    }

    /// What there is to say to whoever cannot show it.
    pub fn closed(&self, upstream: &str, now: Now) -> Closed {
        match self.ask(upstream, now) {
            Ask::Closed(closed) => closed,
            Ask::Free | Ask::Trial(_) => {
                Closed { rejected: self.trials.rejected, since: self.trials.last, next: Some(Duration::ZERO) }
            }
        }
    }

    pub fn begin(&mut self, scope: Scope, upstream: &str, now: Now) {
        self.trials_of(scope, upstream).begin(now);
        self.changes += 1;
    }

    /// The trial was not made after all.
    pub fn withdraw(&mut self, scope: Scope, upstream: &str, before: Trials) {
        *self.trials_of(scope, upstream) = before;
        self.changes += 1;
    }

    /// The trial was most likely not counted: one more need not wait.
    pub fn pardon(&mut self, scope: Scope, upstream: &str) {
        self.trials_of(scope, upstream).pardon();
    }

    /// Whether the next trial has to wait if nobody hears what becomes of this one.
    pub fn is_past_pardon(&self, scope: Scope, upstream: &str) -> bool {
        self.before(scope, upstream).pardon == Pardon::Used
    }

    /// The trial was answered by somebody who may not have looked.
    pub fn doubt(&mut self, scope: Scope, upstream: &str) {
        self.trials_of(scope, upstream).doubt();
        self.changes += 1;
    }

    /// `scope` is that of the trial it was, if it was one.
    pub fn reject(&mut self, scope: Option<Scope>, upstream: &str, now: Now) {
        self.trials_of(Scope::Here, upstream).reject(now);
        // Others still take it: that this one still does not is no news.
        if scope != Some(Scope::Here) {
            self.trials.reject(now);
        }
        self.changes += 1;
    }

    /// Whether that was news. What was shown before somebody else rejected it, and is only now answered, ends nothing:
    /// only a trial does.
    pub fn accept(&mut self, scope: Option<Scope>, upstream: &str) -> bool {
        let before = (self.accepted, self.trials.failures, self.refused_by.len());
        self.accepted = true;
        if scope.is_some() || self.trials.failures == 0 {
            self.trials = Trials::default();
            self.refused_by.retain(|(name, _)| name != upstream);
        }
        let news = before != (self.accepted, self.trials.failures, self.refused_by.len());
        self.changes += u64::from(news);
        news
    }

    /// What another process has written since.
    pub fn catch_up(&mut self, written: &Self, now: Now) {
        let accepted = self.accepted || written.accepted;
        if written.changes > self.changes {
            *self = written.clone();
            self.settle(now);
        }
        self.accepted = accepted;
    }

    /// What a withdrawn trial is put back to.
    pub fn before(&self, scope: Scope, upstream: &str) -> Trials {
        match scope {
            Scope::Everywhere => self.trials.clone(),
            Scope::Here => self.at(upstream).cloned().unwrap_or_default(),
        }
    }

    fn at(&self, upstream: &str) -> Option<&Trials> {
        self.refused_by.iter().find(|(name, _)| name == upstream).map(|(_, trials)| trials)
    }

    fn trials_of(&mut self, scope: Scope, upstream: &str) -> &mut Trials {
        let Scope::Here = scope else { return &mut self.trials };
        let at = self.refused_by.iter().position(|(name, _)| name == upstream).unwrap_or_else(|| {
            self.refused_by.push((upstream.into(), Trials::default()));
            self.refused_by.len() - 1
        });
        &mut self.refused_by[at].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "http://a:1";
    const B: &str = "http://b:1";

    fn now(seconds: u64) -> Now {
        Now { moment: Duration::from_secs(seconds), wall: 1_000_000 + seconds }
    }

    fn trial(entry: &mut Entry, upstream: &str, seconds: u64) -> Scope {
        let Ask::Trial(scope) = entry.ask(upstream, now(seconds)) else {
            panic!("{:?}", entry.ask(upstream, now(seconds)))
        };
        entry.begin(scope, upstream, now(seconds));
        scope
    }

    fn next(entry: &Entry, upstream: &str, seconds: u64) -> Option<Duration> {
        match entry.ask(upstream, now(seconds)) {
            Ask::Closed(closed) => closed.next,
            other @ (Ask::Free | Ask::Trial(_)) => panic!("{other:?}"),
        }
    }

    fn proven() -> Entry {
        let mut entry = Entry::default();
        assert!(entry.accept(None, A));
        entry
    }

    #[test]
    fn a_new_secret_gets_one_trial_and_a_rejected_one_none() {
        let mut entry = Entry::default();
        let scope = trial(&mut entry, A, 0);
        entry.reject(Some(scope), A, now(1));
        for seconds in [1, 61, 100_000_000] {
            assert_eq!((next(&entry, A, seconds), next(&entry, B, seconds)), (None, None));
        }
        entry.renew(1);
        assert_eq!(entry.ask(B, now(2)), Ask::Trial(Scope::Everywhere), "a person asked for it");
    }

    #[test]
    fn a_trial_without_a_verdict_is_repeated_after_a_minute_and_then_every_35() {
        let mut entry = Entry::default();
        trial(&mut entry, A, 0);
        assert_eq!(next(&entry, B, 59), Some(Duration::from_secs(1)));
        trial(&mut entry, B, 60);
        assert_eq!(next(&entry, A, 60 + 35 * 60 - 1), Some(Duration::from_secs(1)));
        trial(&mut entry, A, 60 + 35 * 60);
        assert_eq!(next(&entry, A, 60 + 35 * 60), Some(PAUSE));
    }

    #[test]
    fn what_was_accepted_before_is_tried_again_after_a_minute_and_then_every_35() {
        let mut entry = proven();
        assert_eq!(entry.ask(A, now(0)), Ask::Free);
        entry.reject(None, A, now(10));
        entry.reject(None, A, now(10));
        assert_eq!(
            (next(&entry, A, 69), next(&entry, B, 69)),
            (Some(Duration::from_secs(1)), Some(Duration::from_secs(1)))
        );
        let scope = trial(&mut entry, A, 70);
        entry.reject(Some(scope), A, now(71));
        assert_eq!(next(&entry, A, 71), Some(PAUSE));
        let scope = trial(&mut entry, A, 71 + 35 * 60);
        assert_eq!(scope, Scope::Everywhere);
        assert!(entry.accept(Some(scope), A));
        assert_eq!(entry, Entry { changes: entry.changes, ..proven() });
    }

    #[test]
    fn an_upstream_alone_in_its_refusal_is_tried_by_itself_and_closes_nothing_else() {
        let mut entry = proven();
        entry.reject(None, A, now(0));
        assert_eq!(trial(&mut entry, B, 60), Scope::Everywhere);
        entry.accept(Some(Scope::Everywhere), B);
        assert_eq!(entry.ask(B, now(60)), Ask::Free);
        let scope = trial(&mut entry, A, 60);
        assert_eq!(scope, Scope::Here);
        entry.reject(Some(scope), A, now(61));
        assert_eq!(entry.ask(B, now(61)), Ask::Free);
        assert_eq!(next(&entry, A, 61), Some(PAUSE));
        assert_eq!(trial(&mut entry, A, 61 + 35 * 60), Scope::Here);
        entry.accept(Some(Scope::Here), A);
        assert_eq!((entry.ask(A, now(9999)), entry.ask(B, now(9999))), (Ask::Free, Ask::Free));
    }

    #[test]
    fn one_trial_that_was_hardly_counted_is_pardoned_and_no_more() {
        let mut entry = Entry::default();
        for waits in [false, true, true] {
            let scope = match entry.ask(A, now(0)) {
                Ask::Trial(scope) => scope,
                Ask::Free | Ask::Closed(_) => break,
            };
            entry.begin(scope, A, now(0));
            entry.pardon(scope, A);
            assert_eq!(matches!(entry.ask(A, now(0)), Ask::Closed(_)), waits);
        }
        assert_eq!(entry.trials.failures, 2);
        entry.reject(Some(Scope::Everywhere), A, now(1));
        entry.pardon(Scope::Everywhere, A);
        assert_eq!(next(&entry, A, 1), None, "a verdict is none to be pardoned");
    }

    #[test]
    fn what_was_shown_before_a_rejection_does_not_end_it() {
        let mut entry = proven();
        entry.reject(None, A, now(0));
        assert!(!entry.accept(None, A));
        assert_eq!(next(&entry, A, 0), Some(FIRST_PAUSE));
    }

    #[test]
    fn answers_of_a_proxy_in_trouble_cost_no_more_than_a_minute_each() {
        let mut entry = Entry::default();
        for (seconds, pause) in [(0, None), (0, Some(FIRST_PAUSE)), (60, Some(FIRST_PAUSE))] {
            let scope = trial(&mut entry, A, seconds);
            entry.doubt(scope, A);
            let left = match entry.ask(A, now(seconds)) {
                Ask::Closed(closed) => closed.next,
                Ask::Free | Ask::Trial(_) => None,
            };
            assert_eq!(left, pause);
        }
    }

    #[test]
    fn a_trial_that_was_not_made_leaves_no_trace() {
        let mut entry = Entry::default();
        let before = entry.before(Scope::Everywhere, A);
        let scope = trial(&mut entry, A, 0);
        entry.withdraw(scope, A, before);
        assert_eq!(entry.ask(A, now(0)), Ask::Trial(Scope::Everywhere));
    }

    /// As it comes back from disk in another process, whose own clock begins at zero.
    fn restarted(entry: &Entry, wall: u64) -> (Entry, impl Fn(u64) -> Now + use<>) {
        let mut entry: Entry = serde_json::from_str(&serde_json::to_string(entry).unwrap()).unwrap();
        let now = move |seconds: u64| Now { moment: Duration::from_secs(seconds), wall: wall + seconds };
        entry.settle(now(0));
        (entry, now)
    }

    #[test]
    fn a_pause_outlives_the_process_and_no_clock_that_is_set_ends_or_prolongs_it() {
        let mut entry = Entry::default();
        trial(&mut entry, A, 0);
        let begun = now(0).wall;
        let left = |wall: u64, seconds: u64| {
            let (entry, now) = restarted(&entry, wall);
            match entry.ask(A, now(seconds)) {
                Ask::Closed(closed) => closed.next.map(|left| left.as_secs()),
                Ask::Free | Ask::Trial(_) => Some(0),
            }
        };
        assert_eq!((left(begun + 20, 0), left(begun + 20, 39), left(begun + 20, 40)), (Some(40), Some(1), Some(0)));
        assert_eq!((left(begun - 5000, 0), left(begun - 5000, 60)), (Some(60), Some(0)), "set back before the start");
        let (entry, _) = restarted(&entry, begun);
        let set_forward = Now { moment: Duration::from_secs(5), wall: begun + 100_000 };
        assert!(matches!(entry.ask(A, set_forward), Ask::Closed(_)), "set forward in mid-flight");
        let set_back = Now { moment: Duration::from_secs(60), wall: 0 };
        assert!(matches!(entry.ask(A, set_back), Ask::Trial(_)), "set back in mid-flight");
    }

    #[test]
    fn a_verdict_outlives_the_process() {
        let mut entry = Entry::default();
        let scope = trial(&mut entry, A, 0);
        entry.reject(Some(scope), A, now(0));
        let (entry, now) = restarted(&entry, now(0).wall + 1_000_000);
        assert!(matches!(entry.ask(B, now(0)), Ask::Closed(Closed { rejected: true, next: None, .. })));
        let (entry, now) = restarted(&proven(), 0);
        assert_eq!(entry.ask(A, now(0)), Ask::Free);
    }

    #[test]
    fn what_another_process_wrote_counts_if_it_is_newer() {
        let mut mine = Entry::default();
        let mut theirs = Entry::default();
        trial(&mut theirs, A, 0);
        mine.catch_up(&theirs, now(5));
        assert!(matches!(mine.ask(A, now(5)), Ask::Closed(_)));
        mine.accept(Some(Scope::Everywhere), A);
        mine.catch_up(&theirs, now(5));
        assert_eq!(mine.ask(A, now(5)), Ask::Free);
    }
}
