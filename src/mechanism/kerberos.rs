//! The three Kerberos exchanges (RFC 4120 §3.1–3.3) for an account that is named in the configuration.
//!
//! sspi's own client asks the KDC for everything anew on each connection, guesses the key type and cannot say
//! which error the KDC gave; its parts are public, so they are put together here.

use std::fmt;
use std::time::{Duration, SystemTime};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use picky_asn1::wrapper::{Asn1SequenceOf, GeneralizedTimeAsn1, IntegerAsn1, Optional};
use picky_krb::constants::error_codes as code;
use picky_krb::constants::gss_api::{AP_REQ_TOKEN_ID, AUTHENTICATOR_CHECKSUM_TYPE};
use picky_krb::constants::key_usages::{AS_REP_ENC, TGS_REP_ENC_SESSION_KEY};
use picky_krb::constants::types::{NT_ENTERPRISE, NT_PRINCIPAL, PA_ETYPE_INFO2_TYPE};
use picky_krb::crypto::CipherSuite;
use picky_krb::data_types::{EtypeInfo2, EtypeInfo2Entry, PaData};
use picky_krb::messages::{AsRep, EncAsRepPart, EncKdcRepPart, EncTgsRepPart, KdcRep, KdcReqBody, KrbError, TgsRep};
use serde::de::DeserializeOwned;
use sspi::channel_bindings::ChannelBindings;
use sspi::kerberos::EncryptionParams;
use sspi::kerberos::client::generators::{
    ChecksumOptions, ChecksumValues, GenerateAsReqOptions, GenerateAuthenticatorOptions, GenerateKeytabPaDataOptions,
    GenerateTgsReqOptions, generate_ap_req, generate_as_req, generate_as_req_kdc_body, generate_authenticator,
    generate_pa_datas_for_as_req_with_key, generate_tgs_req,
};
use sspi::kerberos::flags::ApOptions;
use sspi::{ClientRequestFlags, Secret as SspiSecret};
use thiserror::Error;
use zeroize::Zeroizing;

use super::kdc::{Kdc, Retry};
use super::keytab::Keytab;
use crate::auth::kerberos::{AccountView, KdcView};
use crate::auth::{Lack, Lacking, Rejection, spnego};
use crate::secret::Secret;

/// A ticket with less left is not used any more.
const MARGIN: Duration = Duration::from_secs(60);
/// Realms on the way to a service's own.
const MAX_REFERRALS: usize = 5;
/// RFC 3962 §4; every KDC in use keeps to it.
const ITERATIONS: [u8; 4] = 4096_u32.to_be_bytes();
/// The first octet of KRB-ERROR.
const KRB_ERROR: u8 = 0x7e;

#[derive(Debug, Error)]
pub(super) enum KerberosError {
    #[error("the KDC refused the {1} of {0}: {2}")]
    Refused(String, &'static str, Rejection),
    #[error("the KDC of {1} does not know the user {0}")]
    UnknownUser(String, String),
    #[error("logging on as {0} needs a ticket from kinit: Kerberos names outside ASCII are not supported here")]
    NotAscii(String),
    #[error("the KDC does not know the service {0}; set `spn` or `canonicalize`")]
    UnknownService(String),
    #[error("this machine's clock and the KDC's are {0} apart; Kerberos allows five minutes")]
    ClockSkew(String),
    #[error("the KDC of {0} says that this user belongs to the realm {1}; set `realm`")]
    WrongRealm(String, String),
    #[error("the KDC answered with error {0}{1}")]
    Other(u32, String),
    #[error("no AES key for {0}: {1}")]
    NoKey(String, &'static str),
    #[error("no KDC for the realm {0} is known; set `kdc`")]
    NoKdc(String),
    #[error("{0}")]
    Unreachable(String),
    #[error("the KDC's answer cannot be deciphered")]
    Undecipherable,
    #[error("the KDC's answer makes no sense: {0}")]
    Malformed(String),
}

impl KerberosError {
    pub(super) fn lacking(&self) -> Lacking {
        let what = match self {
            Self::ClockSkew(_) => Lack::Clock,
            Self::UnknownService(_) => Lack::Service,
            Self::NoKdc(_) | Self::Unreachable(_) => Lack::Kdc,
            Self::NotAscii(_) => Lack::Ticket,
            Self::UnknownUser(..)
            | Self::Refused(..)
            | Self::WrongRealm(..)
            | Self::Other(..)
            | Self::NoKey(..)
            | Self::Undecipherable
            | Self::Malformed(_) => Lack::Other,
        };
        Lacking::new(what, self.to_string())
    }

    /// Nobody knows what the KDC thinks of what it was shown.
    pub(super) fn leaves_open(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Malformed(_) => true,
            Self::Refused(..)
            | Self::UnknownUser(..)
            | Self::NotAscii(_)
            | Self::UnknownService(_)
            | Self::ClockSkew(_)
            | Self::WrongRealm(..)
            | Self::Other(..)
            | Self::NoKey(..)
            | Self::NoKdc(_)
            | Self::Undecipherable => false,
        }
    }
}

type Result<T> = std::result::Result<T, KerberosError>;

fn malformed(error: impl fmt::Display) -> KerberosError {
    KerberosError::Malformed(error.to_string())
}

/// Who logs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Principal {
    pub(super) name: String,
    /// `name` is a UPN whose suffix is not the realm.
    pub(super) enterprise: bool,
    pub(super) realm: String,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.realm)
    }
}

