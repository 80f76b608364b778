//! The kernel's key ring: memory of the kernel that no other user reads and no disk sees, until the machine restarts.

use linux_keyutils::{Key, KeyError, KeyPermissionsBuilder, KeyRing, KeyRingIdentifier, Permission};
use zeroize::Zeroizing;

use super::{Fault, Keeper, SERVICE};
use crate::secret::Secret;

pub(super) struct Kernel;

impl Keeper for Kernel {
    fn name(&self) -> String {
        "the kernel's key ring".into()
    }

    fn until(&self) -> Option<&'static str> {
        Some("until this machine restarts")
    }

    fn read(&self, account: &str) -> Result<Option<Secret>, Fault> {
        let Some(key) = found(account)?.into_iter().next() else { return Ok(None) };
        let bytes = Zeroizing::new(key.read_to_vec().map_err(failed)?);
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Some(Secret::new(text))),
            Err(_) => Err(Fault::Failed("what the kernel's key ring has of this account is not text".into())),
        }
    }

    fn write(&self, account: &str, secret: &Secret) -> Result<(), Fault> {
        let user = of_user()?;
        // Only who possesses a key may say who else has it: it is made where nobody but this process looks.
        let process = KeyRing::from_special_id(KeyRingIdentifier::Process, true).map_err(failed)?;
        let key = process.add_key(&description(account), secret.expose().as_bytes()).map_err(failed)?;
        // A service has a session of its own and does not possess what another session of its user made.
        let ours = KeyPermissionsBuilder::builder().posessor(Permission::ALL).user(Permission::ALL).build();
        key.set_perms(ours).map_err(failed)?;
        for ring in [Some(user), persistent()].into_iter().flatten() {
            ring.link_key(key).map_err(failed)?;
        }
        Ok(())
    }

    fn remove(&self, account: &str) -> Result<bool, Fault> {
        let keys = found(account)?;
        for key in &keys {
            match key.invalidate() {
                Ok(()) | Err(KeyError::KeyDoesNotExist | KeyError::KeyRevoked | KeyError::KeyExpired) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(!keys.is_empty())
    }
}

fn description(account: &str) -> String {
    format!("{SERVICE}:{account}")
}

fn found(account: &str) -> Result<Vec<Key>, Fault> {
    let mut keys = Vec::new();
    for ring in [Some(of_user()?), persistent()].into_iter().flatten() {
        match ring.search(&description(account)) {
            Ok(key) => keys.push(key),
            Err(KeyError::KeyDoesNotExist | KeyError::KeyExpired | KeyError::KeyRevoked) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(keys)
}

/// Shared by all sessions of the user. Kernels before 5.3 drop it with the user's last process.
fn of_user() -> Result<KeyRing, Fault> {
    KeyRing::from_special_id(KeyRingIdentifier::User, true)
        .map_err(|error| Fault::Absent(format!("the kernel's key ring cannot be used: {error}")))
}

/// Outlives the user's last process by days; not every kernel is built with it.
fn persistent() -> Option<KeyRing> {
    KeyRing::get_persistent(KeyRingIdentifier::Process).ok()
}

fn failed(error: KeyError) -> Fault {
    Fault::Failed(format!("the kernel's key ring: {error}"))
}
