//! The logged-in identity on macOS: the ticket of GSS.framework.

use libgssapi::error::Error;
use libgssapi::name::Name;
use libgssapi::oid::GSS_NT_HOSTBASED_SERVICE;

use super::gss;
pub(super) use super::gss::own;
use super::service::Service;
use crate::auth::account::User;
use crate::auth::lockout::Leave;
use crate::auth::{ChannelBinding, Mechanism, MechanismError, TicketLife};

pub(super) fn start(
    user: Option<&User>,
    realm: Option<&str>,
    services: &[Service],
    binding: Option<&ChannelBinding>,
    _: Option<&Leave>,
) -> Result<Box<dyn Mechanism>, MechanismError> {
    gss::start(user, realm, services, binding, name).map_err(MechanismError::Unavailable)
}

pub(super) fn life(user: Option<&User>, realm: Option<&str>) -> Option<TicketLife> {
    gss::life(user, realm)
}

/// `HTTP/host` is `HTTP@host` here; the framework finds the realm and leaves the host as it is.
fn name(service: &Service) -> Result<Name, Error> {
    match service.realm() {
        Some(realm) => gss::principal(service, realm),
        None => Name::new(service.principal().replacen('/', "@", 1).as_bytes(), Some(GSS_NT_HOSTBASED_SERVICE)),
    }
}
