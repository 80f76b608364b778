//! The key ring of a desktop, by the Secret Service of freedesktop.org: GNOME Keyring, KWallet, KeePassXC.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use secret_service::{Collection, EncryptionType, Error, SecretService as Service};
use zeroize::Zeroizing;

use super::{ASK_LIMIT, Fault, Keeper, READ_LIMIT, SERVICE};
use crate::secret::Secret;

pub(super) struct SecretService;

/// The alias under which programs look for the collection that their user wants.
const DEFAULT: &str = "default";

impl Keeper for SecretService {
    fn name(&self) -> String {
        "the desktop's key ring".into()
    }

    /// Nobody is asked to unlock anything: whoever reads is a relay in the background.
    fn read(&self, account: &str) -> Result<Option<Secret>, Fault> {
        wait(READ_LIMIT, async {
            let service = connect().await?;
            let found = service.search_items(attributes(account)).await.map_err(failed)?;
            let Some(item) = found.unlocked.first() else {
                return if found.locked.is_empty() { Ok(None) } else { Err(locked()) };
            };
            let bytes = Zeroizing::new(item.get_secret().await.map_err(failed)?);
            match std::str::from_utf8(&bytes) {
                Ok(text) => Ok(Some(Secret::new(text))),
                Err(_) => Err(Fault::Failed("what the desktop's key ring has of this account is not text".into())),
            }
        })
    }

    fn write(&self, account: &str, secret: &Secret) -> Result<(), Fault> {
        wait(ASK_LIMIT, async {
            let service = connect().await?;
            let collection = collection(&service).await.map_err(failed)?;
            unlock(&collection).await.map_err(failed)?;
            let label = format!("{SERVICE}: {account}");
            let item =
                collection.create_item(&label, attributes(account), secret.expose().as_bytes(), true, "text/plain");
            item.await.map(|_| ()).map_err(failed)
        })
    }

    fn remove(&self, account: &str) -> Result<bool, Fault> {
        wait(ASK_LIMIT, async {
            let service = connect().await?;
            let found = service.search_items(attributes(account)).await.map_err(failed)?;
            for item in &found.locked {
                item.unlock().await.map_err(failed)?;
            }
            for item in found.unlocked.iter().chain(&found.locked) {
                item.delete().await.map_err(failed)?;
            }
            Ok(!(found.unlocked.is_empty() && found.locked.is_empty()))
        })
    }
}

/// `secret-tool lookup service hallpass username ACCOUNT` finds it, too.
fn attributes(account: &str) -> HashMap<&str, &str> {
    HashMap::from([("service", SERVICE), ("username", account)])
}

/// Whatever goes wrong before the service has answered: it is not here.
async fn connect() -> Result<Service<'static>, Fault> {
    let connected = Service::connect(EncryptionType::Dh).await;
    connected.map_err(|error| {
        tracing::debug!(%error, "no Secret Service");
        Fault::Absent("the desktop's key ring cannot be reached from here".into())
    })
}

async fn collection<'a>(service: &'a Service<'static>) -> Result<Collection<'a>, Error> {
    match service.get_collection_by_alias(DEFAULT).await {
        Err(Error::NoResult) => service.create_collection("Default", DEFAULT).await,
        found => found,
    }
}

/// Waits for a person where it must.
async fn unlock(collection: &Collection<'_>) -> Result<(), Error> {
    if collection.is_locked().await? { collection.unlock().await } else { Ok(()) }
}

fn locked() -> Fault {
    Fault::Failed("the desktop's key ring is locked: unlock it, or say hallpass login once more".into())
}

fn failed(error: Error) -> Fault {
    if matches!(error, Error::Locked) {
        return locked();
    }
    if matches!(error, Error::Prompt) {
        return Fault::Failed("the desktop's key ring was not unlocked".into());
    }
    Fault::Failed(format!("the desktop's key ring: {error}"))
}

/// On a thread that is the store's own, so that a runtime can be made for this one question.
fn wait<T>(limit: Duration, question: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Fault::Absent(format!("the desktop's key ring: {error}")))?;
    runtime.block_on(async {
        let slow = || Fault::Failed(format!("the desktop's key ring did not answer within {} s", limit.as_secs()));
        tokio::time::timeout(limit, question).await.unwrap_or_else(|_| Err(slow()))
    })
}
