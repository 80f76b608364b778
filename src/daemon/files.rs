//! The files that the configuration stands in, and those that it names: read again when somebody has changed them.
//!
//! They are looked at every few seconds and not watched: that works on every file system, notices a file that
//! appears in a directory that was not there either, and costs a stat for each.

use std::path::PathBuf;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::config::{Config, Inputs, Loaded, Mistakes, Stamps, load};

/// How often they are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// An editor is done when nothing has happened for this long.
const QUIET: Duration = Duration::from_millis(300);

/// What is wrong after it as well was not half of a file.
const SECOND_TRY: Duration = Duration::from_secs(1);

pub struct ConfigFiles {
    inputs: Inputs,
    /// How they looked just before they were read.
    read: Look,
    /// Secrets and certificates: the same configuration means something else with others.
    named: Vec<PathBuf>,
    renewed: bool,
}

#[derive(Clone, Default, PartialEq, Eq)]
struct Look {
    own: Stamps,
    named: Stamps,
}

impl ConfigFiles {
    /// To be called before they are read for the first time.
    pub fn new(inputs: Inputs) -> Self {
        let read = Look { own: inputs.stamps(), named: Stamps::default() };
        Self { read, inputs, named: Vec::new(), renewed: false }
    }

    /// From now on what this configuration names is looked at, too. To be called before any of it is read.
    pub fn follow(&mut self, config: &Config) {
        self.named = config.named_files();
        self.read.named = Stamps::of(&self.named);
    }

    /// Whether a file that the configuration names was another one when it was read last; asked for once.
    pub fn take_renewed(&mut self) -> bool {
        std::mem::take(&mut self.renewed)
    }

    /// Waits until somebody has changed them since they were read, and is done with it.
    pub async fn changed(&self) {
        let mut last = self.read.clone();
        let mut pause = LOOK;
        loop {
            sleep(pause).await;
            let now = self.look().await;
            if now == last && now != self.read {
                return;
            }
            pause = if now == self.read { LOOK } else { QUIET };
            last = now;
        }
    }

    /// Reads them, whether they have changed or not.
    pub async fn load(&mut self) -> Result<Loaded, Mistakes> {
        let before = self.read.clone();
        self.read = self.look().await;
        self.renewed |= self.read.named != before.named;
        let inputs = self.inputs.clone();
        let loaded = match spawn_blocking(move || load(&inputs)).await {
            Ok(loaded) => loaded,
            // It panicked: the next one reads the same files and may say so.
            Err(_) => load(&self.inputs),
        };
        if let Ok(loaded) = &loaded
            && loaded.config.named_files() != self.named
        {
            self.follow(&loaded.config);
        }
        loaded
    }

    /// What is wrong in a file that is being written right now is no reason to worry anybody, and what is right in it is
    /// none to go by: an empty file is a configuration, too, and many editors begin with one.
    pub async fn load_when_whole(&mut self) -> Result<Loaded, Mistakes> {
        let before = self.read.clone();
        let loaded = self.load().await;
        sleep(QUIET).await;
        if loaded.is_ok() && !self.read.own.have_emptied_since(&before.own) && self.look().await == self.read {
            return loaded;
        }
        sleep(SECOND_TRY).await;
        self.load().await
    }

    async fn look(&self) -> Look {
        let (inputs, named) = (self.inputs.clone(), self.named.clone());
        let look = move || Look { own: inputs.stamps(), named: Stamps::of(&named) };
        spawn_blocking(look).await.unwrap_or_default()
    }
}

/// Why a file that holds a secret of a credential is of no use as it is now.
pub async fn unreadable_secret(config: &Config) -> Option<String> {
    let credentials = config.credentials.clone();
    let look = move || credentials.iter().find_map(|credential| credential.unreadable());
    spawn_blocking(look).await.ok().flatten()
}
