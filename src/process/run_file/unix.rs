//! What the XDG Base Directory Specification has for it: it ends with the last log-on of the user.

pub(super) const PARENT: &str = "XDG_RUNTIME_DIR";
pub(super) const BELOW: &str = "hallpass";
