//! What the files of a configuration look like from outside: whether one was written, put in another's place, or
//! has appeared where none was.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::load::{Kind, candidates};
use super::policy::Statement;
use super::text;
use super::{Credential, Inputs, others_may_write, others_than_root_may_write};
use crate::credential::Source;

/// Equal as long as nobody touched a file. No order in time is made of it: clocks jump.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stamps {
    files: Vec<Option<Stamp>>,
    /// Of the machine's own: whether it is refused because others may write it, which hangs on its directory, too.
    refused: Vec<bool>,
    /// What the policy says where it is no file, whole: a registry has no stamps.
    policy: Vec<Statement>,
}

/// A file that is renamed over another one was created at another time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    created: Option<SystemTime>,
    length: u64,
    /// A secret that others may read is refused until they may not.
    permissions: fs::Permissions,
}

impl Inputs {
    /// Of all files that would be read, those included that are not there. Blocks as little as a file system can.
    pub fn stamps(&self) -> Stamps {
        let (candidates, policies) = (candidates(&self.files), self.policy.files());
        let machines = candidates.iter().filter(|(_, kind)| *kind == Kind::Machine);
        let refused = machines.map(|(path, _)| others_may_write(path));
        let refused = refused.chain(policies.iter().map(|path| others_than_root_may_write(path))).collect();
        let paths: Vec<PathBuf> = candidates.iter().map(|(path, _)| path).chain(&policies).cloned().collect();
        Stamps { refused, policy: self.policy.branches(), ..Stamps::of(&paths) }
    }
}

impl Inputs {
    /// What cannot be read again: what it said first stays. Blocks as `stamps` does.
    pub fn given_once(&self) -> Vec<PathBuf> {
        candidates(&self.files).into_iter().map(|(path, _)| path).filter(|path| text::is_given_once(path)).collect()
    }
}

impl Stamps {
    /// Of files that a configuration names.
    pub fn of(paths: &[PathBuf]) -> Self {
        Self { files: stamps(paths), ..Self::default() }
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

/// A number that is another one once somebody has written one of the files. Blocks as `stamps` does.
pub fn version(paths: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    let contents = |stamp: Stamp| (stamp.modified, stamp.created, stamp.length);
    stamps(paths).into_iter().map(|stamp| stamp.map(contents)).collect::<Vec<_>>().hash(&mut hasher);
    hasher.finish()
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
    if text::is_given_once(path) {
        // To read it is to change how it looks, and it is not read again.
        return Some(Stamp { modified: None, created: None, length: 0, permissions: found.permissions() });
    }
    let (modified, created) = (found.modified().ok(), found.created().ok());
    Some(Stamp { modified, created, length: found.len(), permissions: found.permissions() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Files, Layer, PolicyPlace, write_private};

    #[test]
    fn all_files_that_are_read_later_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("agent"), "hallpass").unwrap();
        for name in ["keytab", "ca.pem", "me.pem", "me.key"] {
            write_private(&at(name), "-----BEGIN CERTIFICATE-----\n", false).unwrap();
        }
        let text = format!(
            "user_agent = \"${{file:{0}/agent}}\"\n[access]\ntoken = \"${{file:/t/access}}\"\n\
             [[listeners]]\ninterface = \"lo\"\nport = 1\ntoken = \"${{file:/t/listener}}\"\n\
             [upstreams.u]\nurl = \"https://u.test:1\"\ncredential = \"a\"\n\
             ca_file = \"{0}/ca.pem\"\nclient_cert = \"{0}/me.pem\"\nclient_key = \"{0}/me.key\"\n\
             [credentials.a]\nuser = \"a@R.TEST\"\npassword = \"${{file:/t/password}}\"\nkeytab = \"{0}/keytab\"\n\
             [credentials.b]\nuser = \"b\"\nnt_hash = \"${{credential:hash}}\"\n\
             [credentials.c]\nuser = \"c\"\npassword_command = [\"true\"]\n",
            directory.path().display().to_string().replace('\\', "/")
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
        let mut wanted: Vec<PathBuf> =
            ["access", "listener", "password", "hash"].iter().map(|name| Path::new("/t").join(name)).collect();
        wanted.extend(["agent", "keytab", "ca.pem", "me.pem", "me.key"].map(at));
        wanted.sort();
        assert_eq!(loaded.named_files(), wanted);
        let before = version(&[at("keytab")]);
        assert_eq!(before, version(&[at("keytab")]));
        fs::write(at("keytab"), "another").unwrap();
        assert_ne!(before, version(&[at("keytab")]));
    }

    #[test]
    fn what_is_named_by_a_configuration_that_is_wrong_is_named_all_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let text = "no_proxy = \"${file:/nowhere/list}\"\n[upstreams.u]\nca_file = \"ca.pem\"\n\
                    [credentials.a]\nuser = \"a@R.TEST\"\nkeytab = \"keytab\"\n";
        fs::write(at("hallpass.toml"), text).unwrap();
        let (environment, policy) = (Environment::default(), PolicyPlace::Nowhere);
        let inputs = Inputs { files: Files::Only(at("hallpass.toml")), environment, flags: Layer::default(), policy };
        let examined = crate::config::examine(&inputs);
        assert!(examined.mistakes.len() >= 4, "{:?}", examined.mistakes);
        let mut wanted = [PathBuf::from("/nowhere/list"), at("ca.pem"), at("keytab")];
        wanted.sort();
        assert_eq!(examined.loaded.named_files(), wanted);
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
        #[cfg(unix)]
        fs::set_permissions(&user, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        must_differ("it appeared");
        write(&user, "22");
        must_differ("it was written");
        #[cfg(unix)]
        {
            fs::set_permissions(&user, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            must_differ("others cannot read it any more");
        }
        // Windows lets a file that takes another's name have its time of creation, too.
        #[cfg(unix)]
        {
            let times = fs::metadata(&user).unwrap().modified().unwrap();
            let other = directory.path().join("other");
            write(&other, "33");
            fs::File::options().write(true).open(&other).unwrap().set_modified(times).unwrap();
            fs::rename(&other, &user).unwrap();
            must_differ("another one of the same length and time took its place");
        }
        fs::remove_file(&user).unwrap();
        assert_eq!(inputs.stamps(), seen[0], "it is gone");
        #[cfg(unix)]
        {
            fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
            assert_ne!(inputs.stamps(), seen[0], "the machine's file is refused for its directory");
        }
    }
}
