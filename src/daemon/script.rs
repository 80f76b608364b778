//! The PAC script in use: fetched, compiled, kept on disk for the days when it cannot be fetched.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until, timeout};

use crate::address::{Endpoint, Target};
use crate::config::{PacPlace, PacSource};
use crate::proxy::PacStatus;
use crate::route::pac::{self, Limits, Pac, PacError, text};
use crate::route::{DirectFallback, PacState};
use crate::state::State;
use crate::upstream::Dialer;
use crate::upstream::fetch::{FetchError, Fetched, Fetcher, Validators};

/// How long a hop of the kept copy may take to accept a connection. A hop that does proves that this is still the
/// network the script was made for.
const PROOF_OF_PLACE: Duration = Duration::from_secs(1);

/// A script in a file is read again when the file is another one; nobody tells us.
const FILE_LOOK: Duration = Duration::from_secs(5);

/// Kept copies are `pac-<a digest of the source>.json`.
const FILE_PREFIX: &str = "pac-";

/// What a script needs besides its text.
#[derive(Clone)]
pub(super) struct Terms {
    pub limits: Limits,
    pub host: Arc<dyn pac::Host>,
    pub fetcher: Arc<Fetcher>,
    pub dialer: Dialer,
    pub direct_fallback: DirectFallback,
    pub store: State,
}

/// One source and what became of it.
pub(super) struct Script {
    pub source: PacSource,
    good: Option<Good>,
    state: PacState,
    /// Why the state is not simply the script as its source has it now.
    problem: Option<String>,
    /// When the file was last changed that was last read.
    modified: Option<SystemTime>,
    /// When the file is looked at next: whoever waits for a change may be called away again and again.
    due: Option<Instant>,
}

/// The last text that was a script.
#[derive(Clone)]
struct Good {
    pac: Arc<Pac>,
    limits: Limits,
    text: Arc<str>,
    validators: Validators,
    fetched: Timestamp,
}

/// [`Good`] as it stands on disk.
#[derive(Serialize, Deserialize)]
struct Kept {
    source: String,
    etag: Option<String>,
    last_modified: Option<String>,
    fetched: Timestamp,
    text: String,
}

/// What asking the source came to.
enum Got {
    Same,
    Text(String, Validators),
    /// No connection came about: this may be another network.
    Unreachable(String),
    /// Somebody answered, but not with the script.
    Bad(String),
}

impl Script {
    pub fn new(source: PacSource) -> Self {
        let state = PacState::Failed("it was not fetched yet".into());
        Self { source, good: None, state, problem: None, modified: None, due: None }
    }

    pub fn state(&self) -> PacState {
        self.state.clone()
    }

    pub fn text(&self) -> Option<Arc<str>> {
        self.good.as_ref().map(|good| good.text.clone())
    }

    /// The network has changed: what DNS said elsewhere is not true here.
    pub fn forget(&self) {
        if let Some(good) = &self.good {
            good.pac.forget();
        }
    }

    /// Whether all is as it should be, so that the next look can wait for the refresh.
    pub fn is_current(&self) -> bool {
        matches!(self.state, PacState::Ready(_)) && self.problem.is_none()
    }

    /// Waits until its file is another one; for ever where it has none.
    pub async fn changed(&mut self) {
        if !matches!(self.source.place, PacPlace::File(_)) {
            return std::future::pending().await;
        }
        loop {
            sleep_until(*self.due.get_or_insert_with(|| Instant::now() + FILE_LOOK)).await;
            let found = modified(&self.source).await;
            self.due = None;
            if found != self.modified {
                return;
            }
        }
    }

    pub fn status(&self) -> PacStatus {
        PacStatus {
            source: self.source.written.clone(),
            state: match (&self.state, &self.problem) {
                (PacState::Ready(_), None) => "current",
                (PacState::Ready(_), Some(_)) => "kept copy",
                (PacState::Unreachable(_), _) => "unreachable",
                (PacState::Failed(_), _) | (PacState::Absent, _) => "failed",
            },
            problem: self.problem.clone(),
            fetched: self.good.as_ref().map(|good| good.fetched.to_string()),
        }
    }

