//! Started by launchd, which is the first process and has no word for it that others could not say.

use std::sync::LazyLock;

use rustix::process::{Pid, geteuid, getppid};

use super::judged::{Beginning, is_of_the_machine};
use crate::process::account::numbers::MACOS;

/// As it was at the beginning: whoever outlives a shell becomes launchd's child later.
static AT_FIRST: LazyLock<bool> = LazyLock::new(|| {
    let is_child_of_init = getppid().is_some_and(Pid::is_init);
    is_of_the_machine(Beginning { is_child_of_init, is_announced: true, uid: geteuid().as_raw() }, &MACOS)
});

pub(super) fn is_machines_service() -> bool {
    *AT_FIRST
}
