//! Finds the files, lays the layers over each other and collects what is wrong with all of them.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::build;
use super::environment::{self, CONFIG, Environment, NO_CONFIG};
use super::file;
use super::layer::Layer;
use super::mistake::{Mistake, Mistakes, Origin, Problem};
use super::reader::Reader;
use super::shortcut;
use super::{Config, machine_file, others_may_write, show, user_file};

/// Which files are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// The machine's, then the user's on top; either may be absent.
    Standard {
        machine: PathBuf,
        user: Option<PathBuf>,
    },
    /// This one, which must be there.
    Only(PathBuf),
    Nothing,
}

/// Everything a configuration is made from. Loading again reads the files again and nothing else.
#[derive(Debug, Clone)]
pub struct Inputs {
    pub files: Files,
    pub environment: Environment,
    pub flags: Layer,
}

impl Inputs {
    /// The process's environment and the usual places, unless `--config` or `--no-config` say otherwise.
    pub fn new(config: Option<PathBuf>, no_config: bool, flags: Layer) -> Self {
        let environment = Environment::of_process();
        let config = config.or_else(|| environment.get(CONFIG).filter(|path| !path.is_empty()).map(PathBuf::from));
        let no_config = no_config || environment.get(NO_CONFIG).is_some_and(|value| ["1", "true"].contains(&value));
        let files = match config {
            _ if no_config => Files::Nothing,
            Some(path) => Files::Only(path),
            None => {
                let variable = |name: &str| environment.get(name).map(str::to_owned);
                Files::Standard { machine: machine_file(&variable), user: user_file(&variable) }
            }
        };
        Self { files, environment, flags }
    }
}

/// A valid configuration and where its values came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    /// Nothing is wrong, but something is hardly meant.
    pub warnings: Vec<Mistake>,
    layer: Layer,
}

impl Loaded {
    /// Where the value of a key stands.
    pub fn origin(&self, path: &[&str]) -> Origin {
        self.layer.get(path).map_or(Origin::Default, |entry| entry.origin.clone())
    }

    /// The effective configuration as a file that gives the same one, each value with its origin, no secret in it.
    pub fn to_toml(&self) -> String {
        show::toml(self)
    }

    /// The same without what stands nowhere.
    pub fn written_to_toml(&self) -> String {
        show::written(self)
    }

    /// What differs from the defaults, as lines of a file: the keys above all tables, and the tables.
    pub fn changes_to_toml(&self) -> (String, String) {
        show::changes(self)
    }
}

/// Blocks on files. Secrets are not read.
pub fn load(inputs: &Inputs) -> Result<Loaded, Mistakes> {
    let mut mistakes = Vec::new();
    let mut layer = Layer::default();
    let mut read = Vec::new();
    for (path, kind) in candidates(&inputs.files) {
        if let Some(text) = text_of(&path, kind, &mut mistakes) {
            layer.cover(file::read(&path, &text, &mut mistakes));
            read.push(path);
        }
    }
    layer.cover(environment::read(&inputs.environment, &mut mistakes));
    layer.cover(inputs.flags.clone());
    shortcut::apply(&mut layer, &inputs.environment, &mut mistakes);
    let mut reader = Reader::new(&layer, &inputs.environment);
    let state = super::state_directory(&|name| inputs.environment.get(name).map(str::to_owned));
    let config = build::build(&mut reader, read, state);
    mistakes.append(&mut reader.mistakes);
    let warnings = reader.warnings;
    if mistakes.is_empty() {
        return Ok(Loaded { config, warnings, layer });
    }
    mistakes.sort_by(|a, b| a.origin.cmp(&b.origin));
    Err(Mistakes(mistakes))
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
        Files::Standard { machine, user } => {
            let user = user.iter().map(|path| (path.clone(), Kind::User));
            [(machine.clone(), Kind::Machine)].into_iter().chain(user).collect()
        }
    }
}

/// The text of a file. `None` where it is rightly absent or a mistake was noted.
fn text_of(path: &Path, kind: Kind, mistakes: &mut Vec<Mistake>) -> Option<String> {
    let problem = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && kind != Kind::Named => return None,
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Problem::new("the file is not UTF-8 text").hint("save it as UTF-8")
        }
        Err(error) => Problem::new(format!("cannot read the file: {error}")),
        Ok(_) if kind == Kind::Machine && others_may_write(path) => Problem::new(
            "others than root may change this machine-wide file",
        )
        .hint(format!("chown root: {0} {1}; chmod go-w {0} {1}", directory_of(path).display(), path.display())),
        Ok(text) => return Some(text),
    };
    let origin = Origin::File { path: path.into(), line: 1, column: 1 };
    mistakes.push(Mistake::new(origin, "", problem));
    None
}

fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
