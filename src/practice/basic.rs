//! Basic (RFC 7617), the verifying side.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::account::Accounts;

/// The account whose password these credentials hold.
pub(super) fn verify(accounts: &Accounts, token: &str) -> Option<String> {
    let pair = String::from_utf8(STANDARD.decode(token.trim()).ok()?).ok()?;
    let (user, password) = pair.split_once(':')?;
    let account = accounts.find_named(user)?;
    (account.password.expose() == password).then(|| account.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::practice::Account;

    #[test]
    fn the_password_may_hold_colons_and_umlauts_and_must_be_exact() {
        let accounts = Accounts::new([Account::new("P", "alice", "a:b\u{fc}")]);
        let token = |pair: &str| STANDARD.encode(pair);
        assert_eq!(verify(&accounts, &token("alice:a:b\u{fc}")).as_deref(), Some("P\\alice"));
        for wrong in ["alice:a:b", "alice:", "alice", "bob:a:b\u{fc}"] {
            assert_eq!(verify(&accounts, &token(wrong)), None, "{wrong}");
        }
        assert_eq!(verify(&accounts, "%"), None);
    }
}
