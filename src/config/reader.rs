//! Takes values out of the merged layers and notes what is wrong with them.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::expand;
use super::layer::{Item, Layer, Value};
use super::mistake::{Mistake, Origin, Problem};
use super::policy::Policy;
use crate::credential::{self, Source};

pub struct Reader<'a> {
    pub layer: &'a Layer,
    pub environment: &'a Environment,
    policy: &'a Policy,
    pub mistakes: Vec<Mistake>,
    /// Not wrong, but hardly meant.
    pub warnings: Vec<Mistake>,
    /// The files that values name or stand in, whether they are there or not.
    pub named: Vec<PathBuf>,
}

impl<'a> Reader<'a> {
    pub fn new(layer: &'a Layer, environment: &'a Environment, policy: &'a Policy) -> Self {
        Self { layer, environment, policy, mistakes: Vec::new(), warnings: Vec::new(), named: Vec::new() }
    }

    pub fn has(&self, path: &[&str]) -> bool {
        self.layer.get(path).is_some()
    }

    /// Where a key stands, or the nearest table around it.
    pub fn origin(&self, path: &[&str]) -> Origin {
        let found = (1..=path.len()).rev().find_map(|length| self.layer.get(&path[..length]));
        found.map_or(Origin::Default, |entry| entry.origin.clone())
    }

    pub fn wrong(&mut self, path: &[&str], problem: Problem) {
        let origin = self.origin(path);
        self.wrong_at(origin, path, problem);
    }

    pub fn wrong_at(&mut self, origin: Origin, path: &[&str], problem: Problem) {
        self.mistakes.push(Mistake::new(origin, path.join("."), problem));
    }

    pub fn warn(&mut self, path: &[&str], problem: Problem) {
        let origin = self.origin(path);
        self.warnings.push(Mistake::new(origin, path.join("."), problem));
    }

    /// One value, read by `parse`. `None` where there is none or it is wrong.
    pub fn parsed<T>(&mut self, path: &[&str], parse: impl FnOnce(&str) -> Result<T, Problem>) -> Option<T> {
        let (text, origin) = self.scalar(path)?;
        self.checked(path, origin, parse(&text))
    }

    pub fn text(&mut self, path: &[&str]) -> Option<String> {
        self.scalar(path).map(|(text, _)| text)
    }

    /// The values of a list, each read by `parse`; wrong ones are left out. One value alone is a list, too.
    pub fn list<T>(&mut self, path: &[&str], parse: impl Fn(&str) -> Result<T, Problem>) -> Option<Vec<T>> {
        let items = self.items(path)?;
        Some(items.into_iter().filter_map(|(text, origin)| self.checked(path, origin, parse(&text))).collect())
    }

    /// The texts of a list with their places.
    pub fn items(&mut self, path: &[&str]) -> Option<Vec<(String, Origin)>> {
        let layer = self.layer;
        let entry = layer.get(path)?;
        if let Value::List(items) = &entry.value {
            return Some(items.iter().filter_map(|item| self.item(path, item)).collect());
        }
        self.scalar(path).map(|one| vec![one])
    }

    fn item(&mut self, path: &[&str], item: &Item) -> Option<(String, Origin)> {
        self.plain(path, &item.value, &item.origin).map(|text| (text, item.origin.clone()))
    }

    /// A path; a relative one starts at the file that names it.
    pub fn path(&mut self, path: &[&str]) -> Option<PathBuf> {
        let (text, origin) = self.scalar(path)?;
        let base = match &origin {
            Origin::File { path, .. } => path.parent().map(Path::to_path_buf),
            Origin::Variable(_) | Origin::Flag(_) | Origin::Managed(_) | Origin::Default => None,
        };
        let problem = if text.is_empty() {
            Problem::new("the path is empty")
        } else if matches!(origin, Origin::Managed(_)) && Path::new(&text).is_relative() {
            // It would lead to whatever the directory has in which somebody starts us.
            Problem::new("a policy names whole paths").hint("from the root on")
        } else if text.starts_with("~/") {
            Problem::new("~ is not expanded").hint(format!("write \"${{env:HOME}}{}\"", &text[1..]))
        } else {
            let whole = base.map_or_else(|| text.clone().into(), |base| base.join(&text));
            self.named.push(whole.clone());
            return Some(whole);
        };
        self.checked(path, origin, Err(problem))
    }

