//! One file with all certificates that are trusted: those of the system and some more.
//!
//! Most programs that can be told of a certificate take the file that is named in place of the system's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use thiserror::Error;

use super::Trust;
use super::files::write_private;

/// In the state directory.
const NAME: &str = "ca-bundle.pem";

/// Of the text between a certificate's first line and its last (RFC 7468).
const LINE: usize = 64;

#[derive(Debug, Error)]
pub enum BundleError {
    #[error("cannot read {}", .0.display())]
    Extra(PathBuf, #[source] io::Error),
    #[error("there is no certificate in {}: it must be PEM, with a line -----BEGIN CERTIFICATE-----", .0.display())]
    Empty(PathBuf),
    #[error(
        "the system's certificates cannot be read, and without them a file of all certificates would lock out the rest"
    )]
    System,
    #[error("there is no place for a file of all certificates: set HOME or XDG_STATE_HOME")]
    Nowhere,
    #[error("cannot write {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

/// Certificates of the person's besides the system's, as files.
#[derive(Debug)]
pub struct Certificates {
    extra: PathBuf,
    combined: PathBuf,
}

impl Certificates {
    /// The file that was named, in full, and one with the system's certificates as well.
    pub fn with(directory: Option<&Path>, extra: &Path) -> Result<Self, BundleError> {
        let extra = std::path::absolute(extra).map_err(|error| BundleError::Extra(extra.into(), error))?;
        Ok(Self { combined: write(directory, &extra)?, extra })
    }

    pub fn trust(&self) -> Trust<'_> {
        Trust { extra: &self.extra, combined: &self.combined }
    }
}

/// Writes it, or leaves it when it is right, and says where it is.
fn write(directory: Option<&Path>, extra: &Path) -> Result<PathBuf, BundleError> {
    let directory = directory.ok_or(BundleError::Nowhere)?;
    let further = fs::read(extra).map_err(|error| BundleError::Extra(extra.into(), error))?;
    let further = certificates(&further).ok_or_else(|| BundleError::Empty(extra.into()))?;
    let native = rustls_native_certs::load_native_certs().certs;
    if native.is_empty() {
        return Err(BundleError::System);
    }
    let text = combined(native.iter().chain(&further));
    let path = directory.join(NAME);
    if fs::read(&path).ok().as_deref() != Some(text.as_bytes()) {
        write_private(&path, text.as_bytes()).map_err(|error| BundleError::Write(path.clone(), error))?;
    }
    Ok(path)
}

/// `None`: there is none, or what stands there is none.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    read.ok().filter(|certificates| !certificates.is_empty())
}

/// Each once, in order.
fn combined<'a>(certificates: impl Iterator<Item = &'a CertificateDer<'static>>) -> String {
    let mut seen = std::collections::HashSet::new();
    certificates.filter(|certificate| seen.insert(certificate.to_vec())).map(pem).collect()
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for at in (0..text.len()).step_by(LINE) {
        pem += &text[at..text.len().min(at + LINE)];
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_certificates_stand_in_it_once_and_are_read_again() {
        let made = |name: &str| {
            let signed = rcgen::generate_simple_self_signed(vec![name.into()]).unwrap();
            CertificateDer::from(signed.cert.der().to_vec())
        };
        let (one, other) = (made("one.example"), made("other.example"));
        let text = combined([&one, &other, &one].into_iter());
        assert!(text.lines().all(|line| line.len() <= LINE), "{text}");
        assert_eq!(certificates(text.as_bytes()).unwrap(), [one, other]);
    }

    #[test]
    fn a_file_without_a_certificate_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("corp.der");
        fs::write(&file, b"0\x82").unwrap();
        let error = write(Some(directory.path()), &file).unwrap_err();
        assert!(matches!(error, BundleError::Empty(ref path) if *path == file), "{error}");
        let missing = directory.path().join("missing");
        assert!(matches!(write(Some(directory.path()), &missing).unwrap_err(), BundleError::Extra(..)));
        assert!(matches!(write(None, &file).unwrap_err(), BundleError::Nowhere));
    }
}
