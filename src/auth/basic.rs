//! Basic (RFC 7617): user-id and password in UTF-8.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{Challenge, Leg, Mechanism, MechanismError, RequestLine};
use crate::secret::{Credentials, Secret};

const PREFIX: &str = "Basic ";

pub struct Basic {
    user: String,
    password: Secret,
}

impl Basic {
    /// A colon in the user-id cannot be told from the separator (RFC 7617 §2).
    pub fn new(user: &str, password: Secret) -> Result<Self, MechanismError> {
        if user.contains(':') {
            return Err(MechanismError::Unavailable("Basic cannot carry a user name with a colon".into()));
        }
        Ok(Self { user: user.into(), password })
    }
}

impl Mechanism for Basic {
    fn step(&mut self, _: &RequestLine, _: Option<&Challenge>) -> Result<Leg, MechanismError> {
        // All room at once: growing would leave copies behind that are not wiped.
        let mut pair = Zeroizing::new(String::with_capacity(self.user.len() + 1 + self.password.expose().len()));
        pair.extend([&self.user, ":", self.password.expose()]);
        let mut value = String::with_capacity(PREFIX.len() + pair.len().div_ceil(3) * 4);
        value.push_str(PREFIX);
        STANDARD.encode_string(pair.as_bytes(), &mut value);
        Ok(Leg { credentials: Credentials::new(value), proves_secret: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_go_out_as_utf_8() {
        let request = RequestLine { method: "CONNECT".into(), uri: "h:1".into() };
        let leg = Basic::new("test", Secret::new("123\u{a3}")).unwrap().step(&request, None).unwrap();
        // The example of RFC 7617 §2.1.
        assert_eq!(leg.credentials.expose(), b"Basic dGVzdDoxMjPCow==");
        assert!(leg.proves_secret);
    }

    #[test]
    fn a_colon_in_the_user_name_is_refused() {
        assert!(Basic::new("a:b", Secret::new("x")).is_err());
    }
}
