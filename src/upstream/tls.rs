//! TLS to an `https://` upstream, and what its certificate gives to channel bindings (RFC 5929 §4).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use sha2::{Digest, Sha256, Sha384, Sha512};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::address::{Host, Target};
use crate::auth::ChannelBinding;

#[derive(Debug, Error)]
pub enum TlsError {
    #[error("cannot read certificates from {}", .0.display())]
    File(PathBuf, #[source] rustls::pki_types::pem::Error),
    #[error("no certificate in {}", .0.display())]
    Empty(PathBuf),
    #[error("the client certificate does not fit its key")]
    ClientCertificate(#[source] rustls::Error),
    #[error("the TLS library refuses its own settings")]
    Settings(#[source] rustls::Error),
    #[error("the system's certificates could not be read")]
    Trust,
    #[error("{0} cannot stand in a certificate")]
    Name(String),
    #[error("no TLS connection to {0}")]
    Handshake(Target, #[source] io::Error),
}

/// What a failure comes down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsTrouble {
    /// Nobody whom we trust has signed its certificate.
    UnknownAuthority,
    /// Its certificate is for another name.
    WrongName,
    /// What it sent is no TLS.
    NotSpoken,
    Other,
}

impl TlsError {
    pub fn trouble(&self) -> TlsTrouble {
        let Self::Handshake(_, error) = self else { return TlsTrouble::Other };
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => TlsTrouble::UnknownAuthority,
            Some(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => TlsTrouble::WrongName,
            Some(rustls::Error::InvalidMessage(_)) => TlsTrouble::NotSpoken,
            Some(_) | None => TlsTrouble::Other,
        }
    }
}

/// Where trust in an upstream comes from, and who we are to it.
#[derive(Debug, Clone, Default)]
pub struct TlsOptions {
    pub ca_file: Option<PathBuf>,
    pub client_cert: Option<(PathBuf, PathBuf)>,
}

#[derive(Clone)]
pub struct Tls(Arc<OnceCell<TlsConnector>>);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    pub fn new(options: &TlsOptions) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(OnceCell::new_with(Some(connector(options)?)))))
    }

    /// What the system trusts, read when it is first needed.
    pub fn system() -> Self {
        Self(Arc::new(OnceCell::new()))
    }

    pub async fn connect<S>(&self, target: &Target, stream: S) -> Result<TlsStream<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = server_name(target)?;
        // Reading some hundred certificates takes long enough to hold others up.
        let read = || async {
            let made = tokio::task::spawn_blocking(|| connector(&TlsOptions::default())).await;
            made.unwrap_or(Err(TlsError::Trust))
        };
        let connector = self.0.get_or_try_init(read).await?;
        connector.connect(name, stream).await.map_err(|error| TlsError::Handshake(target.clone(), error))
    }
}

/// Whom the other side's certificate must name.
pub(super) fn server_name(target: &Target) -> Result<ServerName<'static>, TlsError> {
    match &target.host {
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| TlsError::Name(name.clone())),
        Host::Ip(ip) => Ok(ServerName::from(*ip)),
    }
}

fn connector(options: &TlsOptions) -> Result<TlsConnector, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Settings)?
        .with_root_certificates(roots(options.ca_file.as_deref())?);
    let config = match &options.client_cert {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(|e| TlsError::File(key.clone(), e))?;
            builder.with_client_auth_cert(certificates(certificate)?, key).map_err(TlsError::ClientCertificate)?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// What the system trusts, and the extra file. A broken certificate among the system's is not our business.
pub(super) fn roots(extra: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "some of the system's certificates could not be read");
    }
    store.add_parsable_certificates(native.certs);
    if let Some(file) = extra {
        store.add_parsable_certificates(certificates(file)?);
    }
    Ok(store)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = |error| TlsError::File(file.to_path_buf(), error);
    let all = CertificateDer::pem_file_iter(file).map_err(read)?.collect::<Result<Vec<_>, _>>().map_err(read)?;
    if all.is_empty() { Err(TlsError::Empty(file.to_path_buf())) } else { Ok(all) }
}

/// `tls-server-end-point`: the certificate hashed with its signature's hash, SHA-256 in place of MD5 and SHA-1.
/// A signature whose hash is not defined by RFC 5929 (Ed25519) gives none.
pub fn server_end_point(stream: &TlsStream<TcpStream>) -> Option<ChannelBinding> {
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    end_point_of(certificate)
}

fn end_point_of(certificate: &[u8]) -> Option<ChannelBinding> {
    Some(match signature_hash(certificate)? {
        Hash::Sha256 => Sha256::digest(certificate).to_vec(),
        Hash::Sha384 => Sha384::digest(certificate).to_vec(),
        Hash::Sha512 => Sha512::digest(certificate).to_vec(),
    })
}

enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

fn signature_hash(certificate: &[u8]) -> Option<Hash> {
    // Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { OID, … }, … } (RFC 5280 §4.1)
    let (body, _) = der(certificate, 0x30)?;
    let (_, after_tbs) = der(body, 0x30)?;
    let (algorithm, _) = der(after_tbs, 0x30)?;
    let (oid, _) = der(algorithm, 0x06)?;
    match oid {
        // md5, sha1, sha256 WithRSAEncryption (RFC 8017); ecdsa-with-SHA1, -SHA256 (RFC 5758)
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04 | 0x05 | 0x0b]
        | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01]
        | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02] => Some(Hash::Sha256),
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c] | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03] => {
            Some(Hash::Sha384)
        }
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d] | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04] => {
            Some(Hash::Sha512)
        }
        // RSASSA-PSS: the hash stands in the parameters; the one that is met is SHA-256 (RFC 8017 §A.2.3).
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a] => Some(Hash::Sha256),
        _ => None,
    }
}

/// The contents of one DER element with this tag, and what follows it.
pub(super) fn der(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match *length {
        short @ 0..=0x7f => (usize::from(short), rest),
        long => {
            let count = usize::from(long & 0x7f);
            let (digits, rest) = rest.split_at_checked(count)?;
            if count == 0 || count > 4 {
                return None;
            }
            (digits.iter().fold(0, |sum, digit| (sum << 8) | usize::from(*digit)), rest)
        }
    };
    (*first == tag).then(|| rest.split_at_checked(length)).flatten()
}
