//! The files that the configuration stands in: read again when somebody has changed them.
//!
//! They are looked at every few seconds and not watched: that works on every file system, notices a file that
//! appears in a directory that was not there either, and costs a stat for each.

use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::config::{Inputs, Loaded, Mistakes, Stamps, load};

/// How often they are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// An editor is done when nothing has happened for this long.
const QUIET: Duration = Duration::from_millis(300);

/// What is wrong after it as well was not half of a file.
const SECOND_TRY: Duration = Duration::from_secs(1);

pub struct ConfigFiles {
    inputs: Inputs,
    /// How they looked just before they were read.
    read: Stamps,
}

impl ConfigFiles {
    /// To be called before they are read for the first time.
    pub fn new(inputs: Inputs) -> Self {
        Self { read: inputs.stamps(), inputs }
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
        self.read = self.look().await;
        let inputs = self.inputs.clone();
        match spawn_blocking(move || load(&inputs)).await {
            Ok(loaded) => loaded,
            // It panicked: the next one reads the same files and may say so.
            Err(_) => load(&self.inputs),
        }
    }

    /// What is wrong in a file that is being written right now is no reason to worry anybody, and what is right in it is
    /// none to go by: an empty file is a configuration, too, and many editors begin with one.
    pub async fn load_when_whole(&mut self) -> Result<Loaded, Mistakes> {
        let before = self.read.clone();
        let loaded = self.load().await;
        sleep(QUIET).await;
        if loaded.is_ok() && !self.read.have_emptied_since(&before) && self.look().await == self.read {
            return loaded;
        }
        sleep(SECOND_TRY).await;
        self.load().await
    }

    async fn look(&self) -> Stamps {
        let inputs = self.inputs.clone();
        spawn_blocking(move || inputs.stamps()).await.unwrap_or_default()
    }
}
