//! What is missing where nothing can be sent: in words for people, and as a kind that says who can mend it.

use thiserror::Error;

/// In rising order: of several, the last one is what to look at first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// The words alone say it.
    #[default]
    Other,
    /// The scheme wants an account, and none is named.
    User,
    /// A Kerberos ticket of whoever is logged in.
    Ticket,
    /// A KDC that answers.
    Kdc,
    /// The upstream's name in the directory.
    Service,
    /// The same time as the KDC's.
    Clock,
    /// The named account's password, hash or keytab.
    Secret,
    /// Leave for this upstream to receive anything.
    Leave,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{why}")]
pub struct Lacking {
    pub what: Lack,
    pub why: String,
}

impl Lacking {
    pub fn new(what: Lack, why: impl Into<String>) -> Self {
        Self { what, why: why.into() }
    }

    /// Several ways were tried.
    pub fn all(each: &[Self]) -> Self {
        let words: Vec<&str> = each.iter().map(|lacking| lacking.why.as_str()).collect();
        let what = each.iter().map(|lacking| lacking.what).max();
        Self::new(what.unwrap_or_default(), words.join("; "))
    }
}

impl From<String> for Lacking {
    fn from(why: String) -> Self {
        Self::new(Lack::Other, why)
    }
}

impl From<&str> for Lacking {
    fn from(why: &str) -> Self {
        Self::new(Lack::Other, why)
    }
}
