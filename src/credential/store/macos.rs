//! macOS: the login keychain.

use apple_native_keyring_store::keychain::Store;

use super::Keeper;
use super::native::Native;

pub(super) fn all() -> Vec<Box<dyn Keeper>> {
    vec![Box::new(Native::new("the login keychain", Store::new().map(|store| -> super::native::Store { store })))]
}