    /// A place of a secret, which is not read now.
    pub fn secret(&mut self, path: &[&str]) -> Option<Source> {
        let layer = self.layer;
        let entry = layer.get(path)?;
        let source = match &entry.value {
            Value::Text(text) => expand::secret(text, self.environment),
            Value::Broken => return None,
            other @ (Value::Number(_)
            | Value::Switch(_)
            | Value::List(_)
            | Value::Named
            | Value::Tables
            | Value::Other(_)) => {
                Err(Problem::new(format!("this wants text, not {}", other.kind())).hint("put it in quotes"))
            }
        };
        let source = self.checked(path, entry.origin.clone(), source)?;
        self.named.extend(source.file());
        self.check_exposure(path, &source, &entry.origin);
        Some(source)
    }

    fn check_exposure(&mut self, path: &[&str], source: &Source, origin: &Origin) {
        match (source, origin) {
            (Source::Literal(_), _) if self.policy.says(path, origin) => {
                let problem = Problem::new("a plain-text secret in a policy, which everybody can read");
                self.wrong(path, problem.hint(instead_of_policy(path, origin)));
            }
            (Source::Literal(_), Origin::File { path: file, .. }) if exposed(file) => {
                let problem = Problem::new("a plain-text secret in a file that others can read")
                    .hint(format!("chmod 600 {}, or \"${{file:/path}}\"", file.display()));
                self.wrong(path, problem);
            }
            (Source::File(file), _) => self.check_private(path, file),
            _ => {}
        }
    }

    /// A file that holds nothing but a secret.
    pub fn check_private(&mut self, path: &[&str], file: &Path) {
        if exposed(file) {
            let problem = Problem::new(format!("others can read the secret in {}", file.display()));
            self.wrong(path, problem.hint(format!("chmod 600 {}", file.display())));
        }
    }

    fn scalar(&mut self, path: &[&str]) -> Option<(String, Origin)> {
        let layer = self.layer;
        let entry = layer.get(path)?;
        self.plain(path, &entry.value, &entry.origin).map(|text| (text, entry.origin.clone()))
    }

    /// The text of a value that is not a list. Numbers and switches are texts that need no quotes.
    fn plain(&mut self, path: &[&str], value: &Value, origin: &Origin) -> Option<String> {
        let text = match value {
            Value::Text(text) => {
                self.named.extend(expand::files(text));
                expand::expand(text, self.environment)
            }
            Value::Number(text) => Ok(text.clone()),
            Value::Switch(switch) => Ok(switch.to_string()),
            Value::Broken => return None,
            Value::List(_) | Value::Named | Value::Tables | Value::Other(_) => {
                Err(Problem::new(format!("{} cannot stand here", value.kind())))
            }
        };
        self.checked(path, origin.clone(), text)
    }

    pub fn checked<T>(&mut self, path: &[&str], origin: Origin, result: Result<T, Problem>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(problem) => {
                self.wrong_at(origin, path, problem);
                None
            }
        }
    }
}

/// Where else a secret of this key can be. Whoever runs us must be able to read a policy, so its mode is no way out.
fn instead_of_policy(path: &[&str], origin: &Origin) -> &'static str {
    let is_password = path.last() == Some(&"password");
    match (is_password, origin) {
        // Only Linux has its policy in such a file, and systemd.
        (true, Origin::File { .. }) => {
            "\"${file:/path}\", \"${credential:NAME}\" with LoadCredential in the unit, password_command, or leave it out for \
             hallpass login"
        }
        (false, Origin::File { .. }) => "\"${file:/path}\", or \"${credential:NAME}\" with LoadCredential in the unit",
        (true, Origin::Managed(_) | Origin::Variable(_) | Origin::Flag(_) | Origin::Default) => {
            "\"${file:/path}\", password_command, or leave it out for hallpass login"
        }
        (false, Origin::Managed(_) | Origin::Variable(_) | Origin::Flag(_) | Origin::Default) => {
            "\"${file:/path}\" of a file that others cannot read"
        }
    }
}

/// A file that is not there exposes nothing.
fn exposed(file: &Path) -> bool {
    credential::others_may_read(file).unwrap_or(false)
}
