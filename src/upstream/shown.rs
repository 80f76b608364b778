//! What certificate the other side of a connection shows, and who signed it. Nothing is ever sent behind the handshake.

use std::sync::{Arc, Mutex, PoisonError};

use picky_asn1_x509::Name;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::tls::{TlsError, der, roots, server_name};
use crate::address::Target;

/// The extension that lists signed certificate timestamps (RFC 6962 §3.3), as it stands in a certificate.
const TIMESTAMPS: [u8; 12] = [0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xd6, 0x79, 0x02, 0x04, 0x02];

/// What this system thinks of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    Trusted,
    /// Nobody whom it trusts has signed it.
    UnknownIssuer,
    /// It is meant for other names.
    OtherName,
    /// It is not valid yet, or not any more.
    OutOfTime,
    Otherwise(String),
}

#[derive(Debug, Clone)]
pub struct Shown {
    /// As it came, the server's own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    pub trust: Trust,
    /// The system's own certificate of whoever signed the last one of the chain, where it has one.
    pub root: Option<CertificateDer<'static>>,
}

impl Shown {
    /// Who signed the server's certificate.
    pub fn issuer(&self) -> String {
        let issuer = self.chain.first().and_then(|first| names(first)).map(|(issuer, _)| pretty(issuer));
        issuer.unwrap_or_else(|| "somebody who cannot be read".into())
    }

    /// Every public authority writes where it has logged a certificate; a company's own never does.
    pub fn is_of_public_authority(&self) -> bool {
        self.chain.first().is_some_and(|first| first.windows(TIMESTAMPS.len()).any(|bytes| bytes == TIMESTAMPS))
    }

    /// Whether the authority that everything stands on is among them: most programs trust nothing less.
    pub fn is_complete(&self) -> bool {
        let signs_itself = |one: &&CertificateDer<'_>| names(one).is_some_and(|(issuer, subject)| issuer == subject);
        self.authorities().last().is_some_and(signs_itself)
    }

    /// The authorities of the chain, the root included where it is known: whoever trusts these trusts the server. A
    /// certificate that signs itself is all there is.
    pub fn authorities(&self) -> Vec<&CertificateDer<'static>> {
        let above = self.chain.iter().skip(usize::from(self.chain.len() > 1));
        let known = self.root.iter().filter(|root| !self.chain.contains(root));
        above.chain(known).collect()
    }
}

/// Shakes hands as far as it takes to see the certificate.
pub async fn look<S>(target: &Target, stream: S) -> Result<Shown, TlsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = server_name(target)?;
    let made = tokio::task::spawn_blocking(connector).await.unwrap_or(Err(TlsError::Trust));
    let (connector, witness) = made?;
    let outcome = connector.connect(name, stream).await.map(drop);
    let seen = witness.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (seen, outcome) {
        (Some((chain, trust)), _) => {
            Ok(Shown { root: chain.last().and_then(|last| witness.signer_of(last)), chain, trust })
        }
        (None, Err(error)) => Err(TlsError::Handshake(target.clone(), error)),
        // A session that was resumed shows none, and there is none to resume.
        (None, Ok(())) => Err(TlsError::Trust),
    }
}

fn connector() -> Result<(TlsConnector, Arc<Witness>), TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::new(roots(None)?);
    let native = rustls_native_certs::load_native_certs().certs;
    // Without a single authority nobody is trusted, and the chain is still there to be seen.
    let judge = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build().ok();
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let witness = Arc::new(Witness { judge, schemes, native, seen: Mutex::default() });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Settings)?
        .dangerous()
        .with_custom_certificate_verifier(witness.clone());
    Ok((TlsConnector::from(Arc::new(builder.with_no_client_auth())), witness))
}

