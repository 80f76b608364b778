//! Negotiate with an account that the configuration names: by password or keytab, from its own KDC.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Outside;
use super::account::Account;
use super::kdc::Kdc;
use super::kerberos::{self, KerberosError, LongTerm, Principal, Ticket};
use super::keytab::Keytab;
use super::krb5_conf::Krb5Conf;
use super::service::Service;
use super::token::OneToken;
use crate::auth::account::User;
use crate::auth::{ChannelBinding, Mechanism, MechanismError};
use crate::secret::Secret;

/// A service's key may change while its ticket is still good, and nobody tells us but by refusing it.
const MAX_TICKET_AGE: Duration = Duration::from_secs(15 * 60);
/// After silence from the KDCs, connections do not wait for them again so soon.
const SILENCE: Duration = Duration::from_secs(30);

/// The tickets of an account. One logon at a time: ten connections at start are one question to the KDC.
#[derive(Default)]
pub(super) struct Tickets {
    kept: Mutex<Kept>,
    /// Counts what was refused, so that those who waited for the lock do not ask again with the same secret.
    refusals: AtomicU64,
}

#[derive(Default)]
struct Kept {
    tgt: Option<Ticket>,
    services: HashMap<String, (Ticket, Instant)>,
    silent: Option<(String, Instant)>,
}

impl Tickets {
    pub(super) fn forget(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Kept::default();
    }
}

pub(super) fn start(
    account: &Account,
    services: &[Service],
    binding: Option<&ChannelBinding>,
    outside: &Outside,
) -> Result<Box<dyn Mechanism>, MechanismError> {
    let refusals = account.tickets.refusals.load(Ordering::Acquire);
    let unavailable = |reason: String| MechanismError::Unavailable(reason);
    let conf = Krb5Conf::load();
    let proof = Proof::read(account)?;
    let logon = Logon { principal: proof.principal(account).map_err(unavailable)?, proof, account, conf, outside };

    let mut kept = account.tickets.kept.lock().unwrap_or_else(PoisonError::into_inner);
    if account.tickets.refusals.load(Ordering::Acquire) != refusals {
        return Err(MechanismError::Rejected("the KDC has just refused this secret".into()));
    }
    if let Some((reason, _)) = kept.silent.as_ref().filter(|(_, since)| since.elapsed() < SILENCE) {
        return Err(MechanismError::Unavailable(reason.clone()));
    }
    let result =
        logon.ticket(&mut kept, services).and_then(|ticket| kerberos::token(&ticket, binding.map(Vec::as_slice)));
    let token = result.map_err(|error| match error {
        KerberosError::Refused(..) => {
            account.tickets.refusals.fetch_add(1, Ordering::AcqRel);
            MechanismError::Rejected(error.to_string())
        }
        KerberosError::Unreachable(_) | KerberosError::NoKdc(_) => {
            kept.silent = Some((error.to_string(), Instant::now()));
            MechanismError::Unavailable(error.to_string())
        }
        KerberosError::UnknownUser(..)
        | KerberosError::NotAscii(_)
        | KerberosError::UnknownService(_)
        | KerberosError::ClockSkew(_)
        | KerberosError::WrongRealm(..)
        | KerberosError::Other(..)
        | KerberosError::NoKey(..)
        | KerberosError::Undecipherable
        | KerberosError::Malformed(_) => MechanismError::Unavailable(error.to_string()),
    })?;
    Ok(Box::new(OneToken::kerberos(&token)))
}

/// All that one logon needs to know.
struct Logon<'a> {
    principal: Principal,
    proof: Proof,
    account: &'a Account,
    conf: Krb5Conf,
    outside: &'a Outside,
}

impl Logon<'_> {
    /// For the first of the services that the KDC knows.
    fn ticket(&self, kept: &mut Kept, services: &[Service]) -> Result<Ticket, KerberosError> {
        kept.services.retain(|_, (ticket, since)| ticket.is_good() && since.elapsed() < MAX_TICKET_AGE);
        for service in services {
            if let Some((ticket, _)) = kept.services.get(service.principal()) {
                return Ok(ticket.clone());
            }
        }
        let tgt = match kept.tgt.take().filter(Ticket::is_good) {
            Some(tgt) => tgt,
            None => kerberos::log_on(&self.principal, &self.proof.as_long_term(), &self.kdc(&self.principal.realm)?)?,
        };
        kept.tgt = Some(tgt.clone());
        let mut unknown = KerberosError::UnknownService("(none)".into());
        for service in services {
            match kerberos::ticket_for(&tgt, service.principal(), &|realm| self.kdc(realm)) {
                Ok(ticket) => {
                    kept.services.insert(service.principal().into(), (ticket.clone(), Instant::now()));
                    return Ok(ticket);
                }
                Err(error @ KerberosError::UnknownService(_)) => unknown = error,
                Err(error) => {
                    // Perhaps the KDC does not take this logon's ticket any more; the next try makes a new one.
                    kept.tgt = None;
                    return Err(error);
                }
            }
        }
        Err(unknown)
    }

    /// From the account's own list, `krb5.conf`, DNS; in this order.
    fn kdc(&self, realm: &str) -> Result<Kdc, KerberosError> {
        let mut servers = Vec::new();
        if realm == self.principal.realm {
            servers.clone_from(&self.account.kdc);
        }
        if servers.is_empty() {
            servers = self.conf.kdcs(realm);
        }
        if servers.is_empty() && self.conf.may_ask_dns() {
            // RFC 4120 §7.2.3.2. The final dot keeps the system's search list out.
            servers = (self.outside.service_records)(&format!("_kerberos._tcp.{realm}."));
        }
        if servers.is_empty() { Err(KerberosError::NoKdc(realm.into())) } else { Ok(Kdc::new(servers)) }
    }
}

