//! The logged-in identity on Windows: the system's package for Kerberos, and the tickets that it keeps.

use super::packages::{self, Context, Credentials, Package, Status, Tgt};
use super::service::Service;
use super::token::OneToken;
use crate::auth::account::User;
use crate::auth::kerberos::OwnTicket;
use crate::auth::lockout::{Leave, Proof, Verdict};
use crate::auth::{ChannelBinding, Lack, Lacking, Mechanism, MechanismError, Rejection, TicketLife};

/// The bare Kerberos token is framed here, as on other systems. Without a ticket for tickets, Windows shows the domain
/// the secret that it keeps, for which leave is needed as for any other; for a named account, only a ticket that is
/// there already will do.
pub(super) fn start(
    user: Option<&User>,
    realm: Option<&str>,
    services: &[Service],
    binding: Option<&ChannelBinding>,
    leave: Option<&Leave>,
) -> Result<Box<dyn Mechanism>, MechanismError> {
    let first = services.first().map_or("", Service::principal);
    // Whoever has no credentials at all is told so before anybody is asked for leave.
    Credentials::of_the_logged_in(Package::Kerberos).map_err(|status| unavailable(status, first))?;
    let tgt = packages::tgt().filter(|tgt| !tgt.left.is_zero());
    if let Some(user) = user {
        let tgt = tgt.as_ref().ok_or_else(|| no_ticket("whoever is logged in has no Kerberos ticket".into()))?;
        belongs_to(tgt, user, realm.or(user.realm.as_deref())).map_err(no_ticket)?;
    }
    let shows = if tgt.is_some() { None } else { Some(leave_to_show(leave)?) };
    if let Some(leave) = shows {
        leave.permit().show();
    }
    let outcome = token(services, binding);
    if let Some(leave) = shows {
        judge(leave, outcome.as_ref().err().map(|(status, _)| *status));
    }
    match outcome {
        Ok(token) => Ok(Box::new(OneToken::kerberos(&token))),
        Err((status, _)) if status.is_verdict() && shows.is_some() => Err(MechanismError::Rejected(Rejection::Unsaid)),
        Err((status, service)) => Err(unavailable(status, service)),
    }
}

/// For the first of the services that the directory knows.
fn token<'a>(services: &'a [Service], binding: Option<&ChannelBinding>) -> Result<Vec<u8>, (Status, &'a str)> {
    let mut unknown = (Status(i32::MIN), "");
    for service in services {
        let target = match service.realm() {
            Some(realm) => format!("{}@{realm}", service.principal()),
            None => service.principal().into(),
        };
        let failed = |status| (status, service.principal());
        let credentials = Credentials::of_the_logged_in(Package::Kerberos).map_err(failed)?;
        let binding = binding.map(|end_point| crate::auth::binding_data(end_point));
        match Context::new(credentials, &target, binding).step(None) {
            Ok(token) => return Ok(token.to_vec()),
            Err(status) if status.is_unknown_service() => unknown = failed(status),
            Err(status) => return Err(failed(status)),
        }
    }
    Err(unknown)
}

fn leave_to_show(leave: Option<&Leave>) -> Result<&Leave, MechanismError> {
    let fits = |leave: &&Leave| matches!(leave.proof(), Proof::LogOn(_)) && leave.permit().is_good();
    leave.filter(fits).ok_or(MechanismError::NeedsLeave)
}

/// A rejection is for the exchange to report.
fn judge(leave: &Leave, failed: Option<Status>) {
    match failed {
        Some(status) if status.is_verdict() => {}
        Some(status) if status.was_heard_by_nobody() => leave.permit().withhold(),
        // Who names no service to the directory has been let in by it.
        Some(status) if !status.is_unknown_service() => leave.permit().lose(),
        Some(_) | None => leave.permit().judge(Verdict::Accepted),
    }
}

fn unavailable(status: Status, service: &str) -> MechanismError {
    MechanismError::Unavailable(Package::Kerberos.explain(status, service))
}

fn no_ticket(why: String) -> MechanismError {
    MechanismError::Unavailable(Lacking::new(Lack::Ticket, why))
}

/// Where no realm is wanted, the name alone decides.
fn belongs_to(tgt: &Tgt, user: &User, wanted: Option<&str>) -> Result<(), String> {
    let owner = owner(tgt).ok_or("Windows does not say whose Kerberos ticket it has")?;
    let (name, realm) = owner.rsplit_once('@').unwrap_or((&owner, ""));
    let same = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
    if same(name, &user.name) && wanted.is_none_or(|wanted| same(wanted, realm)) {
        return Ok(());
    }
    Err(format!("the Kerberos ticket belongs to {owner}, not to {user}"))
}

fn owner(tgt: &Tgt) -> Option<String> {
    tgt.owner.clone().or_else(|| Credentials::of_the_logged_in(Package::Kerberos).ok()?.owner())
}

/// Whose ticket it is, and how long it is good.
pub(super) fn own() -> Result<OwnTicket, String> {
    let tgt = packages::tgt().ok_or("whoever is logged in has no Kerberos ticket yet")?;
    let owner = owner(&tgt).ok_or("Windows does not say whose Kerberos ticket it has")?;
    match tgt.left.is_zero() {
        true => Err("the Kerberos ticket has expired; lock the screen and unlock it".into()),
        false => Ok(OwnTicket { owner, left: Some(tgt.left) }),
    }
}

/// Of the ticket that [`start`] would use. One that has expired is told of as well.
pub(super) fn life(user: Option<&User>, realm: Option<&str>) -> Option<TicketLife> {
    let tgt = packages::tgt()?;
    if let Some(user) = user {
        belongs_to(&tgt, user, realm.or(user.realm.as_deref())).ok()?;
    }
    Some(TicketLife { owner: owner(&tgt).unwrap_or_else(|| "whoever is logged in".into()), left: tgt.left })
}
