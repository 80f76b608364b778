//! What there is to say of Kerberos for an upstream before anything is shown to anybody.

use super::kerberos::{self, Principal};
use super::{Grant, Outside, named, service, ticket};
use crate::address::Endpoint;
use crate::auth::MechanismError;
use crate::auth::kerberos::{KerberosView, OwnTicket, Token};

/// Blocks, for as long as a KDC takes to answer.
pub(super) fn of(grant: &Grant, upstream: &Endpoint, outside: &Outside) -> KerberosView {
    let services = service::candidates(upstream, grant.spn.as_deref(), grant.canonicalize, outside);
    let services = services.map(|all| all.iter().map(|service| service.principal().to_string()).collect());
    let own = ticket::own();
    let principal = match &grant.account.user {
        Some(user) => named::principal_of(user, grant.account.realm.as_deref()),
        None => own.as_ref().map_err(|_| "there is neither a user nor a ticket".into()).and_then(owner),
    };
    let kdc = match &principal {
        Ok(principal) => named::kdc_of(principal, &grant.account, outside)
            .and_then(|kdc| kerberos::view(principal, &kdc))
            .map_err(|error| error.to_string()),
        Err(reason) => Err(reason.clone()),
    };
    let token = match grant.negotiate(upstream, None, outside, None) {
        Ok(_) => Token::Made,
        Err(MechanismError::NeedsLeave) => Token::NeedsSecret,
        Err(error) => Token::Missing(error.to_string()),
    };
    KerberosView { ticket: own, principal: principal.map(|principal| principal.to_string()), kdc, services, token }
}

fn owner(ticket: &OwnTicket) -> Result<Principal, String> {
    let (name, realm) = ticket.owner.rsplit_once('@').ok_or("the ticket names no realm")?;
    Ok(Principal { name: name.into(), enterprise: false, realm: realm.into() })
}