/// Keeps what it is shown, and lets nothing through that the system would not.
#[derive(Debug)]
struct Witness {
    judge: Option<Arc<WebPkiServerVerifier>>,
    schemes: Vec<SignatureScheme>,
    native: Vec<CertificateDer<'static>>,
    seen: Mutex<Option<(Vec<CertificateDer<'static>>, Trust)>>,
}

impl Witness {
    fn judge(&self) -> Result<&Arc<WebPkiServerVerifier>, rustls::Error> {
        self.judge.as_ref().ok_or(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }

    fn signer_of(&self, last: &CertificateDer<'_>) -> Option<CertificateDer<'static>> {
        let (issuer, _) = names(last)?;
        self.native.iter().find(|known| names(known).is_some_and(|(_, subject)| subject == issuer)).cloned()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let judged = self
            .judge()
            .and_then(|judge| judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now));
        let chain = std::iter::once(end_entity).chain(intermediates).map(|one| one.clone().into_owned()).collect();
        let trust = judged.as_ref().err().map_or(Trust::Trusted, trust_of);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((chain, trust));
        judged
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge()?.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge()?.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

fn trust_of(error: &rustls::Error) -> Trust {
    if let rustls::Error::InvalidCertificate(problem) = error {
        if matches!(problem, CertificateError::UnknownIssuer) {
            return Trust::UnknownIssuer;
        }
        if matches!(problem, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) {
            return Trust::OtherName;
        }
        let times = [CertificateError::Expired, CertificateError::NotValidYet];
        let in_context =
            matches!(problem, CertificateError::ExpiredContext { .. } | CertificateError::NotValidYetContext { .. });
        if in_context || times.contains(problem) {
            return Trust::OutOfTime;
        }
    }
    Trust::Otherwise(error.to_string())
}

/// Issuer and subject of a certificate, each as its own DER element (RFC 5280 §4.1).
fn names(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let (body, _) = der(certificate, 0x30)?;
    let (tbs, _) = der(body, 0x30)?;
    // The version may be left out.
    let after_version = der(tbs, 0xa0).map_or(tbs, |(_, rest)| rest);
    let (_, after_serial) = der(after_version, 0x02)?;
    let (_, after_algorithm) = der(after_serial, 0x30)?;
    let (issuer, after_issuer) = element(after_algorithm)?;
    let (_, after_validity) = der(after_issuer, 0x30)?;
    let (subject, _) = element(after_validity)?;
    Some((issuer, subject))
}

/// A sequence with its head, and what follows it.
fn element(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, rest) = der(bytes, 0x30)?;
    Some((bytes.get(..bytes.len() - rest.len())?, rest))
}

/// What people know an authority by.
fn pretty(name: &[u8]) -> String {
    match picky_asn1_der::from_bytes::<Name>(name) {
        Ok(name) => match name.find_common_name() {
            Some(common) => common.to_string(),
            None => name.to_string(),
        },
        Err(_) => "somebody whose name cannot be read".into(),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    /// A server's certificate and that of the authority that signed it.
    fn chain() -> Vec<CertificateDer<'static>> {
        let authority_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::OrganizationName, "Corp");
        authority.distinguished_name.push(DnType::CommonName, "Corp Inspection CA");
        let root = authority.self_signed(&authority_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec!["origin.test".to_string()]).unwrap();
        let server = server.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
        vec![server.der().clone(), root.der().clone()]
    }

    #[test]
    fn the_issuer_is_named_and_the_authorities_are_what_is_to_be_trusted() {
        let chain = chain();
        let shown = Shown { chain: chain.clone(), trust: Trust::UnknownIssuer, root: None };
        assert_eq!((shown.issuer().as_str(), shown.is_of_public_authority()), ("Corp Inspection CA", false));
        assert_eq!(shown.authorities(), [&chain[1]]);
        assert!(shown.is_complete());
        let (alone, root) = (vec![chain[0].clone()], Some(chain[1].clone()));
        let known = Shown { chain: alone.clone(), trust: Trust::Trusted, root };
        assert_eq!(known.authorities(), [&chain[0], &chain[1]]);
        let unknown = Shown { root: None, ..known };
        assert!(!unknown.is_complete());
    }

    #[test]
    fn what_is_no_certificate_has_no_names() {
        for bytes in [&b""[..], b"\x30\x80", &[0x30; 40], &chain()[0][..60]] {
            assert_eq!(names(bytes), None);
        }
    }
}
