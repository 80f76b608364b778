//! What the files of a configuration look like from outside: whether one was written, put in another's place, or
//! has appeared where none was.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::iter;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::load::candidates;
use super::policy::Statement;
use super::{Config, Credential, Inputs};
use crate::credential::Source;

/// Equal as long as nobody touched a file. No order in time is made of it: clocks jump.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stamps {
    files: Vec<Option<Stamp>>,
    /// What the policy says, whole: a registry has no stamps, and a policy is small.
    policy: Vec<Statement>,
}

/// A file that is renamed over another one was created at another time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Stamp {
    modified: Option<SystemTime>,
    created: Option<SystemTime>,
    length: u64,
}

impl Inputs {
    /// Of all files that would be read, those included that are not there. Blocks as little as a file system can.
    pub fn stamps(&self) -> Stamps {
        let paths: Vec<PathBuf> = candidates(&self.files).into_iter().map(|(path, _)| path).collect();
        Stamps { policy: self.policy.statements(), ..Stamps::of(&paths) }
    }
}

impl Stamps {
    /// Of files that a configuration names.
    pub fn of(paths: &[PathBuf]) -> Self {
        Self { files: stamps(paths), policy: Vec::new() }
    }

    /// There is nothing left in a file that held something `before`.
    pub fn have_emptied_since(&self, before: &Self) -> bool {
        let length = |stamp: &Option<Stamp>| stamp.as_ref().map(|stamp| stamp.length);
        let mut pairs = before.files.iter().zip(&self.files);
        let has_emptied = pairs.any(|(before, now)| length(before) > Some(0) && length(now) == Some(0));
        // Else a policy that is being written would unlock everything for a moment.
        has_emptied || before.policy.iter().any(|said| !said.is_blank() && self.says_nothing_at(&said.place()))
    }
}

impl Stamps {
    fn says_nothing_at(&self, place: &str) -> bool {
        self.policy.iter().any(|now| now.is_blank() && now.place() == place)
    }
}

/// A number that is another one once somebody has touched one of the files. Blocks as `stamps` does.
pub fn version(paths: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    stamps(paths).hash(&mut hasher);
    hasher.finish()
}

impl Config {
    /// Besides the configuration itself: what is read once and kept for as long as the configuration counts.
    pub fn named_files(&self) -> Vec<PathBuf> {
        let tokens = iter::once(&self.access.token).chain(self.listeners.iter().map(|listener| &listener.token));
        let mut files: Vec<PathBuf> = tokens.flatten().filter_map(Source::file).collect();
        files.extend(self.credentials.iter().flat_map(|credential| credential.files()));
        for upstream in &self.upstreams {
            let client = upstream.client.iter().flat_map(|client| [&client.certificate, &client.key]);
            files.extend(upstream.ca_file.iter().chain(client).cloned());
        }
        files
    }
}

impl Credential {
    /// That hold its secrets.
    pub fn files(&self) -> Vec<PathBuf> {
        let sources = [&self.secret, &self.nt_hash].into_iter().flatten();
        sources.filter_map(Source::file).chain(self.keytab.clone()).collect()
    }

    /// Why one of them cannot be used as it is. Blocks on files.
    pub fn unreadable(&self) -> Option<String> {
        let in_files = [&self.secret, &self.nt_hash].into_iter().flatten().filter(|source| source.file().is_some());
        let problem = in_files.filter_map(|source| source.read().err()).map(|error| error.to_string()).next();
        problem.or_else(|| {
            let keytab = self.keytab.as_deref()?;
            match fs::metadata(keytab) {
                Ok(found) if found.len() > 0 => None,
                Ok(_) => Some(format!("the keytab {} is empty", keytab.display())),
                Err(error) => Some(format!("cannot read the keytab {}: {error}", keytab.display())),
            }
        })
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    paths.iter().map(|path| stamp(path)).collect()
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some(Stamp { modified: found.modified().ok(), created: found.created().ok(), length: found.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Files, Layer, PolicyPlace};

    #[test]
    fn all_files_that_are_read_later_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["keytab", "ca.pem", "me.pem", "me.key"] {
            fs::write(at(name), "-----BEGIN CERTIFICATE-----\n").unwrap();
            fs::set_permissions(at(name), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        }
        let text = format!(
            "[access]\ntoken = \"${{file:/t/access}}\"\n\
             [[listeners]]\ninterface = \"lo\"\nport = 1\ntoken = \"${{file:/t/listener}}\"\n\
             [upstreams.u]\nurl = \"https://u.test:1\"\ncredential = \"a\"\n\
             ca_file = \"{0}/ca.pem\"\nclient_cert = \"{0}/me.pem\"\nclient_key = \"{0}/me.key\"\n\
             [credentials.a]\nuser = \"a@R.TEST\"\npassword = \"${{file:/t/password}}\"\nkeytab = \"{0}/keytab\"\n\
             [credentials.b]\nuser = \"b\"\nnt_hash = \"${{credential:hash}}\"\n\
             [credentials.c]\nuser = \"c\"\npassword_command = [\"true\"]\n",
            directory.path().display()
        );
        fs::write(at("hallpass.toml"), text).unwrap();
        let environment = Environment::from_pairs([("CREDENTIALS_DIRECTORY", "/t")]);
        let inputs = Inputs {
            files: Files::Only(at("hallpass.toml")),
            environment,
            flags: Layer::default(),
            policy: PolicyPlace::default(),
        };
        let loaded = crate::config::load(&inputs).unwrap_or_else(|mistakes| panic!("{:?}", mistakes.0));
        let mut named = loaded.config.named_files();
        named.sort();
        let mut wanted: Vec<PathBuf> =
            ["access", "listener", "password", "hash"].iter().map(|name| Path::new("/t").join(name)).collect();
        wanted.extend(["keytab", "ca.pem", "me.pem", "me.key"].map(at));
        wanted.sort();
        assert_eq!(named, wanted);
        let before = version(&[at("keytab")]);
        assert_eq!(before, version(&[at("keytab")]));
        fs::write(at("keytab"), "another").unwrap();
        assert_ne!(before, version(&[at("keytab")]));
    }

    #[test]
    fn whatever_is_done_to_a_file_shows() {
        let directory = tempfile::tempdir().unwrap();
        let (machine, user) = (directory.path().join("machine"), directory.path().join("user"));
        let files = Files::Standard { machine, user: Some(user.clone()) };
        let policy = PolicyPlace::Nowhere;
        let inputs = Inputs { files, environment: Environment::default(), flags: Layer::default(), policy };
        let write = |path: &Path, text: &str| fs::write(path, text).unwrap();
        let mut seen = vec![inputs.stamps()];
        let mut must_differ = |what: &str| {
            let now = inputs.stamps();
            assert!(!seen.contains(&now), "{what}");
            assert_eq!(now, inputs.stamps(), "{what}");
            seen.push(now);
        };
        write(&user, "1");
        must_differ("it appeared");
        write(&user, "22");
        must_differ("it was written");
        let times = fs::metadata(&user).unwrap().modified().unwrap();
        let other = directory.path().join("other");
        write(&other, "33");
        fs::File::options().write(true).open(&other).unwrap().set_modified(times).unwrap();
        fs::rename(&other, &user).unwrap();
        must_differ("another one of the same length and time took its place");
        fs::remove_file(&user).unwrap();
        assert_eq!(inputs.stamps(), seen[0], "it is gone");
    }
}
