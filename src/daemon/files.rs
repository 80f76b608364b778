//! The files that the configuration stands in, and those that it names: read again when somebody has changed them.
//!
//! They are looked at every few seconds and not watched: that works on every file system, notices a file that
//! appears in a directory that was not there either, and costs a stat for each. Every reading has its look before it, so
//! that what changes in between shows at the next one.

use std::path::PathBuf;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};

use crate::config::{Config, Examined, Inputs, Loaded, Mistakes, Stamps, examine};

/// How often they are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// An editor is done when nothing has happened for this long.
const QUIET: Duration = Duration::from_millis(300);

/// What is wrong after it as well was not half of a file.
const SECOND_TRY: Duration = Duration::from_secs(1);

/// What a file names is known once it was read, and is then looked at before it is read again.
const MOST_READINGS: usize = 3;

pub struct ConfigFiles {
    inputs: Inputs,
    /// Pipes and the like, which cannot be read again.
    given_once: Vec<PathBuf>,
    /// Secrets, certificates, values: the same configuration means something else with others.
    named: Vec<PathBuf>,
    /// How all of them looked just before they were read.
    read: Look,
    /// How the named ones looked before the configuration was read that counts.
    counting: Stamps,
    /// How they looked last, and when they are looked at next: whoever waits for a change may be called away again and
    /// again.
    last: Look,
    due: Option<Instant>,
}

#[derive(Clone, Default, PartialEq, Eq)]
struct Look {
    own: Stamps,
    named: Stamps,
}

impl ConfigFiles {
    /// Reads them for the first time. What they say counts from then on.
    pub fn read(inputs: Inputs) -> Result<(Self, Loaded), Mistakes> {
        let Reading { look, named, examined } = read(&inputs, Vec::new(), &examine);
        let loaded = examined.valid()?;
        let (counting, last) = (look.named.clone(), look.clone());
        let given_once = inputs.given_once();
        Ok((Self { inputs, given_once, named, read: look, counting, last, due: None }, loaded))
    }

    /// What it says was read at the start and stays until the end.
    pub fn given_once(&self) -> &[PathBuf] {
        &self.given_once
    }

    /// Whether a file that the configuration names was another one, when it was read last, than the one that counts.
    pub fn are_renewed(&self) -> bool {
        self.read.named != self.counting
    }

    /// What was read last counts from now on.
    pub fn count(&mut self) {
        self.counting = self.read.named.clone();
    }

    /// Waits until somebody has changed them since they were read, and is done with it.
    pub async fn changed(&mut self) {
        loop {
            let due = *self.due.get_or_insert_with(|| Instant::now() + LOOK);
            sleep_until(due).await;
            let now = self.look().await;
            let is_done = now == self.last && now != self.read;
            self.due = Some(Instant::now() + if now == self.read { LOOK } else { QUIET });
            self.last = now;
            if is_done {
                return;
            }
        }
    }

    /// Reads them, whether they have changed or not.
    pub async fn load(&mut self) -> Result<Loaded, Mistakes> {
        let (inputs, named) = (self.inputs.clone(), self.named.clone());
        let reading = match spawn_blocking(move || read(&inputs, named, &examine)).await {
            Ok(reading) => reading,
            // It panicked: the next one reads the same files and may say so.
            Err(_) => read(&self.inputs, self.named.clone(), &examine),
        };
        let Reading { look, named, examined } = reading;
        (self.named, self.last, self.read, self.due) = (named, look.clone(), look, None);
        examined.valid()
    }

    /// What is wrong in a file that is being written right now is no reason to worry anybody, and what is right in it is
    /// none to go by: an empty file is a configuration, too, and many editors begin with one.
    pub async fn load_when_whole(&mut self) -> Result<Loaded, Mistakes> {
        let before = self.read.own.clone();
        let loaded = self.load().await;
        sleep(QUIET).await;
        if loaded.is_ok() && !self.read.own.have_emptied_since(&before) && self.look().await == self.read {
            return loaded;
        }
        sleep(SECOND_TRY).await;
        self.load().await
    }

    async fn look(&self) -> Look {
        let (inputs, named) = (self.inputs.clone(), self.named.clone());
        spawn_blocking(move || Look::at(&inputs, &named)).await.unwrap_or_default()
    }
}

impl Look {
    fn at(inputs: &Inputs, named: &[PathBuf]) -> Self {
        Self { own: inputs.stamps(), named: Stamps::of(named) }
    }
}

/// What was read, what it names, and how all of that looked before.
struct Reading {
    look: Look,
    named: Vec<PathBuf>,
    examined: Examined,
}

