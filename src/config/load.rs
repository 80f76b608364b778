//! Finds the files, lays the layers over each other and collects what is wrong with all of them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::build;
use super::environment::{self, CONFIG, Environment, NO_CONFIG, PASSWORD};
use super::file;
use super::layer::{Entry, Layer, Value};
use super::mistake::{Mistake, Mistakes, Origin, Problem};
use super::policy::{FoundPolicy, Policy, PolicyPlace, Stripped};
use super::reader::Reader;
use super::shortcut;
use super::text;
use super::{Config, OWNERS, closing, export, machine_file, names, others_may_write, show, user_file};

/// Which files are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// The machine's, then the user's on top; either may be absent.
    Standard {
        machine: PathBuf,
        user: Option<PathBuf>,
    },
    /// The same of another name; one of them must be there.
    Named {
        name: String,
        /// Who asked for it.
        by: Origin,
        machine: PathBuf,
        user: Option<PathBuf>,
    },
    /// This one, which must be there.
    Only(PathBuf),
    Nothing,
}

/// Everything a configuration is made from. Loading again reads the files and the policy again and nothing else.
#[derive(Debug, Clone)]
pub struct Inputs {
    pub files: Files,
    pub environment: Environment,
    pub flags: Layer,
    pub policy: PolicyPlace,
}

impl Inputs {
    /// The process's environment, the usual places unless `--config` or `--no-config` say otherwise, and the policy of
    /// this machine, whatever they say.
    pub fn new(config: Option<PathBuf>, no_config: bool, flags: Layer) -> Self {
        Self::with(Environment::of_process(), config, no_config, flags)
    }

    /// As a service sees them that is installed here: nothing that was said to this shell alone, and the user's own file only
    /// where it is the user's service.
    pub fn of_service(config: Option<PathBuf>, no_config: bool, flags: Layer, of_user: bool) -> Self {
        let mut inputs = Self::with(Environment::of_process().of_others(), config, no_config, flags);
        if let Files::Standard { user, .. } | Files::Named { user, .. } = &mut inputs.files {
            *user = user.take().filter(|_| of_user);
        }
        inputs
    }

    fn with(environment: Environment, config: Option<PathBuf>, no_config: bool, flags: Layer) -> Self {
        let by_variable = || environment.get(CONFIG).filter(|path| !path.is_empty()).map(PathBuf::from);
        let (config, by) = match config {
            Some(path) => (Some(path), Origin::Flag("--config")),
            None => (by_variable(), Origin::Variable(CONFIG.into())),
        };
        let no_config = no_config || environment.get(NO_CONFIG).is_some_and(|value| ["1", "true"].contains(&value));
        let files = match config {
            _ if no_config => Files::Nothing,
            Some(path) => names::chosen(path, by, &|name| environment.get(name).map(str::to_owned)),
            None => {
                let variable = |name: &str| environment.get(name).map(str::to_owned);
                Files::Standard { machine: machine_file(&variable), user: user_file(&variable) }
            }
        };
        Self { files, environment, flags, policy: PolicyPlace::System }
    }
}

/// A valid configuration and where its values came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    /// Nothing is wrong, but something is hardly meant.
    pub warnings: Vec<Mistake>,
    layer: Layer,
    policy: Policy,
    /// Where a value stood that a higher one has replaced.
    overridden: Vec<(Vec<String>, Origin)>,
    named: Vec<PathBuf>,
}

impl Loaded {
    /// Besides the configuration itself: files whose content is a value, and those that are read once and kept for as long
    /// as the configuration counts. Also of one that is wrong, because one of them is not there yet.
    pub fn named_files(&self) -> &[PathBuf] {
        &self.named
    }

    /// Where the value of a key stands.
    pub fn origin(&self, path: &[&str]) -> Origin {
        self.layer.get(path).map_or(Origin::Default, |entry| entry.origin.clone())
    }

    /// Who locks a key, where a policy does.
    pub fn lock(&self, path: &[&str]) -> Option<&Origin> {
        self.policy.lock(path)
    }

    /// The values as they were written.
    pub(super) fn layer(&self) -> &Layer {
        &self.layer
    }

    /// Where values of a key stood that do not count, the lowest first.
    pub fn overridden(&self, path: &[&str]) -> impl Iterator<Item = &Origin> {
        self.overridden.iter().filter(move |(replaced, _)| replaced.iter().eq(path)).map(|(_, origin)| origin)
    }

    /// Where a policy was found, and whether it was taken.
    pub fn policies(&self) -> &[FoundPolicy] {
        &self.policy.found
    }

    /// The effective configuration as a file that gives the same one, each value with its origin, no secret in it.
    pub fn to_toml(&self) -> String {
        show::toml(self)
    }

    /// Every key with what there is to say of it: its path, its value in TOML, where it stands.
    pub fn keys(&self) -> Vec<Shown> {
        let layer = file::read(Path::new("shown"), &show::toml(self), &mut Vec::new());
        let is_key = |entry: &&Entry| !matches!(entry.value, Value::Named | Value::Tables);
        let shown = |entry: &Entry| {
            let path = entry.path();
            Shown {
                key: entry.path.clone(),
                value: export::json_of(&entry.value),
                origin: self.origin(&path),
                locked_by: self.lock(&path).cloned(),
                instead_of: self.overridden(&path).cloned().collect(),
            }
        };
        layer.entries.iter().filter(is_key).map(shown).collect()
    }