/// With what.
pub(super) enum LongTerm<'a> {
    Password(&'a Secret),
    Keytab(&'a Keytab),
}

impl LongTerm<'_> {
    fn noun(&self) -> &'static str {
        match self {
            Self::Password(_) => "password",
            Self::Keytab(_) => "key",
        }
    }
}

/// A ticket and what goes with it.
#[derive(Clone)]
pub(super) struct Ticket {
    reply: KdcRep,
    key: SspiSecret<Vec<u8>>,
    suite: CipherSuite,
    ends: SystemTime,
    /// Of the service, from the enciphered part: what stands in the clear, anybody on the way could change.
    service: Vec<String>,
}

impl Ticket {
    /// The realm whose KDC takes this, if it is a ticket for a KDC: `krbtgt/REALM`.
    fn realm_served(&self) -> Option<&str> {
        match &self.service[..] {
            [krbtgt, realm] if krbtgt == "krbtgt" => Some(realm),
            _ => None,
        }
    }

    pub(super) fn is_good(&self) -> bool {
        self.ends > SystemTime::now() + MARGIN
    }

    pub(super) fn left(&self) -> Duration {
        self.ends.duration_since(SystemTime::now()).unwrap_or_default()
    }

    fn parameters(&self) -> EncryptionParams {
        EncryptionParams { encryption_type: Some(self.suite.clone()), ..EncryptionParams::default_for_client() }
    }

    fn open(reply: KdcRep, key: &[u8], suite: &CipherSuite, usage: i32, nonce: &IntegerAsn1) -> Result<Self> {
        let plain = suite.cipher().decrypt(key, usage, &reply.enc_part.0.cipher.0.0).map(Zeroizing::new);
        let plain = plain.map_err(|_| KerberosError::Undecipherable)?;
        // MIT writes the other tag, as RFC 4120 §5.4.2 allows.
        let part: EncKdcRepPart = match picky_asn1_der::from_bytes::<EncAsRepPart>(&plain) {
            Ok(part) => part.0,
            Err(_) => picky_asn1_der::from_bytes::<EncTgsRepPart>(&plain).map_err(malformed)?.0,
        };
        if part.nonce.0.as_unsigned_bytes_be() != nonce.as_unsigned_bytes_be() {
            return Err(malformed("it answers another request"));
        }
        let suite = suite_of(&part.key.0.key_type.0).ok_or_else(|| malformed("its session key is not AES"))?;
        let ends = time_of(&part.end_time.0).ok_or_else(|| malformed("the ticket has no end"))?;
        let service = part.sname.0.name_string.0.0.iter().map(|component| text(component.0.as_bytes())).collect();
        Ok(Self { key: part.key.0.key_value.0.0.into(), suite, ends, service, reply })
    }
}

/// The AS exchange. One wrong secret is one failed pre-authentication: the first request carries none, and the
/// second is sent to one KDC only, after `show`.
pub(super) fn log_on(principal: &Principal, secret: &LongTerm<'_>, kdc: &Kdc, show: &dyn Fn()) -> Result<Ticket> {
    let body = logon_body(principal)?;
    let first = kdc.exchange(&as_request(&body, Vec::new())?, Retry::Anywhere)?;
    let hints = match read::<AsRep>(&first.reply)? {
        Ok(reply) => {
            return match open_logon(reply.0, principal, secret, &body) {
                // Nobody has judged the secret yet; now it is we who do.
                Err(KerberosError::Undecipherable) => {
                    Err(KerberosError::Refused(principal.to_string(), secret.noun(), Rejection::Wrong))
                }
                opened => opened,
            };
        }
        Err(error) if error.0.error_code.0 == code::KDC_ERR_PREAUTH_REQUIRED => hints_of(&error)?,
        Err(error) => return Err(logon_error(&error, principal, secret)),
    };
    let (suite, key) = long_term_key(principal, secret, &hints)?;
    let proof = generate_pa_datas_for_as_req_with_key(&GenerateKeytabPaDataOptions {
        key: key.to_vec().into(),
        key_enctype: suite,
        with_pre_auth: true,
    });
    let second = as_request(&body, proof.map_err(malformed)?)?;
    show();
    let answer = kdc.exchange_with(&first.server, &second)?;
    match read::<AsRep>(&answer)? {
        Ok(reply) => open_logon(reply.0, principal, secret, &body),
        Err(error) => Err(logon_error(&error, principal, secret)),
    }
}

