//! The store of secrets that the system itself has, where `hallpass login` puts a password.
//!
//! A system may have several keepers of secrets, the best first. What one has is not looked for in the next, and what
//! is stored in one is removed from the others: there must never be two passwords of one account.

#[cfg(target_os = "linux")]
mod kernel;
#[cfg(any(target_os = "macos", windows))]
mod native;
#[cfg(target_os = "linux")]
mod secret_service;

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(windows, path = "windows.rs")]
#[cfg_attr(not(any(target_os = "linux", target_os = "macos", windows)), path = "other.rs")]
mod keepers;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use thiserror::Error;

use crate::secret::Secret;

/// Under this name, and that of the account, secrets are kept.
const SERVICE: &str = "hallpass";

/// A program that reads a secret has nobody to ask.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// Whoever stores or removes one may be asked to unlock the store first.
const ASK_LIMIT: Duration = Duration::from_secs(120);

/// A keeper has a limit of its own; this much later it is given up from outside.
const LENIENCE: Duration = Duration::from_secs(1);

/// One of the places where the system keeps secrets. Every call may block, but not longer than the limits above.
trait Keeper: Send {
    /// For people, after "stored in" and "removed from".
    fn name(&self) -> String;
    /// How long it keeps what it is given, where that is not for good.
    fn until(&self) -> Option<&'static str> {
        None
    }
    fn read(&self, account: &str) -> Result<Option<Secret>, Fault>;
    fn write(&self, account: &str, secret: &Secret) -> Result<(), Fault>;
    /// Whether there was something.
    fn remove(&self, account: &str) -> Result<bool, Fault>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    /// There is no such keeper here; another one may do.
    Absent(String),
    /// It is here, and does not do it.
    Failed(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    #[error("{0}")]
    Failed(String),
    #[error(
        "there is no store of secrets here ({0}): use password_command or password = \"${{file:/path}}\" in the configuration"
    )]
    Nowhere(String),
    #[error("the system's store of secrets did not answer within {} s", .0.as_secs())]
    Slow(Duration),
}

/// What a store says of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Secret(Secret),
    /// Nothing; with the keepers that could not be asked.
    Nothing {
        unreachable: Vec<String>,
    },
}

/// What became of a secret that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Where it is, for people.
    pub place: String,
    /// For how long, if not for good.
    pub until: Option<&'static str>,
    /// Why it is not in a better place.
    pub instead: Vec<String>,
}

/// Blocks, at most about [`READ_LIMIT`].
pub fn read(account: &str) -> Result<Found, StoreError> {
    let account = account.to_owned();
    within(READ_LIMIT, move || read_from(&keepers::all(), &account))
}

/// Blocks; the system may ask its user to unlock the store.
pub fn write(account: &str, secret: &Secret) -> Result<Kept, StoreError> {
    let (account, secret) = (account.to_owned(), secret.clone());
    within(ASK_LIMIT, move || write_to(&keepers::all(), &account, &secret))
}

/// Where it was removed from. Blocks as [`write`] does.
pub fn remove(account: &str) -> Result<Vec<String>, StoreError> {
    let account = account.to_owned();
    within(ASK_LIMIT, move || remove_from(&keepers::all(), &account))
}

fn read_from(keepers: &[Box<dyn Keeper>], account: &str) -> Result<Found, StoreError> {
    let mut unreachable = Vec::new();
    let mut failed = None;
    for keeper in keepers {
        match keeper.read(account) {
            Ok(Some(secret)) => return Ok(Found::Secret(secret)),
            Ok(None) => {}
            Err(Fault::Absent(why)) => unreachable.push(why),
            Err(Fault::Failed(why)) => failed = failed.or(Some(why)),
        }
    }
    failed.map_or(Ok(Found::Nothing { unreachable }), |why| Err(StoreError::Failed(why)))
}

fn write_to(keepers: &[Box<dyn Keeper>], account: &str, secret: &Secret) -> Result<Kept, StoreError> {
    let mut instead = Vec::new();
    for (at, keeper) in keepers.iter().enumerate() {
        match keeper.write(account, secret) {
            Ok(()) => {
                for (_, other) in keepers.iter().enumerate().filter(|(other, _)| *other != at) {
                    // A keeper that is absent or locked gives nothing away either.
                    let _nothing_or_out_of_reach = other.remove(account);
                }
                return Ok(Kept { place: keeper.name(), until: keeper.until(), instead });
            }
            // An older password that it may have would be found before the one in the next keeper.
            Err(Fault::Failed(why)) if keeper.read(account) != Ok(None) => return Err(StoreError::Failed(why)),
            Err(Fault::Absent(why) | Fault::Failed(why)) => instead.push(why),
        }
    }
    Err(StoreError::Nowhere(instead.join("; ")))
}

fn remove_from(keepers: &[Box<dyn Keeper>], account: &str) -> Result<Vec<String>, StoreError> {
    let mut places = Vec::new();
    let mut failed = None;
    for keeper in keepers {
        match keeper.remove(account) {
            Ok(true) => places.push(keeper.name()),
            Ok(false) | Err(Fault::Absent(_)) => {}
            Err(Fault::Failed(why)) => failed = failed.or(Some(why)),
        }
    }
    failed.map_or(Ok(places), |why| Err(StoreError::Failed(why)))
}

