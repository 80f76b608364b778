//! What is wrong with a configuration, where it stands, and what to write instead.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    File {
        path: PathBuf,
        line: usize,
        column: usize,
    },
    /// An environment variable.
    Variable(String),
    Flag(&'static str),
    /// A place of managed policy that is no file with lines: a value of the registry, a key of a property list.
    Managed(String),
    /// Nowhere.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
            Self::Managed(place) => f.write_str(place),
            Self::Default => f.write_str("default"),
        }
    }
}

/// What is wrong with one value. Neither text ever repeats what may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub message: String,
    pub hint: Option<String>,
    /// Nobody need mend it: what had to be asked could not be reached, and may be later.
    pub may_pass: bool,
}

impl Problem {
    pub fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), hint: None, may_pass: false }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn passing(mut self) -> Self {
        self.may_pass = true;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// A problem and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub origin: Origin,
    /// Empty where the text could not be read as keys and values.
    pub key: String,
    pub problem: Problem,
}

impl Mistake {
    pub fn new(origin: Origin, key: impl Into<String>, problem: Problem) -> Self {
        Self { origin, key: key.into(), problem }
    }
}

/// One line, as compilers write them: `file:line:column: key: what is wrong (what to do)`.
impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Default => f.write_str("configuration: ")?,
            origin @ (Origin::File { .. } | Origin::Variable(_) | Origin::Flag(_) | Origin::Managed(_)) => {
                write!(f, "{origin}: ")?
            }
        }
        // A variable or flag already names the key.
        if matches!(self.origin, Origin::File { .. } | Origin::Managed(_) | Origin::Default) && !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        self.problem.fmt(f)
    }
}

/// Everything that is wrong, in the order of the places.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", lines(.0))]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    /// None of them need be mended by somebody: to begin again later may help.
    pub fn may_pass(&self) -> bool {
        self.0.iter().all(|mistake| mistake.problem.may_pass)
    }
}

fn lines(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>().join("\n")
}
