//! Text → a string literal of any ECMAScript, with nothing in it that ends it early.

use std::fmt::Write;

/// All but plain ASCII is written as escapes: line ends of every kind, quotes, and what HTML would take for its own.
pub fn string(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ b' '..=b'~') if !b"\"\\<>&'".contains(&byte) => literal.push(char::from(byte)),
            Ok(b'"') => literal.push_str("\\\""),
            Ok(b'\\') => literal.push_str("\\\\"),
            Ok(b'\n') => literal.push_str("\\n"),
            _ => {
                let _ = write!(literal, "\\u{unit:04x}");
            }
        }
    }
    literal.push('"');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_literal_but_its_end() {
        for (text, literal) in [
            ("", r#""""#),
            ("*.corp.example", r#""*.corp.example""#),
            ("\";alert(1)//", r#""\";alert(1)//""#),
            ("\\\"", r#""\\\"""#),
            ("a\r\nb\u{2028}\u{2029}\0", r#""a\u000d\nb\u2028\u2029\u0000""#),
            ("</script>", r#""\u003c/script\u003e""#),
            ("\u{e4}\u{1f600}", r#""\u00e4\ud83d\ude00""#),
        ] {
            assert_eq!(string(text), literal);
        }
    }
}
