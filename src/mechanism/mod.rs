//! Where credentials live, and which upstream may receive which: implements [`Mechanisms`].
//!
//! Negotiate prefers the ticket that is already there (`gss`, through the system's Kerberos library, or the `packages`
//! of Windows); for another account it logs on by itself (`named`). Windows makes NTLM for whoever is `logged_in`, too.

mod account;
mod kdc;
mod kerberos;
mod keytab;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "the library of other systems reads it by itself"))]
mod krb5_conf;
mod logged_in;
mod named;
mod ntlm;
#[cfg_attr(not(windows), allow(dead_code, reason = "other systems have none"))]
mod packages;
mod recipient;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "the library of other systems wants less of it"))]
mod service;
mod token;
mod view;

#[cfg(unix)]
mod gss;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(windows)]
mod windows;

use std::sync::Arc;

#[cfg(target_os = "linux")]
use linux as ticket;
#[cfg(target_os = "macos")]
use macos as ticket;
#[cfg(windows)]
use windows as ticket;

pub use account::{Account, ReadSecret, Settings, Version};
pub use recipient::{Pattern, Recipient};
pub use service::{Canonicalize, UnknownCanonicalize};

use crate::address::{Endpoint, Target};
use crate::auth::account::User;
use crate::auth::basic::Basic;
use crate::auth::digest::{ClientNonce, Digest};
use crate::auth::kerberos::KerberosView;
use crate::auth::lockout::{Leave, Proof, Stake};
use crate::auth::ntlm::NtHash;
use crate::auth::{
    ChannelBinding, Lack, Lacking, Login, Mechanism, MechanismError, Mechanisms, Rejection, Scheme, Start, TicketLife,
};
use crate::secret::Secret;
use account::{AccountStake, Kind};

pub type CanonicalName = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;
pub type ServiceRecords = Arc<dyn Fn(&str) -> Vec<Target> + Send + Sync>;

/// What is asked of the world outside; may block.
#[derive(Clone)]
pub struct Outside {
    /// The name in DNS that another is an alias of.
    pub canonical_name: CanonicalName,
    /// The hosts of a service that DNS names (RFC 2782), best first.
    pub service_records: ServiceRecords,
}

impl Outside {
    /// Nobody is asked.
    pub fn none() -> Self {
        Self { canonical_name: Arc::new(|_| None), service_records: Arc::new(|_| Vec::new()) }
    }
}

/// Leave for an account to be used at an upstream.
pub struct Grant {
    pub upstream: Recipient,
    pub account: Arc<Account>,
    /// Others are never begun, whatever is asked: Basic only if it is named here.
    pub schemes: Vec<Scheme>,
    pub spn: Option<String>,
    pub canonicalize: Canonicalize,
}

/// All grants. The first that fits an upstream is the one.
pub struct Identities {
    grants: Vec<Grant>,
    outside: Outside,
    client_nonce: ClientNonce,
}

impl Identities {
    pub fn new(grants: Vec<Grant>, outside: Outside) -> Self {
        Self { grants, outside, client_nonce: Arc::new(client_nonce) }
    }

    fn grant(&self, upstream: &Endpoint) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.upstream.is(upstream))
    }

    fn granted(&self, upstream: &Endpoint) -> Result<&Grant, MechanismError> {
        let host = &upstream.target.host;
        self.grant(upstream).ok_or_else(|| {
            let why = format!(
                "no credential is meant for {upstream}; --credential-for {host}, or for = [\"{host}\"] in \
                 [credentials.NAME], would let it have one"
            );
            MechanismError::Unavailable(Lacking::new(Lack::Leave, why))
        })
    }
}

impl Mechanisms for Identities {
    fn start(
        &self,
        start: Start,
        upstream: &Endpoint,
        binding: Option<&ChannelBinding>,
        leave: Option<&Leave>,
    ) -> Result<Box<dyn Mechanism>, MechanismError> {
        let grant = self.granted(upstream)?;
        if !grant.schemes.contains(&start.means()) {
            return unavailable(format!("{} is not among the schemes for {upstream}", start.means()));
        }
        match start {
            Start::Scheme(Scheme::Negotiate) => grant.negotiate(upstream, binding, &self.outside, leave),
            Start::Scheme(Scheme::Ntlm) | Start::NtlmInNegotiate => {
                grant.ntlm(start.scheme(), upstream, binding, leave)
            }
            Start::Scheme(Scheme::Digest) => {
                let (user, password) = grant.user_and_password(leave)?;
                let session = grant.account.digest(upstream, &self.client_nonce);
                Ok(Box::new(Digest::new(&user.to_string(), password, session)?))
            }
            Start::Scheme(Scheme::Basic) => {
                let (user, password) = grant.user_and_password(leave)?;
                Ok(Box::new(Basic::new(&user.to_string(), password)?))
            }
        }
    }

