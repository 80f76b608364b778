//! Values that must not be seen: wiped when dropped, never printed.

use std::fmt;

use zeroize::Zeroizing;

/// A password, a hash, a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The only way to the text; each call is a place to look at in a review.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// The value of a `Proxy-Authorization` field (RFC 9110 §11.7.2), ready to be written.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(Zeroizing<Vec<u8>>);

impl Credentials {
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[credentials]")
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn debug_output_never_shows_a_secret() {
        assert_eq!(
            format!("{:?} {:?}", Secret::new("hunter2"), Credentials::new("Basic aHVudGVyMg==")),
            "[secret] [credentials]"
        );
    }

    #[test]
    fn a_panic_does_not_quote_a_secret() {
        let said = |panic: fn()| {
            let payload = std::panic::catch_unwind(panic).unwrap_err();
            payload.downcast_ref::<String>().cloned().unwrap()
        };
        let texts = [
            said(|| black_box(Err::<(), _>(Secret::new("hunter2"))).unwrap()),
            said(|| black_box(Err::<(), _>(Credentials::new("Basic hunter2"))).expect("a login")),
            said(|| assert_eq!(Secret::new("hunter2"), Secret::new("hunter3"))),
        ];
        for text in texts {
            assert!(text.contains("[secret]") || text.contains("[credentials]"), "{text}");
            assert!(!text.contains("hunter"), "{text}");
        }
    }
}