/// What a KDC says of an account to whoever shows it nothing. Most say nothing, and count nothing.
pub(super) fn inquire(principal: &Principal, kdc: &Kdc) -> Result<Rejection> {
    let request = as_request(&logon_body(principal)?, Vec::new())?;
    Ok(match read::<AsRep>(&kdc.exchange(&request, Retry::Never)?.reply)? {
        Err(error) if error.0.error_code.0 == code::KDC_ERR_CLIENT_REVOKED => Rejection::Locked,
        Err(error) if error.0.error_code.0 == code::KDC_ERR_KEY_EXPIRED => Rejection::Expired,
        Ok(_) | Err(_) => Rejection::Unsaid,
    })
}

/// The same, and what its clock says. Where an account needs no pre-authentication, it tells no time.
pub(super) fn view(principal: &Principal, kdc: &Kdc) -> Result<KdcView> {
    let request = as_request(&logon_body(principal)?, Vec::new())?;
    let answer = kdc.exchange(&request, Retry::Anywhere)?;
    let server = answer.server.to_string();
    Ok(match read::<AsRep>(&answer.reply)? {
        Ok(_) => KdcView { server, ahead: None, account: AccountView::Known },
        Err(error) => KdcView {
            server,
            ahead: ahead(&error.0.stime.0),
            account: match error.0.error_code.0 {
                code::KDC_ERR_PREAUTH_REQUIRED => AccountView::Known,
                code::KDC_ERR_C_PRINCIPAL_UNKNOWN => AccountView::Unknown,
                code::KDC_ERR_CLIENT_REVOKED => AccountView::Locked,
                code::KDC_ERR_KEY_EXPIRED => AccountView::Expired,
                _ => AccountView::Unsaid(other_error(&error).to_string()),
            },
        },
    })
}

/// Seconds.
fn ahead(theirs: &GeneralizedTimeAsn1) -> Option<i64> {
    let seconds = |time: SystemTime| Some(jiff::Timestamp::try_from(time).ok()?.as_second());
    Some(seconds(time_of(theirs)?)? - seconds(SystemTime::now())?)
}

/// The TGS exchange, through other realms where the KDC points there.
pub(super) fn ticket_for(tgt: &Ticket, service: &str, kdc_of: &dyn Fn(&str) -> Result<Kdc>) -> Result<Ticket> {
    let mut tgt = tgt.clone();
    for _ in 0..MAX_REFERRALS {
        let realm = tgt.realm_served().ok_or_else(|| malformed("it is no ticket for a KDC"))?.to_string();
        let mut authenticator = authenticator(&tgt, None, None)?;
        let request = generate_tgs_req(GenerateTgsReqOptions {
            realm: &realm,
            service_principal: service,
            session_key: &tgt.key,
            ticket: tgt.reply.ticket.0.clone(),
            authenticator: &mut authenticator,
            additional_tickets: None,
            enc_params: &tgt.parameters(),
            context_requirements: ClientRequestFlags::empty(),
        })
        .map_err(malformed)?;
        let bytes = picky_asn1_der::to_vec(&request).map_err(malformed)?;
        let reply = match read::<TgsRep>(&kdc_of(&realm)?.exchange(&bytes, Retry::Anywhere)?.reply)? {
            Ok(reply) => reply.0,
            Err(error) => return Err(service_error(&error, service)),
        };
        let nonce = &request.0.req_body.0.nonce.0;
        let ticket = Ticket::open(reply, tgt.key.as_ref(), &tgt.suite, TGS_REP_ENC_SESSION_KEY, nonce)?;
        match ticket.realm_served() {
            None => return Ok(ticket),
            Some(_) => tgt = ticket,
        }
    }
    Err(KerberosError::Malformed(format!("more than {MAX_REFERRALS} realms on the way to {service}")))
}

