//! Whose credentials: `DOMAIN\user`, `user@REALM` (a UPN), or `user`.

use std::fmt;

use thiserror::Error;

/// A user as the configuration names one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    /// The NetBIOS domain of `DOMAIN\user`.
    pub domain: Option<String>,
    /// The suffix of `user@REALM`.
    pub realm: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UserError {
    #[error("the user name is empty")]
    Empty,
    #[error("the user name has a control character")]
    Control,
}

impl User {
    /// A backslash goes before an at sign: in `CORP\a@b` the account is called `a@b`.
    pub fn parse(text: &str) -> Result<Self, UserError> {
        if text.chars().any(char::is_control) {
            return Err(UserError::Control);
        }
        let (name, domain, realm) = match (text.split_once('\\'), text.rsplit_once('@')) {
            (Some((domain, name)), _) => (name, Some(domain), None),
            (None, Some((name, realm))) => (name, None, Some(realm)),
            (None, None) => (text, None, None),
        };
        if name.is_empty() || domain == Some("") || realm == Some("") {
            return Err(UserError::Empty);
        }
        Ok(Self { name: name.into(), domain: domain.map(Into::into), realm: realm.map(Into::into) })
    }
}

/// As it was typed.
impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.domain, &self.realm) {
            (Some(domain), _) => write!(f, "{domain}\\{}", self.name),
            (None, Some(realm)) => write!(f, "{}@{realm}", self.name),
            (None, None) => f.write_str(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_a_user_are_told_apart_and_written_as_typed() {
        for (text, name, domain, realm) in [
            ("alice", "alice", None, None),
            ("CORP\\alice", "alice", Some("CORP"), None),
            ("alice@corp.example", "alice", None, Some("corp.example")),
            ("CORP\\a@b", "a@b", Some("CORP"), None),
            ("a@b@c", "a@b", None, Some("c")),
        ] {
            let user = User::parse(text).unwrap();
            assert_eq!((&*user.name, user.domain.as_deref(), user.realm.as_deref()), (name, domain, realm));
            assert_eq!(user.to_string(), text);
        }
    }

    #[test]
    fn what_names_nobody_is_refused() {
        for text in ["", "CORP\\", "\\alice", "alice@", "@x", "a\nb"] {
            assert!(User::parse(text).is_err(), "{text:?}");
        }
    }
}
