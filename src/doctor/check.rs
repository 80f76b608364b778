//! What a check is, and what comes of it.

use std::pin::Pin;
use std::time::Duration;

/// Everything a check does; it begins when it is first polled.
pub type Work = Pin<Box<dyn Future<Output = Finding> + Send>>;

/// What a check looks at, the most fundamental first: of several faults, the one that stands first here is the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// What the user wrote.
    Configuration,
    /// The relay that runs.
    Listener,
    /// Names of upstreams.
    Names,
    /// The PAC script.
    Script,
    /// An upstream as far as it goes without a credential.
    Upstream,
    Kerberos,
    /// Whether an upstream takes the credential.
    Credential,
    /// Whether a target is reached.
    Target,
    /// Who signs what a target shows.
    Inspection,
    /// What becomes of bytes on their way: WebSockets, event streams.
    Stream,
    /// Other programs, their settings and this machine.
    Surroundings,
}

/// One question, asked beside others.
pub struct Check {
    pub stage: Stage,
    /// Unique; stable for the same configuration and the same targets.
    pub name: String,
    /// Checks whose fault explains a fault of this one. They stand before it in the list, and have ended before it begins.
    pub rests_on: Vec<String>,
    /// It is what the user wants: a fault on the way to goals that are all reached is no more than a warning.
    pub is_goal: bool,
    /// It is cut off after this, and has failed then.
    pub limit: Duration,
    pub work: Work,
}

impl Check {
    pub fn new(
        stage: Stage,
        name: impl Into<String>,
        limit: Duration,
        work: impl Future<Output = Finding> + Send + 'static,
    ) -> Self {
        Self { stage, name: name.into(), rests_on: Vec::new(), is_goal: false, limit, work: Box::pin(work) }
    }

    /// Those of these names that are not in the list do not matter.
    pub fn rests_on<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.rests_on.extend(names.into_iter().map(Into::into));
        self
    }

    pub fn goal(mut self) -> Self {
        self.is_goal = true;
        self
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Fine,
    /// It works, and something should be known or done nevertheless.
    Warning,
    Failed,
    /// There was nothing to look at, or nothing to look at it with.
    Skipped,
}

impl State {
    /// As programs read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// What a check found out. No text ever holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub state: State,
    /// One sentence without a full stop.
    pub says: String,
    /// What to do.
    pub advice: Option<String>,
    /// Further lines for whoever wants to know more.
    pub details: Vec<String>,
    /// Replaces what the check rests on, where it is known by now what a fault of it can be explained with.
    pub explained_by: Option<Vec<String>>,
}

impl Finding {
    fn new(state: State, says: impl Into<String>, advice: Option<String>) -> Self {
        Self { state, says: says.into(), advice, details: Vec::new(), explained_by: None }
    }

    pub fn fine(says: impl Into<String>) -> Self {
        Self::new(State::Fine, says, None)
    }

    pub fn warning(says: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(State::Warning, says, Some(advice.into()))
    }

    pub fn failed(says: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(State::Failed, says, Some(advice.into()))
    }

    pub fn skipped(says: impl Into<String>) -> Self {
        Self::new(State::Skipped, says, None)
    }

    pub fn detail(mut self, line: impl Into<String>) -> Self {
        self.details.push(line.into());
        self
    }

    pub fn details(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(lines);
        self
    }

    /// Only faults of these explain it; of none of them: it stands for itself.
    pub fn explained_by<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.explained_by = Some(names.into_iter().map(Into::into).collect());
        self
    }
}
