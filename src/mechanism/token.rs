//! Tokens as they stand in header fields: `Negotiate YII…`.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::auth::{Challenge, Lack, Lacking, Leg, Mechanism, MechanismError, RequestLine, Scheme, spnego};
use crate::secret::Credentials;

/// Some servers leave the padding out, or bits in the last digit.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

pub(super) fn token_of(challenge: Option<&Challenge>) -> Result<Option<Vec<u8>>, MechanismError> {
    let Some(text) = challenge.and_then(|challenge| challenge.token.as_deref()) else { return Ok(None) };
    match LENIENT.decode(text) {
        Ok(token) => Ok(Some(token)),
        Err(error) => Err(MechanismError::BadChallenge(format!("the upstream's token is not base64: {error}"))),
    }
}

pub(super) fn credentials(scheme: Scheme, token: &[u8]) -> Credentials {
    let mut value = Zeroizing::new(String::with_capacity(scheme.token().len() + 1 + token.len().div_ceil(3) * 4));
    value.push_str(scheme.token());
    value.push(' ');
    STANDARD.encode_string(token, &mut value);
    Credentials::new(std::mem::take(&mut *value))
}

/// Kerberos without mutual authentication: one token is the whole handshake, and whatever the upstream says to
/// it, there is nothing to add.
pub(super) struct OneToken(Option<Credentials>);

impl OneToken {
    /// Offered as browsers do it, in SPNEGO and under both names.
    pub(super) fn kerberos(token: &[u8]) -> Self {
        let offer = spnego::initial(&[spnego::KERBEROS, spnego::MS_KERBEROS], token);
        Self(Some(credentials(Scheme::Negotiate, &offer)))
    }
}

impl Mechanism for OneToken {
    fn step(&mut self, _: &RequestLine, _: Option<&Challenge>) -> Result<Leg, MechanismError> {
        match self.0.take() {
            Some(credentials) => Ok(Leg { credentials, proves_secret: false }),
            None => {
                let why = "the upstream did not take the Kerberos ticket";
                Err(MechanismError::Unavailable(Lacking::new(Lack::Service, why)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(token: &str) -> Challenge {
        Challenge { scheme: "Negotiate".into(), token: Some(token.into()), params: Vec::new() }
    }

    #[test]
    fn tokens_are_read_with_and_without_padding() {
        for text in ["TlRMTQ==", "TlRMTQ", "TlRMTR=="] {
            assert_eq!(token_of(Some(&challenge(text))).unwrap().as_deref(), Some(&b"NTLM"[..]), "{text}");
        }
        assert_eq!(token_of(None), Ok(None));
        assert!(matches!(token_of(Some(&challenge("a.b~"))), Err(MechanismError::BadChallenge(_))));
    }

    #[test]
    fn a_large_token_stands_in_one_value_and_only_once() {
        let request = RequestLine { method: "CONNECT".into(), uri: "h:443".into() };
        let mut mechanism = OneToken::kerberos(&[7; 48 * 1024]);
        let leg = mechanism.step(&request, None).unwrap();
        assert!(leg.credentials.expose().starts_with(b"Negotiate YI"));
        assert!(leg.credentials.expose().len() > 64 * 1024);
        assert!(!leg.proves_secret);
        assert!(matches!(mechanism.step(&request, Some(&challenge("oQ=="))), Err(MechanismError::Unavailable(_))));
    }
}
