//! Which account a directory counts failed logons on, however it is written.

use crate::auth::User;

/// One account of a directory. Spellings that are known to mean the same one are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountName {
    key: String,
    shown: String,
}

impl AccountName {
    /// `CORP\alice`, `corp.example\Alice` and `alice@CORP.EXAMPLE` are one: a domain's short name is, but for rare
    /// cases, the first label of its long one. To take two accounts for one costs little, since each secret of theirs
    /// is judged by itself; to take one for two would cost a bad logon more. A user who names no domain gets
    /// `domain`, whatever else is known of him.
    pub fn of_user(user: &User, domain: Option<&str>) -> Self {
        let stated = user.domain.as_deref().or(user.realm.as_deref()).or(domain);
        let name = user.name.to_lowercase();
        let key = match stated.map(first_label) {
            Some(label) => format!("{name}@{label}"),
            None => name,
        };
        Self { key, shown: user.to_string() }
    }

    /// One that no user is named for.
    pub fn of_keytab(path: &str) -> Self {
        Self { key: format!("keytab {path}"), shown: format!("the keytab {path}") }
    }

    /// Counted apart from all others.
    pub fn apart(self, credential: &str) -> Self {
        Self { key: format!("{} of {credential}", self.key), shown: self.shown }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// As it is configured.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

fn first_label(domain: &str) -> String {
    domain.split('.').next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(user: &str, domain: Option<&str>) -> String {
        AccountName::of_user(&user.parse().unwrap(), domain).key().to_string()
    }

    #[test]
    fn every_spelling_of_an_account_is_the_same_account() {
        for (user, domain) in [
            ("CORP\\alice", None),
            ("corp\\Alice", None),
            ("alice@CORP.EXAMPLE", None),
            ("alice@corp.example", Some("OTHER")),
            ("corp.example\\ALICE", None),
            ("alice", Some("CORP.EXAMPLE")),
        ] {
            assert_eq!(key(user, domain), "alice@corp", "{user} {domain:?}");
        }
    }

    #[test]
    fn other_accounts_are_other_accounts() {
        for (user, domain) in [("CORP\\bob", None), ("OTHER\\alice", None), ("alice", None), ("alice", Some("OTHER"))] {
            assert_ne!(key(user, domain), "alice@corp", "{user} {domain:?}");
        }
        let alice = AccountName::of_user(&"CORP\\alice".parse().unwrap(), None);
        assert_ne!(alice.clone().apart("portal"), alice);
        assert_ne!(alice.clone().apart("portal"), alice.apart("printer"));
    }
}