    /// The others are made of a secret that was read before, by code of our own; but for whoever is logged in.
    fn may_block(&self, start: Start) -> bool {
        match start.means() {
            Scheme::Negotiate => true,
            Scheme::Ntlm => self.grants.iter().any(|grant| grant.account.is_logged_in()),
            Scheme::Digest | Scheme::Basic => false,
        }
    }

    fn stake(&self, start: Start, upstream: &Endpoint) -> Result<Arc<dyn Stake>, MechanismError> {
        let account = &self.granted(upstream)?.account;
        let kinds: &[Kind] = match start.means() {
            Scheme::Negotiate | Scheme::Ntlm if account.is_logged_in() => &[Kind::LogOn],
            Scheme::Negotiate if account.has_keytab() => &[Kind::Keytab],
            Scheme::Negotiate | Scheme::Digest | Scheme::Basic => &[Kind::Password],
            Scheme::Ntlm => &[Kind::NtHash, Kind::Password],
        };
        Ok(Arc::new(AccountStake::new(account, kinds)))
    }

    fn renew(&self, generation: u64) {
        self.grants.iter().for_each(|grant| grant.account.renew(generation));
    }

    fn account(&self, upstream: &Endpoint) -> Option<String> {
        let account = &self.grant(upstream)?.account;
        Some(match (&account.user, account.has_keytab()) {
            (Some(user), _) => user.to_string(),
            (None, true) => "whoever the keytab names".into(),
            (None, false) => "whoever is logged in".into(),
        })
    }

    /// In the order in which a log-in would look for one.
    fn ticket(&self, upstream: &Endpoint) -> Option<TicketLife> {
        let account = &self.grant(upstream)?.account;
        let mine = || ticket::life(account.user.as_ref(), account.realm.as_deref());
        let found = if account.user.is_some() || !account.has_keytab() { mine() } else { None };
        found.or_else(|| account.tickets.life())
    }

    fn inquire(&self, upstream: &Endpoint) -> Rejection {
        self.grant(upstream).map_or(Rejection::Unsaid, |grant| named::inquire(&grant.account, &self.outside))
    }

    fn kerberos(&self, upstream: &Endpoint) -> Option<KerberosView> {
        self.grant(upstream).map(|grant| view::of(grant, upstream, &self.outside))
    }

    fn login(&self, upstream: &Endpoint) -> Result<Login, MechanismError> {
        let grant = self.granted(upstream)?;
        if !grant.schemes.contains(&Scheme::Basic) {
            return unavailable(format!(
                "{upstream} would show the password to everyone on the way; schemes = [\"basic\"] allows that"
            ));
        }
        let stake = self.stake(Start::Scheme(Scheme::Basic), upstream)?;
        Ok(Login { user: grant.user()?.to_string(), stake })
    }
}

impl Grant {
    /// The ticket, if the account is whoever has logged in, or the ticket is the account's; else by itself.
    fn negotiate(
        &self,
        upstream: &Endpoint,
        binding: Option<&ChannelBinding>,
        outside: &Outside,
        leave: Option<&Leave>,
    ) -> Result<Box<dyn Mechanism>, MechanismError> {
        let services = service::candidates(upstream, self.spn.as_deref(), self.canonicalize, outside)
            .map_err(|why| MechanismError::Unavailable(why.into()))?;
        let account = &self.account;
        let mut reasons = Vec::new();
        // A keytab without a user is an identity of its own.
        if account.user.is_some() || !account.has_keytab() {
            match ticket::start(account.user.as_ref(), account.realm.as_deref(), &services, binding, leave) {
                Err(MechanismError::Unavailable(reason)) => reasons.push(reason),
                decided => return decided,
            }
        }
        if account.user.is_some() || account.has_keytab() {
            match named::start(account, &services, binding, outside, leave) {
                Err(MechanismError::Unavailable(reason)) => reasons.push(reason),
                decided => return decided,
            }
        }
        Err(MechanismError::Unavailable(Lacking::all(&reasons)))
    }