    /// Asks the source again. Takes no longer than the fetch and the proof of place.
    pub async fn examine(&mut self, terms: &Terms) {
        if self.good.is_none() {
            self.good = self.kept(terms).await;
        }
        self.heed(terms).await;
        self.modified = modified(&self.source).await;
        let hops = self.hops();
        let mut proof = JoinSet::new();
        let dialer = terms.dialer.clone();
        proof.spawn(async move { any_accepts(&dialer, hops).await });
        let got = self.get(terms).await;
        let problem = match got {
            Got::Same => None,
            Got::Text(text, validators) => self.take_in(text, validators, terms).await.err(),
            Got::Bad(problem) => Some(problem),
            Got::Unreachable(problem) => {
                let here = matches!(proof.join_next().await, Some(Ok(true)));
                if !here && terms.direct_fallback != DirectFallback::Never {
                    return self.conclude(Some(problem.clone()), PacState::Unreachable(problem));
                }
                Some(problem)
            }
        };
        let state = match &self.good {
            Some(good) => PacState::Ready(good.pac.clone()),
            None => PacState::Failed(problem.clone().unwrap_or_default()),
        };
        self.conclude(problem, state);
    }

    /// A reload may have set other limits.
    async fn heed(&mut self, terms: &Terms) {
        let Some(good) = self.good.as_mut().filter(|good| good.limits != terms.limits) else { return };
        match compile(&good.text, terms).await {
            Ok(pac) => (good.pac, good.limits) = (Arc::new(pac), terms.limits),
            Err(error) => tracing::warn!(%error, "the PAC script does not fit the new limits and keeps the old ones"),
        }
    }

    fn conclude(&mut self, problem: Option<String>, state: PacState) {
        let is_new = matches!(self.state, PacState::Ready(_)) != matches!(state, PacState::Ready(_));
        if problem != self.problem || is_new {
            let source = &self.source.written;
            match (&problem, &state) {
                (None, _) => tracing::info!("PAC script of {source} is in use"),
                (Some(why), PacState::Ready(_)) => {
                    tracing::warn!("PAC script of {source}: {why}; the last good copy is used");
                }
                (Some(why), _) => tracing::warn!("PAC script of {source}: {why}"),
            }
        }
        self.problem = problem;
        self.state = state;
    }

    async fn get(&self, terms: &Terms) -> Got {
        match &self.source.place {
            PacPlace::Url(url) => {
                let known = self.good.as_ref().map(|good| &good.validators);
                match terms.fetcher.fetch(url, known).await {
                    Ok(Fetched::NotModified) => Got::Same,
                    Ok(Fetched::Text { bytes, content_type, validators }) => {
                        Got::Text(text::decode(&bytes, content_type.as_deref()), validators)
                    }
                    Err(error @ FetchError::Unreachable(_)) => Got::Unreachable(told(&self.source, &error)),
                    Err(error) => Got::Bad(told(&self.source, &error)),
                }
            }
            PacPlace::File(path) => match read(path).await {
                Ok(bytes) => self.unless_same(text::decode(&bytes, None)),
                Err(error) => Got::Bad(told(&self.source, &error)),
            },
            PacPlace::Data(bytes) => self.unless_same(text::decode(bytes, None)),
        }
    }

    fn unless_same(&self, text: String) -> Got {
        match &self.good {
            Some(good) if *good.text == *text => Got::Same,
            Some(_) | None => Got::Text(text, Validators::default()),
        }
    }

    async fn take_in(&mut self, text: String, validators: Validators, terms: &Terms) -> Result<(), String> {
        let fetched = Timestamp::now();
        if let Some(good) = self.good.as_mut().filter(|good| *good.text == *text) {
            (good.validators, good.fetched) = (validators, fetched);
            return Ok(());
        }
        let pac = compile(&text, terms).await.map_err(|error| told(&self.source, &error))?;
        let good = Good { pac: Arc::new(pac), limits: terms.limits, text: text.into(), validators, fetched };
        self.keep(&good, terms).await;
        self.good = Some(good);
        Ok(())
    }

    async fn keep(&self, good: &Good, terms: &Terms) {
        let kept = Kept {
            source: self.identity().into_owned(),
            etag: as_text(good.validators.etag.as_deref()),
            last_modified: as_text(good.validators.last_modified.as_deref()),
            fetched: good.fetched,
            text: good.text.to_string(),
        };
        let (name, store) = (self.file_name(), terms.store.clone());
        let Ok(bytes) = serde_json::to_vec(&kept) else { return };
        if let Ok(Err(error)) = spawn_blocking(move || store.write(&name, &bytes)).await {
            tracing::warn!(%error, "cannot keep a copy of the PAC script");
        }
    }

