//! The logged-in identity on Linux: the cache that `KRB5CCNAME` or `krb5.conf` names.

use libgssapi::error::Error;
use libgssapi::name::Name;

use super::gss;
pub(super) use super::gss::own;
use super::krb5_conf::Krb5Conf;
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

/// Given a host-based name, the library asks DNS for another one, forwards and backwards, unless `krb5.conf`
/// forbids it; so it gets a principal. Without a realm, the KDC says whose the service is.
fn name(service: &Service) -> Result<Name, Error> {
    let mapped = || Krb5Conf::load().realm_of_host(service.host());
    gss::principal(service, &service.realm().map(Into::into).or_else(mapped).unwrap_or_default())
}
