//! The accounts a practice server knows, under every name Windows lets a person log on with.

use std::sync::{Arc, PoisonError, RwLock};

use crate::secret::Secret;

#[derive(Debug, Clone)]
pub struct Account {
    pub domain: String,
    pub user: String,
    pub password: Secret,
}

impl Account {
    pub fn new(domain: &str, user: &str, password: impl Into<String>) -> Self {
        Self { domain: domain.into(), user: user.into(), password: Secret::new(password) }
    }

    /// `DOMAIN\user`, as the records show it.
    pub fn name(&self) -> String {
        format!("{}\\{}", self.domain, self.user)
    }

    /// Case does not tell accounts apart; an absent domain means the server's own.
    fn answers_to(&self, domain: &str, user: &str) -> bool {
        if domain.is_empty() {
            return match user.split_once('@') {
                Some((user, realm)) => same(user, &self.user) && self.is_realm(realm),
                None => same(user, &self.user),
            };
        }
        same(domain, &self.domain) && same(user, &self.user)
    }

    /// The domain as DNS knows it, which an NTLM challenge tells, or its short name.
    fn is_realm(&self, realm: &str) -> bool {
        same(realm, &self.domain) || same(realm, &dns_domain(&self.domain))
    }
}

/// The DNS name of a practice domain.
pub(super) fn dns_domain(domain: &str) -> String {
    format!("{}.test", domain.to_lowercase())
}

fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

/// Shared and replaceable, so that a test can change a password under a running server.
#[derive(Debug, Clone, Default)]
pub struct Accounts(Arc<RwLock<Vec<Account>>>);

impl Accounts {
    pub fn new(accounts: impl IntoIterator<Item = Account>) -> Self {
        Self(Arc::new(RwLock::new(accounts.into_iter().collect())))
    }

    pub fn replace(&self, accounts: impl IntoIterator<Item = Account>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = accounts.into_iter().collect();
    }

    /// NTLM says the two parts in separate fields.
    pub fn find(&self, domain: &str, user: &str) -> Option<Account> {
        let accounts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        accounts.iter().find(|account| account.answers_to(domain, user)).cloned()
    }

    /// Basic and Digest say one name: `user`, `DOMAIN\user` or `user@DOMAIN`.
    pub fn find_named(&self, name: &str) -> Option<Account> {
        let (domain, user) = name.split_once('\\').unwrap_or(("", name));
        self.find(domain, user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_answers_to_every_spelling_of_its_name() {
        let accounts = Accounts::new([Account::new("PRACTICE", "alice", "x")]);
        for name in ["alice", "ALICE", "practice\\Alice", "alice@PRACTICE", "alice@practice.test", "\\alice"] {
            assert!(accounts.find_named(name).is_some(), "{name}");
        }
        for name in ["", "bob", "OTHER\\alice", "alice@OTHER", "alice@"] {
            assert!(accounts.find_named(name).is_none(), "{name}");
        }
    }
}