/// Until nothing is named that was not looked at before.
fn read(inputs: &Inputs, mut named: Vec<PathBuf>, examine: &dyn Fn(&Inputs) -> Examined) -> Reading {
    let mut readings = 0;
    loop {
        let look = Look::at(inputs, &named);
        let examined = examine(inputs);
        readings += 1;
        if examined.loaded.named_files() == named || readings == MOST_READINGS {
            return Reading { look, named, examined };
        }
        named = examined.loaded.named_files().to_vec();
    }
}

/// Why a file that holds a secret of a credential is of no use as it is now.
pub async fn unreadable_secret(config: &Config) -> Option<String> {
    let credentials = config.credentials.clone();
    let look = move || credentials.iter().find_map(|credential| credential.unreadable());
    spawn_blocking(look).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use tempfile::TempDir;
    use tokio::time::timeout;

    use super::*;
    use crate::config::{Environment, Files, Layer, PolicyPlace, write_private};

    fn inputs(path: &Path) -> Inputs {
        Inputs {
            files: Files::Only(path.into()),
            environment: Environment::default(),
            flags: Layer::default(),
            policy: PolicyPlace::Nowhere,
        }
    }

    /// A configuration whose `no_proxy` stands in a file of its own.
    fn home() -> (TempDir, PathBuf, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let (path, list) = (home.path().join("hallpass.toml"), home.path().join("list"));
        fs::write(&path, format!("no_proxy = '${{file:{}}}'\n", list.display())).unwrap();
        fs::write(&list, "a.test\n").unwrap();
        (home, path, list)
    }

    async fn notices(files: &mut ConfigFiles) -> bool {
        timeout(5 * LOOK, files.changed()).await.is_ok()
    }

    #[tokio::test]
    async fn whoever_is_called_away_again_and_again_hears_of_a_change_all_the_same() {
        let (_home, path, _) = home();
        let (mut files, _) = ConfigFiles::read(inputs(&path)).unwrap();
        fs::write(&path, "").unwrap();
        let often = async { while timeout(LOOK / 4, files.changed()).await.is_err() {} };
        assert!(timeout(5 * LOOK, often).await.is_ok());
    }

    #[tokio::test]
    async fn a_file_whose_content_is_a_value_is_followed() {
        let (_home, path, list) = home();
        let (mut files, _) = ConfigFiles::read(inputs(&path)).unwrap();
        fs::write(&list, "changed.test\n").unwrap();
        assert!(notices(&mut files).await);
        let loaded = files.load().await.unwrap();
        assert_eq!(loaded.config.routing.no_proxy.written().collect::<Vec<_>>(), ["changed.test"]);
    }

    #[test]
    fn what_changes_while_it_is_read_was_looked_at_before() {
        let (_home, path, list) = home();
        let inputs = inputs(&path);
        let read = read(&inputs, Vec::new(), &|inputs| {
            let examined = examine(inputs);
            let before = fs::read_to_string(&list).unwrap();
            fs::write(&list, before + "x").unwrap();
            examined
        });
        assert_eq!(read.named, [list]);
        assert!(read.look != Look::at(&inputs, &read.named), "the change shows at the next look");
    }

    #[tokio::test]
    async fn a_file_that_a_wrong_configuration_waits_for_is_followed() {
        let (_home, path, list) = home();
        fs::remove_file(&list).unwrap();
        assert!(ConfigFiles::read(inputs(&path)).is_err());
        fs::write(&list, "a.test\n").unwrap();
        let (mut files, _) = ConfigFiles::read(inputs(&path)).unwrap();
        let other = list.with_file_name("other");
        fs::write(&path, format!("no_proxy = '${{file:{}}}'\n", other.display())).unwrap();
        assert!(notices(&mut files).await && files.load().await.is_err());
        fs::write(&other, "b.test\n").unwrap();
        assert!(notices(&mut files).await && files.load().await.is_ok());
    }

    #[tokio::test]
    async fn what_was_renewed_beside_a_mistake_is_renewed_still_when_the_mistake_is_gone() {
        let (home, path, _) = home();
        let secret = home.path().join("secret");
        let put = |text: &str| write_private(&secret, text, true).unwrap();
        put("1");
        let right = format!("[credentials.c]\nuser = \"a\"\npassword = '${{file:{}}}'\n", secret.display());
        fs::write(&path, &right).unwrap();
        let (mut files, first) = ConfigFiles::read(inputs(&path)).unwrap();
        assert!(!files.are_renewed());
        put("22");
        fs::write(&path, format!("{right}mistake = 1\n")).unwrap();
        assert!(files.load().await.is_err());
        fs::write(&path, &right).unwrap();
        assert!(files.load().await.unwrap().config == first.config && files.are_renewed());
        files.count();
        assert!(!files.are_renewed() && files.load().await.is_ok() && !files.are_renewed());
    }
}