    /// What differs from the defaults, as lines of a file: the keys above all tables, and the tables.
    pub fn changes_to_toml(&self) -> (String, String) {
        show::changes(self)
    }
}

/// What counts of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub key: Vec<String>,
    /// As JSON.
    pub value: String,
    pub origin: Origin,
    pub locked_by: Option<Origin>,
    pub instead_of: Vec<Origin>,
}

/// What can be said of a configuration whether it is right or not.
#[derive(Debug, Clone)]
pub struct Examined {
    /// With the default where a value is wrong.
    pub loaded: Loaded,
    pub mistakes: Vec<Mistake>,
}

impl Examined {
    /// What can be run.
    pub fn valid(self) -> Result<Loaded, Mistakes> {
        if self.mistakes.is_empty() { Ok(self.loaded) } else { Err(Mistakes(self.mistakes)) }
    }

    /// What counts as a file, with what is wrong beside it; with or without what stands nowhere.
    pub fn to_toml(&self, defaults: bool) -> String {
        show::report(&self.loaded, &self.mistakes, defaults)
    }
}

/// Blocks on files. Secrets are not read.
pub fn load(inputs: &Inputs) -> Result<Loaded, Mistakes> {
    examine(inputs).valid()
}

/// The same, for whoever wants to know more than the mistakes.
pub fn examine(inputs: &Inputs) -> Examined {
    let (mut mistakes, mut warnings, mut read) = (Vec::new(), Vec::new(), Vec::new());
    let policy = Policy::read(&inputs.policy, &mut mistakes, &mut warnings);
    // Its tables come first, so that nobody changes their order.
    let mut pile = Pile { layer: policy.locked.clone(), overridden: Vec::new() };
    let mut is_recommended = policy.recommended.clone();
    mistakes.extend(names::unknown(&inputs.files));
    for (path, kind) in candidates(&inputs.files) {
        if kind != Kind::Machine {
            pile.cover(std::mem::take(&mut is_recommended));
        }
        if let Some(text) = text_of(&path, kind, &mut mistakes) {
            let mut layer = file::read(&path, &text, &mut mistakes);
            warnings.extend(policy.strip(&mut layer).iter().map(Stripped::passed_over));
            pile.cover(layer);
            read.push(path);
        }
    }
    pile.cover(is_recommended);
    for mut layer in [environment::read(&inputs.environment, &mut mistakes), inputs.flags.clone()] {
        mistakes.extend(policy.strip(&mut layer).iter().map(Stripped::refused));
        pile.cover(layer);
    }
    let Pile { mut layer, overridden } = pile;
    let refused = policy.refuse_shortcuts(&mut layer, &inputs.environment);
    let has_no_password = refused.iter().any(|mistake| mistake.origin == Origin::Variable(PASSWORD.into()));
    mistakes.extend(refused);
    match has_no_password {
        true => shortcut::apply(&mut layer, &inputs.environment.without(PASSWORD), &mut mistakes),
        false => shortcut::apply(&mut layer, &inputs.environment, &mut mistakes),
    }
    layer.cover(policy.locked.clone());
    mistakes.append(&mut policy.sweep(&mut layer));
    let mut reader = Reader::new(&layer, &inputs.environment, &policy);
    let state = super::state_directory(&|name| inputs.environment.get(name).map(str::to_owned));
    let config = build::build(&mut reader, read, state);
    let Reader { mistakes: mut wrong, warnings: mut doubtful, mut named, .. } = reader;
    mistakes.append(&mut wrong);
    warnings.append(&mut doubtful);
    mistakes.sort_by(|a, b| a.origin.cmp(&b.origin));
    named.sort();
    named.dedup();
    Examined { loaded: Loaded { config, warnings, layer, policy, overridden, named }, mistakes }
}

/// The layers so far, and what is no more to be seen in them.
struct Pile {
    layer: Layer,
    overridden: Vec<(Vec<String>, Origin)>,
}

impl Pile {
    fn cover(&mut self, higher: Layer) {
        for entry in &higher.entries {
            let below = self.layer.get(&entry.path()).filter(|below| below.value != Value::Named);
            self.overridden.extend(below.map(|below| (below.path.clone(), below.origin.clone())));
        }
        self.layer.cover(higher);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Machine,
    User,
    Named,
}

pub(super) fn candidates(files: &Files) -> Vec<(PathBuf, Kind)> {
    match files {
        Files::Nothing => Vec::new(),
        Files::Only(path) => vec![(path.clone(), Kind::Named)],
        Files::Standard { machine, user } | Files::Named { machine, user, .. } => {
            let user = user.iter().map(|path| (path.clone(), Kind::User));
            [(machine.clone(), Kind::Machine)].into_iter().chain(user).collect()
        }
    }
}

/// The text of a file. `None` where it is rightly absent or a mistake was noted.
fn text_of(path: &Path, kind: Kind, mistakes: &mut Vec<Mistake>) -> Option<String> {
    let problem = match text::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && kind != Kind::Named => return None,
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Problem::new("the file is not UTF-8 text").hint("save it as UTF-8")
        }
        Err(error) => Problem::new(format!("cannot read the file: {error}")),
        Ok(_) if kind == Kind::Machine && others_may_write(path) => {
            Problem::new(format!("others than {OWNERS} may change this machine-wide file")).hint(closing(path))
        }
        Ok(text) => return Some(text),
    };
    let origin = Origin::File { path: path.into(), line: 1, column: 1 };
    mistakes.push(Mistake::new(origin, "", problem));
    None
}
