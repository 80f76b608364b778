//! Systems that do not show other programs' variables.

use super::Program;

pub(super) fn programs() -> Option<Vec<Program>> {
    None
}