    /// The copy of an earlier run.
    async fn kept(&self, terms: &Terms) -> Option<Good> {
        // A script that stands here in full needs no copy.
        if matches!(self.source.place, PacPlace::Data(_)) {
            return None;
        }
        let (name, store) = (self.file_name(), terms.store.clone());
        let bytes = spawn_blocking(move || store.read(&name)).await.ok()??;
        let kept: Kept = serde_json::from_slice(&bytes).ok().filter(|kept: &Kept| kept.source == self.identity())?;
        let pac = compile(&kept.text, terms).await.ok()?;
        let validators = Validators {
            etag: kept.etag.map(String::into_bytes),
            last_modified: kept.last_modified.map(String::into_bytes),
        };
        Some(Good {
            pac: Arc::new(pac),
            limits: terms.limits,
            text: kept.text.into(),
            validators,
            fetched: kept.fetched,
        })
    }

    /// A path that starts at its configuration is another one beside another configuration.
    fn identity(&self) -> Cow<'_, str> {
        match &self.source.place {
            PacPlace::File(path) => path.to_string_lossy(),
            PacPlace::Url(_) | PacPlace::Data(_) => Cow::from(&self.source.written),
        }
    }

    fn file_name(&self) -> String {
        let digest = Sha256::digest(self.identity().as_bytes());
        let short: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{FILE_PREFIX}{short}.json")
    }

    fn hops(&self) -> Vec<Endpoint> {
        self.good.as_ref().map(|good| pac::named_hops(&good.text)).unwrap_or_default()
    }
}

/// What is no text is not kept: then the whole script is fetched once more.
fn as_text(value: Option<&[u8]>) -> Option<String> {
    String::from_utf8(value?.to_vec()).ok()
}

/// For the log and for audit records, which hold no paths.
fn told(source: &PacSource, error: &(dyn std::error::Error + 'static)) -> String {
    let place = match &source.place {
        PacPlace::Url(url) => url.split('/').nth(2).unwrap_or_default(),
        PacPlace::File(_) => "the file",
        PacPlace::Data(_) => "the data: URL",
    };
    format!("{place}: {}", crate::proxy::chain(error))
}

async fn compile(text: &str, terms: &Terms) -> Result<Pac, PacError> {
    let (text, limits, host) = (text.to_owned(), terms.limits, terms.host.clone());
    let compiled = spawn_blocking(move || Pac::compile(&text, limits, host)).await;
    compiled.unwrap_or_else(|_| Err(PacError::Threw("the engine failed within itself".into())))
}

async fn modified(source: &PacSource) -> Option<SystemTime> {
    let PacPlace::File(path) = &source.place else { return None };
    let path = path.clone();
    let look = move || std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    spawn_blocking(look).await.ok().flatten()
}

async fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let path = path.to_owned();
    spawn_blocking(move || std::fs::read(path)).await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

/// Whether one of them takes a connection within the time that proves the place.
async fn any_accepts(dialer: &Dialer, hops: Vec<Endpoint>) -> bool {
    let mut attempts = JoinSet::new();
    for Endpoint { target, .. } in hops {
        let dialer = dialer.clone();
        attempts.spawn(async move { accepts(&dialer, &target).await });
    }
    while let Some(accepted) = attempts.join_next().await {
        if accepted.unwrap_or(false) {
            return true;
        }
    }
    false
}

async fn accepts(dialer: &Dialer, target: &Target) -> bool {
    matches!(timeout(PROOF_OF_PLACE, dialer.dial(target)).await, Ok(Ok(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_has_a_copy_of_its_own() {
        let file = |path: &str| PacSource { written: "proxy.pac".into(), place: PacPlace::File(path.into()) };
        let url = PacSource::parse("http://wpad.test/proxy.pac").unwrap();
        let [one, same, other, url] = [file("/a/proxy.pac"), file("/a/proxy.pac"), file("/b/proxy.pac"), url]
            .map(|source| Script::new(source).file_name());
        assert_eq!(one, same);
        assert!(one != other && one != url);
    }

    #[tokio::test]
    async fn whoever_is_called_away_again_and_again_hears_of_another_file_all_the_same() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("proxy.pac");
        std::fs::write(&path, "").unwrap();
        let mut script = Script::new(PacSource { written: "proxy.pac".into(), place: PacPlace::File(path) });
        let often = async { while timeout(FILE_LOOK / 4, script.changed()).await.is_err() {} };
        assert!(timeout(5 * FILE_LOOK, often).await.is_ok());
    }
}
