//! The ticket that is already there, through the system's GSS-API library (MIT, Heimdal, GSS.framework).

use libgssapi::context::{ClientCtx, CtxFlags};
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::error::{Error, MajorFlags};
use libgssapi::name::Name;
use libgssapi::oid::{GSS_MECH_KRB5, GSS_MECH_SPNEGO, GSS_NT_HOSTBASED_SERVICE, GSS_NT_KRB5_PRINCIPAL, OidSet};

use super::service::Service;
use super::token::{credentials, token_of};
use crate::auth::account::User;
use crate::auth::{Challenge, ChannelBinding, Leg, Mechanism, MechanismError, RequestLine, Scheme};

/// `Err` says why there is no first token. The cache is read anew each time: a later `kinit` is seen at once.
pub(super) fn start(
    user: Option<&User>,
    realm: Option<&str>,
    services: &[Service],
    binding: Option<&ChannelBinding>,
) -> Result<Box<dyn Mechanism>, String> {
    let ticket = acquire()?;
    if let Some(user) = user {
        belongs_to(&ticket, user, realm.or(user.realm.as_deref()))?;
    }
    let mut unknown = String::new();
    for service in services {
        match first_token(&ticket, service, binding) {
            Ok(context) => return Ok(Box::new(context)),
            Err(error) if is_unknown_service(&error) => unknown = explain(&error, service),
            Err(error) => return Err(explain(&error, service)),
        }
    }
    Err(unknown)
}

/// The default one, for Kerberos only: with SPNEGO the library would accept that there is none.
fn acquire() -> Result<Cred, String> {
    let mut kerberos = OidSet::new();
    kerberos.add(GSS_MECH_KRB5).map_err(|error| error.to_string())?;
    let ticket = Cred::acquire(None, None, CredUsage::Initiate, Some(&kerberos));
    let ticket = ticket.map_err(|error| format!("no Kerberos ticket ({})", cause(&error)))?;
    match ticket.lifetime() {
        Ok(left) if left.is_zero() => Err("the Kerberos ticket has expired; renew it with kinit".into()),
        Ok(_) | Err(_) => Ok(ticket),
    }
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

fn first_token(ticket: &Cred, service: &Service, binding: Option<&ChannelBinding>) -> Result<Context, Error> {
    let target = match service.realm() {
        Some(realm) => Name::new(format!("{}@{realm}", service.principal()).as_bytes(), Some(GSS_NT_KRB5_PRINCIPAL))?,
        None => host_based(service.principal())?,
    };
    let binding = binding.map(|end_point| crate::auth::binding_data(end_point));
    let flags = CtxFlags::empty();
    let mut context = ClientCtx::new(Some(ticket.clone()), target, flags, Some(GSS_MECH_SPNEGO));
    let first = context.step(None, binding.as_deref())?;
    Ok(Context { context, binding, first: Some(first.map_or_else(Vec::new, |token| token.to_vec())) })
}

/// `HTTP/host` is `HTTP@host` here; the library finds the realm.
fn host_based(principal: &str) -> Result<Name, Error> {
    Name::new(principal.replacen('/', "@", 1).as_bytes(), Some(GSS_NT_HOSTBASED_SERVICE))
}

struct Context {
    context: ClientCtx,
    binding: Option<Vec<u8>>,
    first: Option<Vec<u8>>,
}

impl Mechanism for Context {
    fn step(&mut self, _: &RequestLine, challenge: Option<&Challenge>) -> Result<Leg, MechanismError> {
        let token = match self.first.take() {
            Some(token) => token,
            None => self.next(challenge)?,
        };
        Ok(Leg { credentials: credentials(Scheme::Negotiate, &token), proves_secret: false })
    }
}

impl Context {
    fn next(&mut self, challenge: Option<&Challenge>) -> Result<Vec<u8>, MechanismError> {
        let refused = || MechanismError::Unavailable("the upstream did not take the Kerberos ticket".into());
        let received = token_of(challenge)?.ok_or_else(refused)?;
        match self.context.step(Some(&received), self.binding.as_deref()) {
            Ok(Some(token)) if !token.is_empty() => Ok(token.to_vec()),
            // The handshake is over for us, but not for the upstream.
            Ok(_) => Err(refused()),
            Err(error) => Err(MechanismError::Unavailable(cause(&error))),
        }
    }
}

/// MIT's code for KDC_ERR_S_PRINCIPAL_UNKNOWN, which Heimdal shares (`krb5_err.et`).
const SERVICE_UNKNOWN: u32 = (-1_765_328_377_i32).cast_unsigned();
/// MIT's own, when no realm on the way knows the service.
const SERVICE_NOT_FOUND: u32 = (-1_765_328_243_i32).cast_unsigned();
const CLOCK_SKEW: u32 = (-1_765_328_347_i32).cast_unsigned();
const TICKET_EXPIRED: u32 = (-1_765_328_352_i32).cast_unsigned();
const KDC_UNREACHABLE: u32 = (-1_765_328_228_i32).cast_unsigned();

fn is_unknown_service(error: &Error) -> bool {
    error.minor == SERVICE_UNKNOWN || cause(error).contains("not found in Kerberos database")
}

fn explain(error: &Error, service: &Service) -> String {
    let cause = cause(error);
    let service = service.principal();
    if is_unknown_service(error) {
        return format!("the KDC does not know the service {service} ({cause}); set `spn` or `canonicalize`");
    }
    if error.major.contains(MajorFlags::GSS_S_CREDENTIALS_EXPIRED) || error.minor == TICKET_EXPIRED {
        return format!("the Kerberos ticket has expired ({cause}); renew it with kinit");
    }
    match error.minor {
        CLOCK_SKEW => format!("this machine's clock and the KDC's are too far apart ({cause})"),
        KDC_UNREACHABLE => format!("no KDC answers ({cause})"),
        SERVICE_NOT_FOUND => format!("no ticket for {service} ({cause})"),
        _ => format!("no ticket for {service}: {cause}"),
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