    /// The hash is made with the leave, before the first message: whoever waits for leave in the middle of a
    /// handshake keeps a place at the upstream that others need.
    fn ntlm(
        &self,
        scheme: Scheme,
        upstream: &Endpoint,
        binding: Option<&ChannelBinding>,
        leave: Option<&Leave>,
    ) -> Result<Box<dyn Mechanism>, MechanismError> {
        let spn = service::for_ntlm(upstream, self.spn.as_deref());
        if self.account.is_logged_in() {
            return match leave.map(Leave::proof) {
                Some(Proof::LogOn(_)) => {
                    let messages = logged_in::ntlm(&spn, binding).map_err(MechanismError::Unavailable)?;
                    Ok(Box::new(ntlm::Ntlm::new(scheme, messages)))
                }
                Some(Proof::Password(_) | Proof::NtHash(_) | Proof::Keytab(_)) | None => {
                    Err(MechanismError::NeedsLeave)
                }
            };
        }
        let user = self.user()?;
        let hash = match leave.map(Leave::proof) {
            Some(Proof::NtHash(hash)) => {
                NtHash::parse(hash.expose()).map_err(|error| MechanismError::Unavailable(error.to_string().into()))?
            }
            Some(Proof::Password(password)) => NtHash::of_password(password.expose()),
            Some(Proof::Keytab(_) | Proof::LogOn(_)) | None => return Err(MechanismError::NeedsLeave),
        };
        let messages = ntlm::Named::new(user, hash, &spn, binding.cloned());
        Ok(Box::new(ntlm::Ntlm::new(scheme, Box::new(messages))))
    }

    fn user_and_password(&self, leave: Option<&Leave>) -> Result<(&User, Secret), MechanismError> {
        let user = self.user()?;
        match leave.map(Leave::proof) {
            Some(Proof::Password(password)) => Ok((user, password.clone())),
            Some(Proof::NtHash(_) | Proof::Keytab(_) | Proof::LogOn(_)) | None => Err(MechanismError::NeedsLeave),
        }
    }

    fn user(&self) -> Result<&User, MechanismError> {
        self.account
            .user
            .as_ref()
            .ok_or_else(|| MechanismError::Unavailable(Lacking::new(Lack::User, logged_in::NO_USER)))
    }
}

/// Whose ticket the system has for whoever is logged in, as `alice@CORP.EXAMPLE`; else why there is none. May block.
pub fn ticket_owner() -> Result<String, String> {
    ticket::own().map(|ticket| ticket.owner)
}

fn unavailable<T>(reason: String) -> Result<T, MechanismError> {
    Err(MechanismError::Unavailable(reason.into()))
}

