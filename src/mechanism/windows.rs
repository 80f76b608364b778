//! The logged-in identity on Windows: its security packages (SSPI) are not asked in this version.

use super::service::Service;
use crate::auth::account::User;
use crate::auth::kerberos::OwnTicket;
use crate::auth::{ChannelBinding, Lacking, Mechanism, TicketLife};

pub(super) fn start(
    _: Option<&User>,
    _: Option<&str>,
    _: &[Service],
    _: Option<&ChannelBinding>,
) -> Result<Box<dyn Mechanism>, Lacking> {
    Err("the logged-in identity is not available in this version on Windows: give a user and a password".into())
}

pub(super) fn own() -> Result<OwnTicket, String> {
    Err("the logged-in identity is not available in this version on Windows".into())
}

/// Its packages are not asked, for this neither.
pub(super) fn life(_: Option<&User>, _: Option<&str>) -> Option<TicketLife> {
    None
}
