//! Managed policy: what whoever manages the machine has said of it, above all that its users can say.
//!
//! A policy has two halves. What it **locks**, which is all of it by default, stands above files, variables and flags:
//! a file that says otherwise is passed over with a warning, a variable or a flag that does is refused, and both say by
//! whom. What it **recommends** stands between the machine's file and the user's, and locks nothing.
//!
//! | system | locked, the higher first | recommended |
//! |---|---|---|
//! | Linux | `/etc/hallpass/policy.toml` | its table `[recommended]` |
//! | Windows | `HKLM\SOFTWARE\Policies\hallpass`, the same in `HKCU` | the key `Recommended` below each |
//! | macOS | `/Library/Managed Preferences/USER/hallpass.plist`, then without `USER` | the dictionary `recommended` of each |
//!
//! [`locks`] has what a policy locks beyond the very keys that it names. A policy that cannot be read, that is wrong or
//! that others than root may write is a mistake like any other: nothing starts, and a reload keeps what it had.

mod admission;
mod json;
mod locks;
mod node;
pub(super) mod plist;
pub(super) mod registry;
mod shortcuts;
#[cfg(test)]
mod tests;
mod toml_file;

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

use std::path::PathBuf;

pub use locks::Stripped;
pub(super) use node::{Content, Node};
pub use registry::{Key, Value as RegistryValue};

use super::layer::Layer;
use super::mistake::{Mistake, Origin, Problem};

/// The name of the preferences on macOS: a bare name is nobody's domain.
pub const BUNDLE_ID: &str = "hallpass";

/// Below `HKLM` and `HKCU`.
pub const REGISTRY_KEY: &str = r"SOFTWARE\Policies\hallpass";

/// Of a branch of the registry or of a property list: the configuration as JSON in one text. Single values stand above it.
pub const CONFIGURATION: &str = "Configuration";

/// Its name where it is a table or a dictionary; in the registry upper and lower case are the same.
pub const RECOMMENDED: &str = "recommended";

/// Where the policy is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PolicyPlace {
    /// Where this system has it.
    System,
    /// There is none.
    #[default]
    Nowhere,
    /// A file as Linux has it.
    File(PathBuf),
    /// The highest first.
    Recorded(Vec<Statement>),
}

/// What one place says, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    Toml {
        path: PathBuf,
        text: String,
    },
    Registry {
        /// `HKLM\SOFTWARE\Policies\hallpass`
        root: String,
        key: Key,
    },
    Plist {
        path: PathBuf,
        bytes: Vec<u8>,
    },
    /// There is something that cannot be taken.
    Refused {
        place: Origin,
        problem: Problem,
    },
}

impl PolicyPlace {
    /// The highest first; places where nothing is are left out. Blocks on files or the registry.
    pub fn statements(&self) -> Vec<Statement> {
        let files = self.files();
        files.iter().filter_map(|path| admission::statement(path)).chain(self.branches()).collect()
    }

    /// In which it stands, whether they are there or not.
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::System => system::files(),
            Self::File(path) => vec![path.clone()],
            Self::Nowhere | Self::Recorded(_) => Vec::new(),
        }
    }

    /// What stands in no file. Blocks on the registry.
    pub fn branches(&self) -> Vec<Statement> {
        match self {
            Self::System => system::branches(),
            Self::Recorded(statements) => statements.clone(),
            Self::Nowhere | Self::File(_) => Vec::new(),
        }
    }

    /// Where it looks, for people.
    pub fn looked_at(&self) -> Vec<String> {
        let elsewhere = match self {
            Self::System => system::roots(),
            Self::Nowhere | Self::File(_) => Vec::new(),
            Self::Recorded(statements) => statements.iter().map(Statement::place).collect(),
        };
        self.files().iter().map(|path| path.display().to_string()).chain(elsewhere).collect()
    }
}

impl Statement {
    /// As `looked_at` names it.
    pub fn place(&self) -> String {
        match self {
            Self::Toml { path, .. } | Self::Plist { path, .. } => path.display().to_string(),
            Self::Registry { root, .. } => root.clone(),
            Self::Refused { place: Origin::File { path, .. }, .. } => path.display().to_string(),
            Self::Refused { place, .. } => place.to_string(),
        }
    }

    /// A branch of the registry is there, and says nothing.
    pub fn is_blank(&self) -> bool {
        matches!(self, Self::Registry { key, .. } if *key == Key::default())
    }

    fn read(&self, mistakes: &mut Vec<Mistake>) -> Stated {
        match self {
            Self::Toml { path, text } => toml_file::read(path, text, mistakes),
            Self::Registry { root, key } => registry::read(root, key, mistakes),
            Self::Plist { path, bytes } => plist::read(path, bytes, mistakes),
            Self::Refused { place, problem } => {
                mistakes.push(Mistake::new(place.clone(), "", problem.clone()));
                Stated::default()
            }
        }
    }
}

/// What one place, or all of them together, say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stated {
    pub locked: Layer,
    pub recommended: Layer,
}

/// A place where something was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPolicy {
    /// As `looked_at` names it.
    pub place: String,
    /// Why nothing of it counts.
    pub refused: Option<Problem>,
    pub mistakes: usize,
}

/// What the policy says in all places: a lower one adds only what a higher one leaves free.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    pub locked: Layer,
    pub recommended: Layer,
    /// The highest first.
    pub found: Vec<FoundPolicy>,
}

impl Policy {
    pub fn read(place: &PolicyPlace, mistakes: &mut Vec<Mistake>, warnings: &mut Vec<Mistake>) -> Self {
        let mut policy = Self::default();
        for statement in place.statements() {
            let known = mistakes.len();
            let stated = statement.read(mistakes);
            let wrong = &mistakes[known..];
            let of_whole = wrong.iter().find(|mistake| mistake.key.is_empty() && stated == Stated::default());
            let refused = of_whole.map(|mistake| mistake.problem.clone());
            policy.found.push(FoundPolicy { place: statement.place(), refused, mistakes: wrong.len() });
            let Stated { locked: mut lower, recommended } = stated;
            warnings.extend(policy.strip(&mut lower).iter().map(locks::Stripped::passed_over));
            policy.locked.add_below(lower);
            policy.recommended.add_below(recommended);
        }
        // Who both locks and recommends a key locks it.
        let mut recommended = policy.recommended.clone();
        warnings.extend(policy.strip(&mut recommended).iter().map(locks::Stripped::passed_over));
        policy.recommended = recommended;
        policy
    }

    /// Whether what stands at `origin` is its own word.
    pub fn says(&self, path: &[&str], origin: &Origin) -> bool {
        let halves = [&self.locked, &self.recommended];
        halves.iter().any(|half| half.get(path).is_some_and(|entry| entry.origin == *origin))
    }
}
