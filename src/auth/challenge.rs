//! `Proxy-Authenticate` values → challenges (RFC 9110 §11.3, §11.6.1), however they are laid out.

use std::fmt;

use super::Scheme;

/// One challenge. Its scheme may be one we do not speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    pub scheme: String,
    /// The base64 token of NTLM and Negotiate, as it came.
    pub token: Option<String>,
    /// Names in lower case, values unquoted.
    pub params: Vec<(String, String)>,
}

impl Challenge {
    pub fn is(&self, scheme: Scheme) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme.token())
    }

    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// Its shape for a log, never its content.
impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.scheme)?;
        match &self.token {
            Some(token) => write!(f, " with a token of {} characters", token.len()),
            None if self.params.is_empty() => Ok(()),
            None => {
                let names: Vec<&str> = self.params.iter().map(|(name, _)| name.as_str()).collect();
                write!(f, " with {}", names.join(" "))
            }
        }
    }
}

/// All challenges of all field lines, in order. Never fails: what cannot be read is passed over, since one
/// odd challenge must not hide the good one beside it.
pub fn parse_all<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    for value in values {
        parse_line(&String::from_utf8_lossy(value), &mut challenges);
    }
    challenges
}

/// A list element is either `scheme`, `scheme token68`, `scheme name=value` or a further `name=value` of the
/// challenge before it: only what follows a word tells a scheme from a parameter.
fn parse_line(line: &str, challenges: &mut Vec<Challenge>) {
    let first = challenges.len();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        if rest.is_empty() {
            return;
        }
        let (word, after) = split_word(rest);
        if word.is_empty() {
            rest = skip_element(rest);
            continue;
        }
        if let Some((value, after)) = parse_value(after) {
            match challenges[first..].last_mut() {
                Some(challenge) => challenge.params.push((word.to_ascii_lowercase(), value)),
                None => tracing::debug!("a challenge begins with a parameter"),
            }
            rest = after;
            continue;
        }
        let mut challenge = Challenge { scheme: word.to_string(), token: None, params: Vec::new() };
        let blank = after.trim_start_matches([' ', '\t']);
        let (token, after_token) = split_token(blank);
        // The token ends the element; otherwise what looked like one is the first parameter's name.
        if blank.len() < after.len() && !token.is_empty() && ends_element(after_token) {
            challenge.token = Some(token.to_string());
            rest = after_token;
        } else {
            rest = after;
        }
        challenges.push(challenge);
    }
}

fn split_word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))).unwrap_or(text.len());
    text.split_at(end)
}

/// token68: `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`.
fn split_token(text: &str) -> (&str, &str) {
    let body = text.find(|c: char| !(c.is_ascii_alphanumeric() || "-._~+/".contains(c))).unwrap_or(text.len());
    let padding = text[body..].find(|c| c != '=').unwrap_or(text.len() - body);
    text.split_at(if body == 0 { 0 } else { body + padding })
}

fn ends_element(text: &str) -> bool {
    let text = text.trim_start_matches([' ', '\t']);
    text.is_empty() || text.starts_with(',')
}

/// `BWS "=" BWS ( token / quoted-string )`; an unquoted value may hold what tokens may not, up to the comma.
fn parse_value(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start_matches([' ', '\t']).strip_prefix('=')?;
    let text = text.trim_start_matches([' ', '\t']);
    if let Some(quoted) = text.strip_prefix('"') {
        return Some(unquote(quoted));
    }
    if text.is_empty() || text.starts_with(['=', ',']) {
        return None;
    }
    let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
    Some((text[..end].to_string(), &text[end..]))
}

fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

fn skip_element(text: &str) -> &str {
    text.find(',').map_or("", |at| &text[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(lines: &[&str]) -> String {
        parse_all(lines.iter().map(|line| line.as_bytes()))
            .iter()
            .map(|c| format!("{}[{}]{:?}", c.scheme, c.token.as_deref().unwrap_or(""), c.params))
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn challenges_are_read_in_every_layout() {
        for (lines, expected) in [
            (&["NTLM"][..], "NTLM[][]"),
            (
                &["Negotiate", "NTLM", "Basic realm=\"a, b\""][..],
                "Negotiate[][] NTLM[][] Basic[][(\"realm\", \"a, b\")]",
            ),
            (&["Negotiate, NTLM, Basic realm=x"][..], "Negotiate[][] NTLM[][] Basic[][(\"realm\", \"x\")]"),
            (&["NTLM TlRMTVNTUAACAAAA=="][..], "NTLM[TlRMTVNTUAACAAAA==][]"),
            (&["NTLM TlRM=, Basic realm=\"q\""][..], "NTLM[TlRM=][] Basic[][(\"realm\", \"q\")]"),
            (
                &["Digest realm=\"r\", nonce=\"n=\", qop=\"auth,auth-int\", stale=TRUE, algorithm=MD5"][..],
                "Digest[][(\"realm\", \"r\"), (\"nonce\", \"n=\"), (\"qop\", \"auth,auth-int\"), (\"stale\", \"TRUE\"), (\"algorithm\", \"MD5\")]",
            ),
            (
                &["Basic realm = \"a \\\"b\\\"\" , charset=\"UTF-8\",,NTLM"][..],
                "Basic[][(\"realm\", \"a \\\"b\\\"\"), (\"charset\", \"UTF-8\")] NTLM[][]",
            ),
            (&["Basic realm=\"open"][..], "Basic[][(\"realm\", \"open\")]"),
            (&["Digest REALM=r"][..], "Digest[][(\"realm\", \"r\")]"),
            (&["", " , "][..], ""),
            (&["=x, NTLM"][..], "NTLM[][]"),
            (&["realm=\"x\", NTLM"][..], "NTLM[][]"),
        ] {
            assert_eq!(shown(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn any_prefix_is_read_without_panic() {
        let line = "Negotiate oRUwE6ADCgEDoQwGCisGAQQBgjcCAgo=, Digest realm=\"\u{e9}\\\"x\", nonce=abc==, NTLM";
        for end in 0..=line.len() {
            parse_all([&line.as_bytes()[..end]]);
        }
    }
}
