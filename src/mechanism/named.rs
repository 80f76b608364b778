//! Negotiate with an account that the configuration names: by password or keytab, from its own KDC.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
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
use crate::auth::lockout::{Leave, Proof, Verdict};
use crate::auth::{ChannelBinding, Lacking, Mechanism, MechanismError, Rejection, TicketLife};
use crate::secret::Secret;

/// A service's key may change while its ticket is still good, and nobody tells us but by refusing it.
const MAX_TICKET_AGE: Duration = Duration::from_secs(15 * 60);
/// After silence from the KDCs, connections do not wait for them again so soon.
const SILENCE: Duration = Duration::from_secs(30);

/// The tickets of an account. One question to the KDC at a time.
#[derive(Default)]
pub(super) struct Tickets {
    kept: Mutex<Kept>,
    /// How often they were to be forgotten.
    forgotten: AtomicU64,
}

#[derive(Default)]
struct Kept {
    /// When they were made. What is made at the moment goes with the rest.
    forgotten: u64,
    tgt: Option<Ticket>,
    services: HashMap<String, (Ticket, Instant)>,
    silent: Option<(Lacking, Instant)>,
    /// Whose they are, where only the keytab names somebody.
    owner: Option<Principal>,
}

impl Tickets {
    /// Does not wait for a KDC that is being asked.
    pub(super) fn forget(&self) {
        self.forgotten.fetch_add(1, Ordering::AcqRel);
    }

    /// Of the ticket for the KDC. Unknown while a KDC is being asked.
    pub(super) fn life(&self) -> Option<TicketLife> {
        let kept = self.kept.try_lock().ok()?;
        let owner = kept.owner.as_ref()?.to_string();
        let is_current = kept.forgotten == self.forgotten.load(Ordering::Acquire);
        let ticket = kept.tgt.as_ref().filter(|_| is_current)?;
        Some(TicketLife { owner, left: ticket.left() })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let forgotten = self.forgotten.load(Ordering::Acquire);
        if kept.forgotten != forgotten {
            *kept = Kept { forgotten, ..Kept::default() };
        }
        kept
    }
}

/// `leave` is needed where there is no ticket yet.
pub(super) fn start(
    account: &Account,
    services: &[Service],
    binding: Option<&ChannelBinding>,
    outside: &Outside,
    leave: Option<&Leave>,
) -> Result<Box<dyn Mechanism>, MechanismError> {
    let mut kept = account.tickets.kept();
    if let Some((reason, _)) = kept.silent.as_ref().filter(|(_, since)| since.elapsed() < SILENCE) {
        return Err(MechanismError::Unavailable(reason.clone()));
    }
    let proof = leave.map(|leave| Key::read(leave.proof())).transpose().map_err(unavailable)?;
    let principal = match (&account.user, &proof, kept.owner.take()) {
        (Some(user), ..) => principal_of(user, account.realm.as_deref()).map_err(unavailable)?,
        (None, Some(Key::Keytab(keytab)), _) => owner_of(keytab).map_err(unavailable)?,
        (None, None, Some(owner)) => owner,
        (None, ..) => return Err(MechanismError::NeedsLeave),
    };
    kept.owner = Some(principal.clone());
    let logon = Logon { principal, key: proof, leave, account, conf: Krb5Conf::load(), outside };
    let result = logon.ticket(&mut kept, services);
    let token = result.and_then(|ticket| Ok(kerberos::token(&ticket, binding.map(Vec::as_slice))?));
    let token = token.map_err(|stop| match stop {
        Stop::NeedsLeave => MechanismError::NeedsLeave,
        Stop::Failed(error @ KerberosError::Refused(_, _, why)) => {
            tracing::debug!(%error, "a verdict");
            MechanismError::Rejected(why)
        }
        Stop::Failed(error @ (KerberosError::Unreachable(_) | KerberosError::NoKdc(_))) => {
            let lacking = error.lacking();
            kept.silent = Some((lacking.clone(), Instant::now()));
            MechanismError::Unavailable(lacking)
        }
        Stop::Failed(error) => MechanismError::Unavailable(error.lacking()),
    })?;
    Ok(Box::new(OneToken::kerberos(&token)))
}

fn unavailable(why: String) -> MechanismError {
    MechanismError::Unavailable(why.into())
}

/// Whether the KDC has a reason for a rejection that is not the secret. Where it is not known who would know, or nobody
/// has answered lately, nobody is asked.
pub(super) fn inquire(account: &Account, outside: &Outside) -> Rejection {
    let Some(principal) = account.user.as_ref().and_then(|user| principal_of(user, account.realm.as_deref()).ok())
    else {
        return Rejection::Unsaid;
    };
    if account.tickets.kept().silent.as_ref().is_some_and(|(_, since)| since.elapsed() < SILENCE) {
        return Rejection::Unsaid;
    }
    let realm = principal.realm.clone();
    let logon = Logon { principal, key: None, leave: None, account, conf: Krb5Conf::load(), outside };
    let answer = logon.kdc(&realm).and_then(|kdc| kerberos::inquire(&logon.principal, &kdc));
    answer.unwrap_or_else(|error| {
        tracing::debug!(%error, "no KDC says how the account stands");
        Rejection::Unsaid
    })
}

