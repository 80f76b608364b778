//! Whose account: the ways in which people write a user of a directory.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// An account as it was written.
///
/// ```
/// use hallpass::auth::User;
/// let user: User = r"CORP\alice".parse().unwrap();
/// assert_eq!((user.name.as_str(), user.domain.as_deref()), ("alice", Some("CORP")));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct User {
    pub name: String,
    /// The NetBIOS domain of `DOMAIN\user`.
    pub domain: Option<String>,
    /// The realm or UPN suffix of `user@REALM`, as written.
    pub realm: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UserError {
    #[error("the user is empty")]
    Empty,
    #[error("the domain before the \\ is empty")]
    EmptyDomain,
    #[error("the name is empty")]
    EmptyName,
    #[error("the realm after the @ is empty")]
    EmptyRealm,
    #[error("there is more than one \\")]
    TwoDomains,
    #[error("there is a control character in the user")]
    Control,
}

impl FromStr for User {
    type Err = UserError;

    /// `DOMAIN\user`, `user@REALM` or `user`; also `DOMAIN/user`, as curl takes it. Blanks around it are dropped.
    fn from_str(text: &str) -> Result<Self, UserError> {
        // Before trimming: a tab is what "DOMAIN\tom" in the wrong quotes becomes.
        if text.chars().any(char::is_control) {
            return Err(UserError::Control);
        }
        let text = text.trim();
        if text.is_empty() {
            return Err(UserError::Empty);
        }
        if let Some((domain, name)) = text.split_once('\\') {
            return with_domain(domain, name);
        }
        if let Some((name, realm)) = text.rsplit_once('@') {
            return with_realm(name, realm);
        }
        match text.split_once('/') {
            Some((domain, name)) => with_domain(domain, name),
            None => Ok(Self { name: text.into(), domain: None, realm: None }),
        }
    }
}

fn with_domain(domain: &str, name: &str) -> Result<User, UserError> {
    if domain.is_empty() {
        return Err(UserError::EmptyDomain);
    }
    if name.is_empty() {
        return Err(UserError::EmptyName);
    }
    if name.contains('\\') {
        return Err(UserError::TwoDomains);
    }
    Ok(User { name: name.into(), domain: Some(domain.into()), realm: None })
}

fn with_realm(name: &str, realm: &str) -> Result<User, UserError> {
    if name.is_empty() {
        return Err(UserError::EmptyName);
    }
    if realm.is_empty() {
        return Err(UserError::EmptyRealm);
    }
    Ok(User { name: name.into(), domain: None, realm: Some(realm.into()) })
}

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
    fn every_way_to_write_an_account_is_understood() {
        for (text, name, domain, realm) in [
            ("alice", "alice", None, None),
            (r"CORP\alice", "alice", Some("CORP"), None),
            ("CORP/alice", "alice", Some("CORP"), None),
            ("alice@CORP.EXAMPLE", "alice", None, Some("CORP.EXAMPLE")),
            ("HTTP/proxy@CORP.EXAMPLE", "HTTP/proxy", None, Some("CORP.EXAMPLE")),
            ("alice@example.com@CORP.EXAMPLE", "alice@example.com", None, Some("CORP.EXAMPLE")),
            (r"corp.example\alice", "alice", Some("corp.example"), None),
            (r"CORP\alice@home", "alice@home", Some("CORP"), None),
            ("jürgen müller", "jürgen müller", None, None),
            (r"DÖM\ålice", "ålice", Some("DÖM"), None),
            ("  alice  ", "alice", None, None),
        ] {
            let user: User = text.parse().unwrap();
            assert_eq!((user.name.as_str(), user.domain.as_deref(), user.realm.as_deref()), (name, domain, realm));
        }
    }

    #[test]
    fn half_an_account_is_refused() {
        for (text, error) in [
            ("", UserError::Empty),
            ("  ", UserError::Empty),
            (r"\alice", UserError::EmptyDomain),
            (r"CORP\", UserError::EmptyName),
            (r"A\B\c", UserError::TwoDomains),
            ("@CORP", UserError::EmptyName),
            ("alice@", UserError::EmptyRealm),
            ("CORP/", UserError::EmptyName),
            ("CORP\tom", UserError::Control),
            ("alice\n", UserError::Control),
        ] {
            assert_eq!(text.parse::<User>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn an_account_is_shown_as_it_is_written() {
        for text in [r"CORP\alice", "alice@CORP.EXAMPLE", "alice"] {
            assert_eq!(text.parse::<User>().unwrap().to_string(), text);
        }
    }
}