/// The AP-REQ in its GSS frame (RFC 4121 §4.1): no delegation, no mutual authentication, no session.
pub(super) fn token(ticket: &Ticket, binding: Option<&[u8]>) -> Result<Vec<u8>> {
    let bindings = binding.map(|end_point| ChannelBindings {
        initiator_addr_type: 0,
        initiator: Vec::new(),
        acceptor_addr_type: 0,
        acceptor: Vec::new(),
        application_data: crate::auth::binding_data(end_point),
    });
    // Sixteen octets of bindings follow, then the flags: none.
    let mut checksum = [0; 24];
    checksum[0] = 16;
    let checksum = ChecksumOptions {
        checksum_type: AUTHENTICATOR_CHECKSUM_TYPE.to_vec(),
        checksum_value: ChecksumValues::from(checksum),
    };
    let authenticator = authenticator(ticket, Some(checksum), bindings.as_ref())?;
    let ticket_itself = ticket.reply.ticket.0.clone();
    let request = generate_ap_req(ticket_itself, &ticket.key, &authenticator, &ticket.parameters(), ApOptions::empty());
    let request = picky_asn1_der::to_vec(&request.map_err(malformed)?).map_err(malformed)?;
    Ok(spnego::framed(spnego::KERBEROS, &[&AP_REQ_TOKEN_ID[..], &request].concat()))
}

fn authenticator(
    ticket: &Ticket,
    checksum: Option<ChecksumOptions>,
    bindings: Option<&ChannelBindings>,
) -> Result<picky_krb::data_types::Authenticator> {
    generate_authenticator(GenerateAuthenticatorOptions {
        kdc_rep: &ticket.reply,
        seq_num: Some(random()?),
        sub_key: None,
        checksum,
        channel_bindings: bindings,
        extensions: Vec::new(),
    })
    .map_err(malformed)
}

fn logon_body(principal: &Principal) -> Result<KdcReqBody> {
    let body = generate_as_req_kdc_body(&GenerateAsReqOptions {
        realm: &principal.realm,
        username: &principal.name,
        cname_type: if principal.enterprise { NT_ENTERPRISE } else { NT_PRINCIPAL },
        snames: &["krbtgt", &principal.realm],
        nonce: random()?,
        hostname: "",
        context_requirements: ClientRequestFlags::empty(),
    });
    let mut body = body.map_err(|_| KerberosError::NotAscii(principal.name.clone()))?;
    // A ticket bound to an address is of no use behind NAT.
    body.addresses = Optional::from(None);
    Ok(body)
}

fn as_request(body: &KdcReqBody, proof: Vec<PaData>) -> Result<Vec<u8>> {
    picky_asn1_der::to_vec(&generate_as_req(proof, body.clone())).map_err(malformed)
}

fn open_logon(reply: KdcRep, principal: &Principal, secret: &LongTerm<'_>, body: &KdcReqBody) -> Result<Ticket> {
    let mut hints = match reply.padata.0.as_ref() {
        Some(padata) => hints_in(&padata.0)?,
        None => Vec::new(),
    };
    let used = &reply.enc_part.0.etype.0;
    hints.retain(|hint| hint.etype.0 == *used);
    if hints.is_empty() {
        hints.push(EtypeInfo2Entry {
            etype: used.clone().into(),
            salt: Optional::from(None),
            s2kparams: Optional::from(None),
        });
    }
    let (suite, key) = long_term_key(principal, secret, &hints)?;
    Ticket::open(reply, &key, &suite, AS_REP_ENC, &body.nonce.0)
}

fn hints_of(error: &KrbError) -> Result<Vec<EtypeInfo2Entry>> {
    match error.0.e_data.0.as_ref() {
        Some(data) => hints_in(&picky_asn1_der::from_bytes(&data.0.0).map_err(malformed)?),
        None => Ok(Vec::new()),
    }
}

fn hints_in(padata: &Asn1SequenceOf<PaData>) -> Result<Vec<EtypeInfo2Entry>> {
    match padata.0.iter().find(|data| data.padata_type.0.0 == PA_ETYPE_INFO2_TYPE) {
        Some(data) => Ok(picky_asn1_der::from_bytes::<EtypeInfo2>(&data.padata_data.0.0).map_err(malformed)?.0),
        None => Ok(Vec::new()),
    }
}