/// The KDCs that know the account.
pub(super) fn kdc_of(principal: &Principal, account: &Account, outside: &Outside) -> Result<Kdc, KerberosError> {
    let (principal, conf) = (principal.clone(), Krb5Conf::load());
    let realm = principal.realm.clone();
    Logon { principal, key: None, leave: None, account, conf, outside }.kdc(&realm)
}

/// Why there is no ticket.
enum Stop {
    NeedsLeave,
    Failed(KerberosError),
}

impl From<KerberosError> for Stop {
    fn from(error: KerberosError) -> Self {
        Self::Failed(error)
    }
}

/// All that one logon needs to know.
struct Logon<'a> {
    principal: Principal,
    key: Option<Key>,
    leave: Option<&'a Leave>,
    account: &'a Account,
    conf: Krb5Conf,
    outside: &'a Outside,
}

impl Logon<'_> {
    /// For the first of the services that the KDC knows.
    fn ticket(&self, kept: &mut Kept, services: &[Service]) -> Result<Ticket, Stop> {
        kept.services.retain(|_, (ticket, since)| ticket.is_good() && since.elapsed() < MAX_TICKET_AGE);
        for service in services {
            if let Some((ticket, _)) = kept.services.get(service.principal()) {
                return Ok(ticket.clone());
            }
        }
        let tgt = match kept.tgt.take().filter(Ticket::is_good) {
            Some(tgt) => tgt,
            None => self.log_on()?,
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
                    return Err(error.into());
                }
            }
        }
        Err(unknown.into())
    }

    /// A ticket for tickets is a verdict; its refusal is for the exchange to report.
    fn log_on(&self) -> Result<Ticket, Stop> {
        let kdc = self.kdc(&self.principal.realm)?;
        let (Some(key), Some(leave)) = (&self.key, self.leave) else { return Err(Stop::NeedsLeave) };
        if !leave.permit().is_good() {
            return Err(Stop::NeedsLeave);
        }
        let shown = Cell::new(false);
        let show = || {
            shown.set(true);
            leave.permit().show();
        };
        let tgt = kerberos::log_on(&self.principal, &key.as_long_term(), &kdc, &show).inspect_err(|error| {
            // It may have been judged: nobody else is shown it by the same leave.
            if shown.get() && error.leaves_open() {
                leave.permit().lose();
            }
        })?;
        leave.permit().judge(Verdict::Accepted);
        Ok(tgt)
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

/// What the account proves itself with towards a KDC.
enum Key {
    Password(Secret),
    Keytab(Keytab),
}

impl Key {
    fn read(proof: &Proof) -> Result<Self, String> {
        match proof {
            Proof::Password(password) => Ok(Self::Password(password.clone())),
            Proof::Keytab(bytes) => Keytab::parse(bytes).map(Self::Keytab).ok_or("the keytab is no keytab".into()),
            Proof::NtHash(_) => Err("an NT hash is of no use with Kerberos here".into()),
            Proof::LogOn(_) => Err("the system keeps the secret of whoever is logged in to itself".into()),
        }
    }

    fn as_long_term(&self) -> LongTerm<'_> {
        match self {
            Self::Password(password) => LongTerm::Password(password),
            Self::Keytab(keytab) => LongTerm::Keytab(keytab),
        }
    }
}

fn owner_of(keytab: &Keytab) -> Result<Principal, String> {
    let (name, realm) = keytab.owner().ok_or("the keytab is empty")?;
    Ok(Principal { name: name.into(), enterprise: false, realm: realm.into() })
}

