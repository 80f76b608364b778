//! What somebody had set, as it may be shown: a proxy's address often holds a password.

/// The same without what stands before an `@` in each word.
pub fn without_account(value: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || c == '"' || c == '\'';
    value.split_inclusive(is_end).map(word).collect()
}

fn word(word: &str) -> String {
    // A password may hold an @ of its own.
    let Some((before, place)) = word.rsplit_once('@') else { return word.into() };
    let scheme = before.find("://").map_or(0, |at| at + "://".len());
    format!("{}…@{place}", &before[..scheme])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_user_and_password() {
        for (value, shown) in [
            ("http://p.test:8080", "http://p.test:8080"),
            ("\"http://alice:s3cr@t@p.test:8080\"", "\"http://…@p.test:8080\""),
            ("alice:x@p.test", "…@p.test"),
            ("export A='http://a:b@p'\nexport B=1", "export A='http://…@p'\nexport B=1"),
        ] {
            assert_eq!(without_account(value), shown);
        }
    }
}
