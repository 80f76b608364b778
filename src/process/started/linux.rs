//! Started by systemd: as the child of the first process, with the name of this invocation.

use std::sync::LazyLock;

use rustix::process::{Pid, geteuid, getppid};

use super::judged::{Beginning, is_of_the_machine};
use crate::process::account::numbers::LINUX;

/// What systemd tells every unit.
const OF_A_UNIT: &str = "INVOCATION_ID";

/// As it was at the beginning: whoever outlives the job that started it, and has inherited a unit's name, becomes a child of
/// the first process later.
static AT_FIRST: LazyLock<bool> = LazyLock::new(|| {
    let beginning = Beginning {
        is_child_of_init: getppid().is_some_and(Pid::is_init),
        is_announced: std::env::var_os(OF_A_UNIT).is_some(),
        uid: geteuid().as_raw(),
    };
    is_of_the_machine(beginning, &LINUX)
});

pub(super) fn is_machines_service() -> bool {
    *AT_FIRST
}
