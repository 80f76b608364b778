//! A store of macOS or Windows, through the interface that `keyring-core` gives both.

use std::sync::Arc;

use keyring_core::api::CredentialStoreApi;
use keyring_core::{Entry, Error};
use zeroize::Zeroizing;

use super::{Fault, Keeper, SERVICE};
use crate::secret::Secret;

pub(super) type Store = Arc<dyn CredentialStoreApi + Send + Sync>;

pub(super) struct Native {
    name: &'static str,
    store: Result<Store, Error>,
}

impl Native {
    pub(super) fn new(name: &'static str, store: Result<Store, Error>) -> Self {
        Self { name, store }
    }

    fn entry(&self, account: &str) -> Result<Entry, Fault> {
        match &self.store {
            Ok(store) => store.build(SERVICE, account, None).map_err(|error| self.fault(&error)),
            Err(error) => Err(Fault::Absent(format!("{}: {}", self.name, said(error)))),
        }
    }

    fn fault(&self, error: &Error) -> Fault {
        let text = format!("{}: {}", self.name, said(error));
        let hint = if matches!(error, Error::NoStorageAccess(_)) { "; unlock it" } else { "" };
        Fault::Failed(text + hint)
    }
}

/// Two of the errors carry what was read, which their text must not.
fn said(error: &Error) -> String {
    if matches!(error, Error::BadEncoding(_) | Error::BadDataFormat(..)) {
        return "what it has of this account is not text".into();
    }
    error.to_string()
}

impl Keeper for Native {
    fn name(&self) -> String {
        self.name.into()
    }

    fn read(&self, account: &str) -> Result<Option<Secret>, Fault> {
        match self.entry(account)?.get_password() {
            Ok(text) => Ok(Some(Secret::new(text))),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => {
                let fault = self.fault(&error);
                if let Error::BadEncoding(bytes) = error {
                    drop(Zeroizing::new(bytes));
                }
                Err(fault)
            }
        }
    }

    fn write(&self, account: &str, secret: &Secret) -> Result<(), Fault> {
        self.entry(account)?.set_password(secret.expose()).map_err(|error| self.fault(&error))
    }

    fn remove(&self, account: &str) -> Result<bool, Fault> {
        match self.entry(account)?.delete_credential() {
            Ok(()) => Ok(true),
            Err(Error::NoEntry) => Ok(false),
            Err(error) => Err(self.fault(&error)),
        }
    }
}
