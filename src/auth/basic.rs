//! Basic (RFC 7617): user-id and password in UTF-8.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{Challenge, Leg, Mechanism, MechanismError, RequestLine};
use crate::secret::{Credentials, Secret};

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
        let pair = Zeroizing::new(format!("{}:{}", self.user, self.password.expose()));
        let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
        Ok(Leg { credentials: Credentials::new(format!("Basic {}", *encoded)), proves_secret: true })
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
