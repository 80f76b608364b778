//! Started by the service control manager, which starts nothing for a person.

use super::super::control;

pub(super) fn is_machines_service() -> bool {
    control::is_obeying()
}