/// The key of the first type that both sides know. The KDC's hints stand in its own order of preference.
fn long_term_key(
    principal: &Principal,
    secret: &LongTerm<'_>,
    hints: &[EtypeInfo2Entry],
) -> Result<(CipherSuite, Zeroizing<Vec<u8>>)> {
    let mut missing = "the KDC offers no AES key for it";
    for hint in hints {
        let Some(suite) = suite_of(&hint.etype.0) else { continue };
        match secret {
            LongTerm::Password(password) => {
                if hint.s2kparams.0.as_ref().is_some_and(|parameters| parameters.0.0 != ITERATIONS) {
                    missing = "the KDC wants an unusual number of iterations";
                    continue;
                }
                let salt = match hint.salt.0.as_ref() {
                    Some(salt) => salt.0.0.as_bytes().to_vec(),
                    None => default_salt(principal),
                };
                let key = suite.cipher().generate_key_from_password(password.expose().as_bytes(), &salt);
                return Ok((suite, Zeroizing::new(key.map_err(malformed)?)));
            }
            LongTerm::Keytab(keytab) => match keytab.key(&principal.name, &principal.realm, usize::from(suite.clone()))
            {
                Some(key) => return Ok((suite, key)),
                None => missing = "the keytab has none of the type that the KDC wants",
            },
        }
    }
    Err(KerberosError::NoKey(principal.to_string(), missing))
}

/// RFC 4120 §4: the realm and the name's components.
fn default_salt(principal: &Principal) -> Vec<u8> {
    format!("{}{}", principal.realm, principal.name.replace('/', "")).into_bytes()
}

fn logon_error(error: &KrbError, principal: &Principal, secret: &LongTerm<'_>) -> KerberosError {
    let who = || principal.to_string();
    match error.0.error_code.0 {
        code::KDC_ERR_PREAUTH_FAILED | code::KRB_AP_ERR_BAD_INTEGRITY => {
            KerberosError::Refused(who(), secret.noun(), Rejection::Wrong)
        }
        code::KDC_ERR_CLIENT_REVOKED => KerberosError::Refused(who(), secret.noun(), Rejection::Locked),
        code::KDC_ERR_KEY_EXPIRED => KerberosError::Refused(who(), secret.noun(), Rejection::Expired),
        code::KDC_ERR_C_PRINCIPAL_UNKNOWN => {
            KerberosError::UnknownUser(principal.name.clone(), principal.realm.clone())
        }
        code::KDC_ERR_WRONG_REALM => {
            let named = error.0.crealm.0.as_ref().map_or_else(String::new, |realm| text(realm.0.0.as_bytes()));
            KerberosError::WrongRealm(principal.realm.clone(), named)
        }
        _ => other_error(error),
    }
}

fn service_error(error: &KrbError, service: &str) -> KerberosError {
    match error.0.error_code.0 {
        code::KDC_ERR_S_PRINCIPAL_UNKNOWN | code::KDC_ERR_SERVER_NOMATCH => {
            KerberosError::UnknownService(service.into())
        }
        _ => other_error(error),
    }
}

fn other_error(error: &KrbError) -> KerberosError {
    match error.0.error_code.0 {
        code::KRB_AP_ERR_SKEW => KerberosError::ClockSkew(skew(&error.0.stime.0)),
        number => {
            let words = error.0.e_text.0.as_ref().map(|words| format!(" ({})", text(words.0.0.as_bytes())));
            KerberosError::Other(number, words.unwrap_or_default())
        }
    }
}

fn skew(theirs: &GeneralizedTimeAsn1) -> String {
    let now = SystemTime::now();
    match time_of(theirs).map(|theirs| theirs.duration_since(now).unwrap_or_else(|early| early.duration())) {
        Some(apart) => format!("{} s", apart.as_secs()),
        None => "far".into(),
    }
}

/// Either kind of answer to a request.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<std::result::Result<T, KrbError>> {
    if bytes.first() == Some(&KRB_ERROR) {
        return Ok(Err(picky_asn1_der::from_bytes(bytes).map_err(malformed)?));
    }
    Ok(Ok(picky_asn1_der::from_bytes(bytes).map_err(malformed)?))
}

fn suite_of(kind: &IntegerAsn1) -> Option<CipherSuite> {
    // DES3 is known there, but nobody should use it.
    CipherSuite::try_from(kind.as_unsigned_bytes_be()).ok().filter(|suite| *suite != CipherSuite::Des3CbcSha1Kd)
}

fn time_of(time: &GeneralizedTimeAsn1) -> Option<SystemTime> {
    let time = &time.0;
    let part = |part: u8| i8::try_from(part).ok();
    let year = i16::try_from(time.year()).ok()?;
    let (hour, minute, second) = (part(time.hour())?, part(time.minute())?, part(time.second())?.min(59));
    let time = DateTime::new(year, part(time.month())?, part(time.day())?, hour, minute, second, 0).ok()?;
    time.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp().into())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Positive as a signed number, which some KDCs read.
fn random() -> Result<u32> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|error| KerberosError::Unreachable(format!("no randomness: {error}")))?;
    Ok(u32::from_be_bytes(bytes) & 0x7fff_ffff)
}
