//! The log-on of whoever is logged in, where the system keeps the secret and makes by itself what shows it.

#[cfg_attr(windows, path = "windows.rs")]
#[cfg_attr(not(windows), path = "other.rs")]
mod imp;

use super::ntlm::Messages;
use crate::auth::lockout::{AccountName, Proof};
use crate::auth::{ChannelBinding, Lacking};

/// Whether the system can log on with a secret of its own.
pub(super) const KEEPS_SECRET: bool = imp::KEEPS_SECRET;

/// Why a scheme cannot be used by whoever is logged in.
pub(super) const NO_USER: &str = imp::NO_USER;

/// Who it is, as the directory counts failed log-ons. Does not wait for a directory.
pub(super) fn name() -> Option<AccountName> {
    imp::name()
}

/// What tells this log-on from others: after the next one, the secret may be another.
pub(super) fn proof() -> Result<Proof, String> {
    imp::proof()
}

/// For one handshake.
pub(super) fn ntlm(spn: &str, binding: Option<&ChannelBinding>) -> Result<Box<dyn Messages>, Lacking> {
    imp::ntlm(spn, binding)
}