/// 128 bits in hexadecimal.
fn client_nonce() -> String {
    let mut bytes = [0; 16];
    // The system has had randomness for long when a program like this one runs; a nonce that can be foreseen
    // only takes away what the client's nonce adds.
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Protocol;
    use crate::auth::RequestLine;
    use crate::auth::lockout::{Closed, Permit, Verdict};

    fn endpoint(target: &str) -> Endpoint {
        Endpoint { target: Target::parse(target, None).unwrap(), protocol: Protocol::Http }
    }

    fn identities(user: Option<&str>, password: Option<&str>, schemes: &[Scheme]) -> Identities {
        let password = password.map(Secret::new);
        let account = Account::new(Settings {
            user: user.map(|user| user.parse().unwrap()),
            password: Arc::new(move || Ok(password.clone())),
            ..Settings::default()
        });
        let grant = Grant {
            upstream: Recipient::Upstream(endpoint("proxy.corp.example:8080")),
            account: Arc::new(account),
            schemes: schemes.to_vec(),
            spn: None,
            canonicalize: Canonicalize::Never,
        };
        Identities::new(vec![grant], Outside::none())
    }

    /// As an exchange goes about it: with leave where leave is needed.
    fn start(identities: &Identities, start: Start, upstream: &str) -> Result<Box<dyn Mechanism>, MechanismError> {
        match identities.start(start, &endpoint(upstream), None, None) {
            Err(MechanismError::NeedsLeave) => {
                let leave = Leave::new(identities.stake(start, &endpoint(upstream))?.read()?, Box::new(Always));
                identities.start(start, &endpoint(upstream), None, Some(&leave))
            }
            decided => decided,
        }
    }

    struct Always;

    impl Permit for Always {
        fn is_good(&self) -> bool {
            true
        }

        fn is_spent(&self) -> bool {
            false
        }

        fn is_proven(&self) -> bool {
            false
        }

        fn show(&self) {}

        fn withhold(&self) {}

        fn judge(&self, _: Verdict) {}

        fn lose(&self) {}

        fn closed(&self) -> Closed {
            Closed { rejected: false, since: 0, next: None }
        }
    }

    fn reason(identities: &Identities, how: Start, upstream: &str) -> Option<String> {
        match start(identities, how, upstream) {
            Err(MechanismError::Unavailable(lacking)) => Some(lacking.why),
            Err(other) => panic!("{other:?}"),
            Ok(_) => None,
        }
    }

    const OFFICE: &str = "proxy.corp.example:8080";
    const ALL: [Scheme; 4] = [Scheme::Negotiate, Scheme::Ntlm, Scheme::Digest, Scheme::Basic];

    #[test]
    fn only_upstreams_in_the_list_receive_anything() {
        let identities = identities(Some("alice"), Some("p"), &ALL);
        for upstream in ["proxy.evil.example:8080", "proxy.corp.example:8081", "127.0.0.1:8080"] {
            for scheme in ALL {
                assert!(
                    reason(&identities, Start::Scheme(scheme), upstream).unwrap().contains("meant for"),
                    "{upstream}"
                );
            }
        }
        let elsewhere = Endpoint { protocol: Protocol::Https, ..endpoint(OFFICE) };
        assert!(identities.start(Start::Scheme(Scheme::Basic), &elsewhere, None, None).is_err());
        assert_eq!(reason(&identities, Start::Scheme(Scheme::Basic), OFFICE), None);
    }

    #[test]
    fn only_schemes_in_the_list_are_begun() {
        let identities = identities(Some("alice"), Some("p"), &Scheme::DEFAULT);
        assert!(reason(&identities, Start::Scheme(Scheme::Basic), OFFICE).unwrap().contains("among the schemes"));
        assert_eq!(reason(&identities, Start::Scheme(Scheme::Ntlm), OFFICE), None);
        assert_eq!(reason(&identities, Start::NtlmInNegotiate, OFFICE), None);
        assert_eq!(reason(&identities, Start::Scheme(Scheme::Digest), OFFICE), None);
    }

    #[test]
    fn what_is_missing_is_said() {
        for (user, password, words, lack) in
            [(None, Some("p"), "no user", Lack::User), (Some("alice"), None, "no password", Lack::Secret)]
        {
            let identities = identities(user, password, &ALL);
            // Windows logs on with NTLM as whoever is logged in.
            let ntlm = (!cfg!(windows)).then_some(Start::Scheme(Scheme::Ntlm));
            for how in ntlm.into_iter().chain([Start::Scheme(Scheme::Digest), Start::Scheme(Scheme::Basic)]) {
                assert!(reason(&identities, how, OFFICE).unwrap().contains(words), "{user:?} {how:?}");
                assert_eq!(start(&identities, how, OFFICE).err().unwrap().lacking().what, lack, "{user:?} {how:?}");
            }
        }
        let nobody = identities(Some("alice"), Some("p"), &ALL);
        let elsewhere = start(&nobody, Start::Scheme(Scheme::Basic), "proxy.evil.example:8080");
        assert_eq!(elsewhere.err().unwrap().lacking().what, Lack::Leave);
    }

    #[test]
    fn user_names_go_to_basic_as_they_were_typed() {
        for user in ["CORP\\alice", "alice@corp.example", "alice"] {
            let identities = identities(Some(user), Some("p"), &ALL);
            let request = RequestLine { method: "CONNECT".into(), uri: "h:443".into() };
            let mut basic = start(&identities, Start::Scheme(Scheme::Basic), OFFICE).unwrap();
            let mut expected = Basic::new(user, Secret::new("p")).unwrap();
            let (sent, expected) = (basic.step(&request, None).unwrap(), expected.step(&request, None).unwrap());
            assert_eq!(sent.credentials, expected.credentials);
        }
    }

    #[test]
    fn digest_nonces_are_shared_by_the_connections_to_one_upstream() {
        let identities = identities(Some("alice"), Some("p"), &ALL);
        let request = RequestLine { method: "CONNECT".into(), uri: "h:443".into() };
        let digest = || start(&identities, Start::Scheme(Scheme::Digest), OFFICE).unwrap();
        assert!(digest().step(&request, None).is_err());
        let offered = crate::auth::challenge::parse_all([&b"Digest realm=r, nonce=n, qop=auth"[..]]);
        digest().step(&request, offered.first()).unwrap();
        let third = String::from_utf8(digest().step(&request, None).unwrap().credentials.expose().to_vec()).unwrap();
        assert!(third.contains("nc=00000002"), "{third}");
    }
}