/// A store that hangs costs a thread of its own and nobody's patience.
fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let _nobody_waits_any_more = sender.send(work());
    });
    receiver.recv_timeout(limit + LENIENCE).unwrap_or(Err(StoreError::Slow(limit)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A keeper in memory; `fault` is what it says to everything.
    #[derive(Clone, Default)]
    struct Given {
        name: &'static str,
        fault: Option<Fault>,
        only_writing: bool,
        kept: Arc<Mutex<HashMap<String, Secret>>>,
    }

    impl Given {
        fn new(name: &'static str, fault: Option<Fault>) -> Self {
            Self { name, fault, only_writing: false, kept: Arc::default() }
        }

        fn with(self, account: &str, secret: &str) -> Self {
            self.kept.lock().unwrap().insert(account.into(), Secret::new(secret));
            self
        }

        fn checked(&self) -> Result<(), Fault> {
            self.fault.clone().map_or(Ok(()), Err)
        }
    }

    impl Keeper for Given {
        fn name(&self) -> String {
            self.name.into()
        }

        fn read(&self, account: &str) -> Result<Option<Secret>, Fault> {
            let checked = if self.only_writing { Ok(()) } else { self.checked() };
            checked.map(|()| self.kept.lock().unwrap().get(account).cloned())
        }

        fn write(&self, account: &str, secret: &Secret) -> Result<(), Fault> {
            self.checked().map(|()| drop(self.kept.lock().unwrap().insert(account.into(), secret.clone())))
        }

        fn remove(&self, account: &str) -> Result<bool, Fault> {
            self.checked().map(|()| self.kept.lock().unwrap().remove(account).is_some())
        }
    }

    fn list(given: &[&Given]) -> Vec<Box<dyn Keeper>> {
        given.iter().map(|one| Box::new((*one).clone()) as Box<dyn Keeper>).collect()
    }

    fn absent() -> Option<Fault> {
        Some(Fault::Absent("no bus".into()))
    }

    fn locked() -> Option<Fault> {
        Some(Fault::Failed("it is locked".into()))
    }

    fn secret(text: &str) -> Found {
        Found::Secret(Secret::new(text))
    }

    #[test]
    fn the_first_keeper_that_has_it_is_believed() {
        let (first, second) = (Given::new("1", None).with("a", "new"), Given::new("2", None).with("a", "old"));
        assert_eq!(read_from(&list(&[&first, &second]), "a"), Ok(secret("new")));
        let nothing = Given::new("1", None);
        assert_eq!(read_from(&list(&[&nothing, &second]), "a"), Ok(secret("old")));
        for fault in [absent(), locked()] {
            let silent = Given::new("1", fault);
            assert_eq!(read_from(&list(&[&silent, &second]), "a"), Ok(secret("old")));
        }
    }

    #[test]
    fn nothing_is_an_error_only_where_a_keeper_might_have_had_it() {
        let empty = Given::new("2", None);
        let missing = Given::new("1", absent());
        let unreachable = vec!["no bus".to_owned()];
        assert_eq!(read_from(&list(&[&missing, &empty]), "a"), Ok(Found::Nothing { unreachable }));
        let locked = Given::new("1", locked());
        let failed = StoreError::Failed("it is locked".into());
        assert_eq!(read_from(&list(&[&locked, &empty]), "a"), Err(failed.clone()));
        assert_eq!(remove_from(&list(&[&locked, &empty]), "a"), Err(failed));
    }

    #[test]
    fn a_secret_is_kept_in_one_place_only() {
        let (first, second) = (Given::new("1", None), Given::new("2", None).with("a", "old").with("b", "other"));
        let kept = write_to(&list(&[&first, &second]), "a", &Secret::new("new")).unwrap();
        assert_eq!((kept.place.as_str(), kept.instead.len()), ("1", 0));
        assert_eq!(second.kept.lock().unwrap().keys().collect::<Vec<_>>(), ["b"]);
        assert_eq!(remove_from(&list(&[&first, &second]), "a").unwrap(), ["1"]);
        assert_eq!(remove_from(&list(&[&first, &second]), "a").unwrap(), [""; 0]);
        assert_eq!(remove_from(&list(&[&first, &second]), "b").unwrap(), ["2"]);
    }

    #[test]
    fn the_next_keeper_takes_what_the_first_does_not_and_the_reason_is_said() {
        for fault in [absent(), locked()] {
            let (first, second) = (Given { only_writing: true, ..Given::new("1", fault) }, Given::new("2", None));
            let kept = write_to(&list(&[&first, &second]), "a", &Secret::new("pw")).unwrap();
            assert_eq!((kept.place.as_str(), kept.instead.len()), ("2", 1));
        }
        let error = write_to(&list(&[&Given::new("1", absent())]), "a", &Secret::new("pw")).unwrap_err().to_string();
        assert!(error.contains("(no bus)") && error.contains("password_command"), "{error}");
        assert!(!error.contains("pw"), "{error}");
    }

    #[test]
    fn no_other_keeper_takes_it_where_an_older_one_would_be_found_first() {
        let old = Given { only_writing: true, ..Given::new("1", locked()) }.with("a", "old");
        for first in [old, Given::new("1", locked())] {
            let second = Given::new("2", None);
            let refused = write_to(&list(&[&first, &second]), "a", &Secret::new("new"));
            assert_eq!(refused, Err(StoreError::Failed("it is locked".into())));
            assert_eq!(second.kept.lock().unwrap().len(), 0);
        }
    }

    #[test]
    fn a_store_that_hangs_is_given_up() {
        let (_kept_open, forever) = mpsc::channel::<Found>();
        let given_up: Result<Found, _> = within(Duration::ZERO, move || {
            let _never = forever.recv();
            Ok(Found::Nothing { unreachable: Vec::new() })
        });
        assert_eq!(given_up, Err(StoreError::Slow(Duration::ZERO)));
    }
}
