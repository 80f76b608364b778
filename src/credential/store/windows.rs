//! Windows: the Credential Manager.

use windows_native_keyring_store::Store;

use super::Keeper;
use super::native::Native;

pub(super) fn all() -> Vec<Box<dyn Keeper>> {
    let store = Store::new().map(|store| -> super::native::Store { store });
    vec![Box::new(Native::new("the Windows Credential Manager", store))]
}
