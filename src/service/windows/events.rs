//! Our source in the event log. `EventCreate.exe` of the system has a message for each event from 1 to 1000 that is the
//! text of the event itself; a file of ours would be held open by every viewer, and could not be replaced meanwhile.

use windows_registry::{LOCAL_MACHINE, Result};

const KEY: &str = r"SYSTEM\CurrentControlSet\Services\EventLog\Application\hallpass";
const MESSAGES: &str = r"%SystemRoot%\System32\EventCreate.exe";
/// Errors, warnings and what informs.
const TYPES: u32 = 7;

pub(super) fn register() -> Result<()> {
    let key = LOCAL_MACHINE.create(KEY)?;
    key.set_expand_string("EventMessageFile", MESSAGES)?;
    key.set_u32("TypesSupported", TYPES)?;
    key.set_u32("CustomSource", 1)
}

/// What is not there needs no removal.
pub(super) fn remove() {
    if let Err(error) = LOCAL_MACHINE.remove_tree(KEY) {
        tracing::debug!(%error, "the event source was not removed");
    }
}
