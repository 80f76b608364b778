//! Systems that keep tickets and no secrets.

use super::super::ntlm::Messages;
use crate::auth::lockout::{AccountName, Proof};
use crate::auth::{ChannelBinding, Lack, Lacking};

pub(super) const KEEPS_SECRET: bool = false;

pub(super) const NO_USER: &str = "no user is named, and only Negotiate can do without";

pub(super) fn name() -> Option<AccountName> {
    None
}

pub(super) fn proof() -> Result<Proof, String> {
    Err(NO_USER.into())
}

pub(super) fn ntlm(_: &str, _: Option<&ChannelBinding>) -> Result<Box<dyn Messages>, Lacking> {
    Err(Lacking::new(Lack::User, NO_USER))
}
