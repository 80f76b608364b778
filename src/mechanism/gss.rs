//! The ticket that is already there, through the system's GSS-API library (MIT, Heimdal, GSS.framework).

use std::time::Duration;

use libgssapi::context::{ClientCtx, CtxFlags};
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::error::{Error, MajorFlags};
use libgssapi::name::Name;
use libgssapi::oid::{GSS_MECH_KRB5, GSS_NT_KRB5_PRINCIPAL, OidSet};

use super::service::Service;
use super::token::OneToken;
use crate::auth::account::User;
use crate::auth::kerberos::OwnTicket;
use crate::auth::{ChannelBinding, Lack, Lacking, Mechanism, TicketLife};

/// How a system's library is told the name of a service.
pub(super) type Naming = fn(&Service) -> Result<Name, Error>;

/// `Err` says why there is no first token. The cache is read anew each time: a later `kinit` is seen at once.
pub(super) fn start(
    user: Option<&User>,
    realm: Option<&str>,
    services: &[Service],
    binding: Option<&ChannelBinding>,
    name: Naming,
) -> Result<Box<dyn Mechanism>, Lacking> {
    let no_ticket = |why: String| Lacking::new(Lack::Ticket, why);
    let ticket = acquire().map_err(no_ticket)?;
    if let Some(user) = user {
        belongs_to(&ticket, user, realm.or(user.realm.as_deref())).map_err(no_ticket)?;
    }
    let mut unknown = Lacking::new(Lack::Service, "");
    for service in services {
        match name(service).and_then(|target| first_token(&ticket, target, binding)) {
            Ok(token) => return Ok(Box::new(OneToken::kerberos(&token))),
            Err(error) if error.minor == code::SERVICE_UNKNOWN => unknown = explain(&error, service),
            Err(error) => return Err(explain(&error, service)),
        }
    }
    Err(unknown)
}

/// Of the ticket that [`start`] would use. One that has expired is told of as well.
pub(super) fn life(user: Option<&User>, realm: Option<&str>) -> Option<TicketLife> {
    let ticket = find().ok()?;
    if let Some(user) = user {
        belongs_to(&ticket, user, realm.or(user.realm.as_deref())).ok()?;
    }
    Some(TicketLife { owner: ticket.name().ok()?.to_string(), left: left(&ticket)? })
}

fn acquire() -> Result<Cred, String> {
    let ticket = find()?;
    match left(&ticket) {
        Some(Duration::ZERO) => Err("the Kerberos ticket has expired; renew it with kinit".into()),
        Some(_) | None => Ok(ticket),
    }
}

/// Whose ticket it is, and how long it is good.
pub(super) fn own() -> Result<OwnTicket, String> {
    let ticket = acquire()?;
    let owner = ticket.name().map_err(|error| cause(&error))?.to_string();
    Ok(OwnTicket { owner, left: left(&ticket) })
}

/// How long it is good, where the library says so.
fn left(ticket: &Cred) -> Option<Duration> {
    match ticket.lifetime() {
        Ok(left) => Some(left),
        // MIT answers with an error that has nothing but a major code.
        Err(error) if error.major.bits() == MajorFlags::GSS_S_CREDENTIALS_EXPIRED.bits() => Some(Duration::ZERO),
        Err(_) => None,
    }
}

/// The default one, for Kerberos only: with SPNEGO the library would accept that there is none.
fn find() -> Result<Cred, String> {
    let mut kerberos = OidSet::new();
    kerberos.add(GSS_MECH_KRB5).map_err(|error| error.to_string())?;
    let ticket = Cred::acquire(None, None, CredUsage::Initiate, Some(&kerberos));
    ticket.map_err(|error| format!("no Kerberos ticket ({})", cause(&error)))
}

/// Where no realm is wanted, the name alone decides.
fn belongs_to(ticket: &Cred, user: &User, wanted: Option<&str>) -> Result<(), String> {
    let owner = ticket.name().map_err(|error| cause(&error))?.to_string();
    let (name, realm) = owner.rsplit_once('@').unwrap_or((&owner, ""));
    let same = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
    if same(name, &user.name) && wanted.is_none_or(|wanted| same(wanted, realm)) {
        return Ok(());
    }
    Err(format!("the Kerberos ticket belongs to {owner}, not to {user}"))
}

/// No delegation, no mutual authentication: one token is all. The library's own SPNEGO would hide the
/// mechanism's error codes, so the frame is ours.
fn first_token(ticket: &Cred, target: Name, binding: Option<&ChannelBinding>) -> Result<Vec<u8>, Error> {
    let binding = binding.map(|end_point| crate::auth::binding_data(end_point));
    let mut context = ClientCtx::new(Some(ticket.clone()), target, CtxFlags::empty(), Some(GSS_MECH_KRB5));
    let token = context.step(None, binding.as_deref())?;
    Ok(token.map_or_else(Vec::new, |token| token.to_vec()))
}

/// A name that the library does not touch.
pub(super) fn principal(service: &Service, realm: &str) -> Result<Name, Error> {
    Name::new(format!("{}@{realm}", service.principal()).as_bytes(), Some(GSS_NT_KRB5_PRINCIPAL))
}

/// Codes of the Kerberos mechanism, alike in MIT and Heimdal (`krb5_err.et`).
mod code {
    pub const SERVICE_UNKNOWN: u32 = (-1_765_328_377_i32).cast_unsigned();
    pub const TICKET_EXPIRED: u32 = (-1_765_328_352_i32).cast_unsigned();
    pub const CLOCK_SKEW: u32 = (-1_765_328_347_i32).cast_unsigned();
    pub const KDC_UNREACHABLE: u32 = (-1_765_328_228_i32).cast_unsigned();
}

fn explain(error: &Error, service: &Service) -> Lacking {
    let (service, cause) = (service.principal(), cause(error));
    match error.minor {
        code::SERVICE_UNKNOWN => {
            let why = format!("the KDC does not know the service {service} ({cause}); set `spn` or `canonicalize`");
            Lacking::new(Lack::Service, why)
        }
        code::TICKET_EXPIRED => {
            let why = format!("the Kerberos ticket has expired ({cause}); renew it with kinit");
            Lacking::new(Lack::Ticket, why)
        }
        code::CLOCK_SKEW => {
            let why = format!("this machine's clock and the KDC's are too far apart ({cause})");
            Lacking::new(Lack::Clock, why)
        }
        code::KDC_UNREACHABLE => Lacking::new(Lack::Kdc, format!("no KDC answers ({cause})")),
        _ => Lacking::new(Lack::Other, format!("no ticket for {service} ({cause})")),
    }
}

/// The library's text on one line. The mechanism's part says more than the general one.
fn cause(error: &Error) -> String {
    let text = error.to_string();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.split_once(" (") {
        Some((_, particular)) => particular.strip_suffix(')').unwrap_or(particular).to_string(),
        None => text,
    }
}
