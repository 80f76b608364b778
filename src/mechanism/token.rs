//! Tokens as they stand in header fields: `Negotiate YII…`.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::auth::{Challenge, MechanismError, Scheme};
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
