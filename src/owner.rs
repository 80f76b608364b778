//! The users of this machine, as systems tell them apart: by numbers, or on Windows by security identifiers.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Whose a process or a connection is. In records it is `uid` or `sid`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    Uid(u32),
    /// As `whoami /user` writes it: `S-1-5-21-…`.
    #[serde(serialize_with = "as_text")]
    Sid(Arc<str>),
}

impl Owner {
    pub const ROOT: Self = Self::Uid(0);

    /// Whoever is the system itself, and can do anything anyway.
    const SYSTEM: &str = "S-1-5-18";

    pub fn system() -> Self {
        Self::Sid(Self::SYSTEM.into())
    }

    pub fn uid(&self) -> Option<u32> {
        if let Self::Uid(uid) = self { Some(*uid) } else { None }
    }

    pub fn sid(&self) -> Option<&str> {
        if let Self::Sid(sid) = self { Some(sid) } else { None }
    }

    /// In words: root and the system have a name that everybody knows.
    pub fn shown(&self) -> String {
        match self {
            Self::Uid(0) => "root".into(),
            Self::Sid(sid) if **sid == *Self::SYSTEM => "SYSTEM".into(),
            Self::Uid(_) | Self::Sid(_) => format!("user {self}"),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uid(uid) => uid.fmt(f),
            Self::Sid(sid) => sid.fmt(f),
        }
    }
}

fn as_text<S: Serializer>(sid: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(sid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_has_a_word_of_its_own_in_records() {
        for (owner, json, shown) in [
            (Owner::Uid(1000), r#"{"uid":1000}"#, "user 1000"),
            (Owner::ROOT, r#"{"uid":0}"#, "root"),
            (Owner::Sid("S-1-5-21-1-2-3-1001".into()), r#"{"sid":"S-1-5-21-1-2-3-1001"}"#, "user S-1-5-21-1-2-3-1001"),
            (Owner::system(), r#"{"sid":"S-1-5-18"}"#, "SYSTEM"),
        ] {
            assert_eq!((serde_json::to_string(&owner).unwrap().as_str(), owner.shown().as_str()), (json, shown));
        }
    }
}