/// What the account proves itself with.
enum Proof {
    Password(Secret),
    Keytab(Keytab),
}

impl Proof {
    fn read(account: &Account) -> Result<Self, MechanismError> {
        if let Some(path) = &account.keytab {
            return load_keytab(path).map(Self::Keytab).map_err(MechanismError::Unavailable);
        }
        match account.password.get() {
            Ok(Some(password)) => Ok(Self::Password(password)),
            Ok(None) => Err(MechanismError::Unavailable("the account has neither a password nor a keytab".into())),
            Err(error) => Err(MechanismError::Unavailable(error)),
        }
    }

    fn as_long_term(&self) -> LongTerm<'_> {
        match self {
            Self::Password(password) => LongTerm::Password(password),
            Self::Keytab(keytab) => LongTerm::Keytab(keytab),
        }
    }

    fn principal(&self, account: &Account) -> Result<Principal, String> {
        match (&account.user, self) {
            (Some(user), _) => principal_of(user, account.realm.as_deref()),
            (None, Self::Keytab(keytab)) => {
                let (name, realm) = keytab.owner().ok_or("the keytab is empty")?;
                Ok(Principal { name: name.into(), enterprise: false, realm: realm.into() })
            }
            (None, Self::Password(_)) => Err("a password needs a user name".into()),
        }
    }
}

fn load_keytab(path: &Path) -> Result<Keytab, String> {
    Keytab::load(path).map_err(|error| format!("cannot read the keytab {}: {error}", path.display()))
}

/// Only a realm that is stated: a NetBIOS domain is none, and to guess one would send the password's proof to a
/// KDC that nobody named. Realms are written in capitals; a UPN's suffix is one unless `realm` says otherwise.
fn principal_of(user: &User, realm: Option<&str>) -> Result<Principal, String> {
    let suffix = user.realm.as_deref();
    let dotted = user.domain.as_deref().filter(|domain| domain.contains('.'));
    let realm = match (realm, suffix.or(dotted)) {
        (Some(realm), _) => realm.to_string(),
        (None, Some(written)) => written.to_uppercase(),
        (None, None) => return Err("no Kerberos realm is stated; set `realm` or write user@REALM".into()),
    };
    let enterprise = suffix.is_some_and(|suffix| !suffix.eq_ignore_ascii_case(&realm));
    let name = if enterprise { user.to_string() } else { user.name.clone() };
    Ok(Principal { name, enterprise, realm })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use super::super::account::Settings;
    use super::super::service::{Canonicalize, candidates};
    use super::*;
    use crate::address::{Endpoint, Host, Protocol, Target};

    #[test]
    fn whoever_waited_while_a_secret_was_refused_does_not_try_it_again() {
        // A KDC that answers every request with a failed pre-authentication, and counts.
        let (kdc, asked) = refusing_kdc();
        let account = Account::new(Settings {
            user: "alice@CORP.EXAMPLE".parse().ok(),
            password: Arc::new(|| Ok(Some(Secret::new("wrong")))),
            kdc: vec![kdc],
            ..Settings::default()
        });
        let services = candidates(
            &Endpoint { target: Target::parse("proxy.corp.example:8080", None).unwrap(), protocol: Protocol::Http },
            None,
            Canonicalize::Never,
            &Outside::none(),
        );
        let services = services.unwrap();
        let everyone_waits = account.tickets.kept.lock().unwrap();
        let outcomes = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..5).map(|_| scope.spawn(|| start(&account, &services, None, &Outside::none()).err())).collect();
            thread::sleep(Duration::from_millis(200));
            drop(everyone_waits);
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(outcomes.iter().all(|error| matches!(error, Some(MechanismError::Rejected(_)))), "{outcomes:?}");
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    fn refusing_kdc() -> (Target, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                let mut length = [0; 4];
                stream.read_exact(&mut length).unwrap();
                let mut request = vec![0; u32::from_be_bytes(length) as usize];
                stream.read_exact(&mut request).unwrap();
                stream.write_all(&[&(REFUSAL.len() as u32).to_be_bytes(), REFUSAL].concat()).unwrap();
            }
        });
        (Target::new(Host::Ip(address.ip()), address.port()), asked)
    }

    /// KRB-ERROR 24 of 2026-01-01, from the realm R.
    const REFUSAL: &[u8] = b"\x7e\x46\x30\x44\xa0\x03\x02\x01\x05\xa1\x03\x02\x01\x1e\
        \xa4\x11\x18\x0f20260101000000Z\xa5\x03\x02\x01\x00\xa6\x03\x02\x01\x18\
        \xa9\x03\x1b\x01R\xaa\x16\x30\x14\xa0\x03\x02\x01\x02\xa1\x0d\x30\x0b\x1b\x06krbtgt\x1b\x01R";

    #[test]
    fn a_realm_is_stated_and_never_guessed() {
        for (user, set, expected) in [
            ("CORP\\alice", None, None),
            ("alice", None, None),
            ("CORP\\alice", Some("CORP.EXAMPLE"), Some("alice CORP.EXAMPLE")),
            ("other.example\\alice", None, Some("alice OTHER.EXAMPLE")),
            ("alice@corp.example", None, Some("alice CORP.EXAMPLE")),
            ("alice@mail.example", Some("CORP.EXAMPLE"), Some("alice@mail.example CORP.EXAMPLE (enterprise)")),
        ] {
            let principal = principal_of(&user.parse::<User>().unwrap(), set).ok();
            let shown =
                principal.map(|p| format!("{} {}{}", p.name, p.realm, if p.enterprise { " (enterprise)" } else { "" }));
            assert_eq!(shown.as_deref(), expected, "{user}");
        }
    }
}
