//! A place among those who may show a secret, until its verdict.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::Shared;
use super::account::Tag;
use crate::auth::Scheme;
use crate::auth::lockout::{Ask, Closed, Entry, Permit, Scope, Trials, Verdict};

pub(super) struct Place {
    pub shared: Arc<Shared>,
    /// The account's key.
    pub account: String,
    pub tag: Tag,
    pub upstream: String,
    pub scheme: Scheme,
    pub number: u64,
    /// What the secret's run of trials was before this one began.
    pub trial: Option<(Scope, Trials)>,
    pub proven: bool,
    /// How often.
    pub shown: AtomicUsize,
    pub spent: AtomicBool,
}

impl Place {
    fn scope(&self) -> Option<Scope> {
        self.trial.as_ref().map(|(scope, _)| *scope)
    }

    fn is_first(&self) -> bool {
        !self.spent.swap(true, Ordering::AcqRel)
    }

    fn accepted(&self) {
        let (now, scope) = (self.shared.now(), self.scope());
        let news = self.shared.with(&self.account, |account| {
            account.success(now, self.shared.most());
            let news = account.entry(&self.tag).is_some_and(|entry| entry.accept(scope, &self.upstream));
            account.give_back(self.number);
            news
        });
        if news == Some(true) {
            self.shared.write_later(&self.account, self.tag, |_| {}, None);
        }
    }

    /// Others hear of it at once, the caller when it is on disk.
    fn rejected(&self) {
        let (now, scope) = (self.shared.now(), self.scope());
        let news = self.shared.with(&self.account, |account| {
            let told = account.entry(&self.tag).and_then(|entry| {
                let is_news = !entry.trials.rejected && scope != Some(Scope::Here);
                entry.reject(scope, &self.upstream, now);
                is_news.then(|| entry.closed(&self.upstream, now))
            });
            account.rejected_by = Some(self.upstream.clone());
            account.close();
            account.give_back(self.number);
            told.map(|closed| (account.shown.clone(), closed))
        });
        self.shared.write(&self.account, &self.tag, &mut |entry, now| entry.reject(scope, &self.upstream, now));
        // A log that blocks must hold up nobody who only wants to know how the account stands.
        if let Some((account, closed)) = news.flatten() {
            self.tell(&account, closed);
        }
    }

    fn tell(&self, account: &str, closed: Closed) {
        let next = match closed.next {
            Some(next) => format!("it was good before, so it is tried once more in {} s", next.as_secs()),
            None => "it is not tried again".into(),
        };
        tracing::error!(
            account,
            upstream = self.upstream,
            scheme = %self.scheme,
            "the log-in was rejected, and nothing made of this secret is sent to anybody any more: {next}; change the \
             password where it is configured, or run `hallpass login`, or `hallpass status --retry` for one more try"
        );
    }

    /// Whoever answered may not have looked. That is most likely no failed logon.
    fn unclear(&self) {
        self.shared.with(&self.account, |account| {
            if let (Some(scope), Some(entry)) = (self.scope(), account.entry(&self.tag)) {
                entry.doubt(scope, &self.upstream);
            }
            account.give_back(self.number);
        });
    }
}

impl Permit for Place {
    fn is_good(&self) -> bool {
        let now = self.shared.now();
        self.shared.with(&self.account, |account| {
            account.entry(&self.tag).is_none_or(|entry| match self.scope() {
                Some(_) => !entry.trials.rejected,
                None => entry.ask(&self.upstream, now) == Ask::Free,
            })
        }) != Some(false)
    }

    fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Acquire)
    }

    fn is_proven(&self) -> bool {
        self.proven
    }

    fn show(&self) {
        self.shown.fetch_add(1, Ordering::AcqRel);
        let now = self.shared.now();
        self.shared.with(&self.account, |account| account.shown_at(self.number, &self.tag, now.moment));
    }

    fn withhold(&self) {
        self.shown.fetch_sub(1, Ordering::AcqRel);
    }

    fn judge(&self, verdict: Verdict) {
        if !self.is_first() {
            return;
        }
        match verdict {
            Verdict::Accepted => self.accepted(),
            Verdict::Rejected => self.rejected(),
            Verdict::Unclear => self.unclear(),
        }
    }

    fn lose(&self) {
        if self.is_first() {
            self.shared.with(&self.account, |account| account.give_back(self.number));
        }
    }

    fn closed(&self) -> Closed {
        let now = self.shared.now();
        let closed = self
            .shared
            .with(&self.account, |account| account.entry(&self.tag).map(|entry| entry.closed(&self.upstream, now)));
        closed.flatten().unwrap_or(Closed { rejected: true, since: now.wall, next: None })
    }
}

impl Drop for Place {
    /// Shown and not judged: a trial stays written down as begun. Not shown: as if it had never begun.
    fn drop(&mut self) {
        if !self.is_first() {
            return;
        }
        let shown = self.shown.load(Ordering::Acquire) > 0;
        let Some((scope, before)) = self.trial.take().filter(|_| !shown) else {
            self.shared.with(&self.account, |account| account.give_up(self.number));
            return;
        };
        // The place is held for so long: nobody else's trial is meant by it.
        let upstream = self.upstream.clone();
        let withdraw = move |entry: &mut Entry| entry.withdraw(scope, &upstream, before.clone());
        self.shared.write_later(&self.account, self.tag, withdraw, Some(self.number));
    }
}