/// Only a realm that is stated: a NetBIOS domain is none, and to guess one would send the password's proof to a
/// KDC that nobody named. Realms are written in capitals; a UPN's suffix is one unless `realm` says otherwise.
pub(super) fn principal_of(user: &User, realm: Option<&str>) -> Result<Principal, String> {
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
    use crate::auth::lockout::{Closed, Permit};

    #[derive(Default)]
    struct Counted {
        shown: AtomicUsize,
        lost: AtomicUsize,
    }

    impl Permit for Arc<Counted> {
        fn is_good(&self) -> bool {
            true
        }

        fn is_spent(&self) -> bool {
            false
        }

        fn is_proven(&self) -> bool {
            false
        }

        fn show(&self) {
            self.shown.fetch_add(1, Ordering::Relaxed);
        }

        fn withhold(&self) {}

        fn judge(&self, _: Verdict) {}

        fn lose(&self) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }

        fn closed(&self) -> Closed {
            Closed { rejected: false, since: 0, next: None }
        }
    }

    #[test]
    fn without_leave_no_kdc_is_asked_and_its_refusal_is_a_verdict() {
        // A KDC that answers every request with a failed pre-authentication, and counts.
        let (kdc, asked) = refusing_kdc(24);
        let account =
            Account::new(Settings { user: "alice@CORP.EXAMPLE".parse().ok(), kdc: vec![kdc], ..Settings::default() });
        let upstream =
            Endpoint { target: Target::parse("proxy.corp.example:8080", None).unwrap(), protocol: Protocol::Http };
        let services = candidates(&upstream, None, Canonicalize::Never, &Outside::none()).unwrap();
        let begin = |leave: Option<&Leave>| start(&account, &services, None, &Outside::none(), leave).err();
        assert_eq!(begin(None), Some(MechanismError::NeedsLeave));
        assert_eq!(asked.load(Ordering::Relaxed), 0);
        let shown = Arc::new(Counted::default());
        let leave = Leave::new(Proof::Password(Secret::new("wrong")), Box::new(shown.clone()));
        let outcome = begin(Some(&leave));
        assert!(matches!(outcome, Some(MechanismError::Rejected(_))), "{outcome:?}");
        // The first request carries nothing of the secret.
        assert_eq!((asked.load(Ordering::Relaxed), shown.shown.load(Ordering::Relaxed)), (1, 0));
    }

    #[test]
    fn a_proof_that_a_kdc_was_shown_and_did_not_judge_is_lost() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let kdc = Target::new(Host::Ip(listener.local_addr().unwrap().ip()), listener.local_addr().unwrap().port());
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut length = [0; 4];
                stream.read_exact(&mut length).unwrap();
                stream.read_exact(&mut vec![0; u32::from_be_bytes(length) as usize]).unwrap();
                // Whoever comes back with the proof hears nothing.
                if counted.fetch_add(1, Ordering::Relaxed) == 0 {
                    stream.write_all(&[&(WANTS_PROOF.len() as u32).to_be_bytes(), WANTS_PROOF].concat()).unwrap();
                }
            }
        });
        let account =
            Account::new(Settings { user: "alice@CORP.EXAMPLE".parse().ok(), kdc: vec![kdc], ..Settings::default() });
        let upstream =
            Endpoint { target: Target::parse("proxy.corp.example:8080", None).unwrap(), protocol: Protocol::Http };
        let services = candidates(&upstream, None, Canonicalize::Never, &Outside::none()).unwrap();
        let permit = Arc::new(Counted::default());
        let leave = Leave::new(Proof::Password(Secret::new("wrong")), Box::new(permit.clone()));
        let outcome = start(&account, &services, None, &Outside::none(), Some(&leave)).err();
        assert!(matches!(outcome, Some(MechanismError::Unavailable(_))), "{outcome:?}");
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        assert_eq!((permit.shown.load(Ordering::Relaxed), permit.lost.load(Ordering::Relaxed)), (1, 1));
    }

    fn refusing_kdc(code: u8) -> (Target, Arc<AtomicUsize>) {
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
                let mut refusal = REFUSAL.to_vec();
                refusal[CODE] = code;
                stream.write_all(&[&(refusal.len() as u32).to_be_bytes(), &refusal[..]].concat()).unwrap();
            }
        });
        (Target::new(Host::Ip(address.ip()), address.port()), asked)
    }

    #[test]
    fn a_kdc_is_asked_how_an_account_stands_without_being_shown_anything() {
        for (code, said) in [(18, Rejection::Locked), (23, Rejection::Expired), (24, Rejection::Unsaid)] {
            let (kdc, asked) = refusing_kdc(code);
            let account = |user: &str| {
                Account::new(Settings { user: user.parse().ok(), kdc: vec![kdc.clone()], ..Settings::default() })
            };
            assert_eq!(inquire(&account("CORP\\alice"), &Outside::none()), Rejection::Unsaid, "nobody knows whose KDC");
            assert_eq!(asked.load(Ordering::Relaxed), 0);
            assert_eq!(inquire(&account("alice@CORP.EXAMPLE"), &Outside::none()), said, "code {code}");
            assert_eq!(asked.load(Ordering::Relaxed), 1);
        }
    }

    /// Where the code stands in it.
    const CODE: usize = 42;

    /// KRB-ERROR 24 of 2026-01-01, from the realm R.
    const REFUSAL: &[u8] = b"\x7e\x46\x30\x44\xa0\x03\x02\x01\x05\xa1\x03\x02\x01\x1e\
        \xa4\x11\x18\x0f20260101000000Z\xa5\x03\x02\x01\x00\xa6\x03\x02\x01\x18\
        \xa9\x03\x1b\x01R\xaa\x16\x30\x14\xa0\x03\x02\x01\x02\xa1\x0d\x30\x0b\x1b\x06krbtgt\x1b\x01R";

    /// The same with code 25, and a key type that it wants the proof made with.
    const WANTS_PROOF: &[u8] = b"\x7e\x60\x30\x5e\xa0\x03\x02\x01\x05\xa1\x03\x02\x01\x1e\
        \xa4\x11\x18\x0f20260101000000Z\xa5\x03\x02\x01\x00\xa6\x03\x02\x01\x19\
        \xa9\x03\x1b\x01R\xaa\x16\x30\x14\xa0\x03\x02\x01\x02\xa1\x0d\x30\x0b\x1b\x06krbtgt\x1b\x01R\
        \xac\x18\x04\x16\x30\x14\x30\x12\xa1\x03\x02\x01\x13\xa2\x0b\x04\x09\
        \x30\x07\x30\x05\xa0\x03\x02\x01\x12";

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
