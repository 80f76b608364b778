//! Rust as tokens, and the paths that stand in it.

/// An identifier, `::`, one character, or a literal as it stands there. Comments are left out.
#[derive(Debug, Clone)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

impl Token {
    pub fn is(&self, text: &str) -> bool {
        self.text == text
    }
}

/// Without literals.
pub fn tokens(text: &str) -> Vec<Token> {
    let is_literal = |token: &Token| token.text.len() > 1 && token.text.ends_with(['"', '\'', '#']);
    lexed(text).into_iter().filter(|token| !is_literal(token)).collect()
}

pub fn lexed(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let starts_with = |at: usize, word: &str| word.chars().enumerate().all(|(n, c)| chars.get(at + n) == Some(&c));
    let (mut list, mut at, mut line) = (Vec::new(), 0, 1);
    while at < chars.len() {
        let begin = at;
        if starts_with(at, "//") {
            at = (at..chars.len()).find(|n| chars[*n] == '\n').unwrap_or(chars.len());
        } else if starts_with(at, "/*") {
            let mut open = 0;
            loop {
                match () {
                    () if starts_with(at, "/*") => (open, at) = (open + 1, at + 2),
                    () if starts_with(at, "*/") => (open, at) = (open - 1, at + 2),
                    () => at += 1,
                }
                if open == 0 || at >= chars.len() {
                    break;
                }
            }
        } else if let Some(end) = literal(&chars, at) {
            at = end;
            list.push(Token { text: chars[begin..at].iter().collect(), line });
        } else if chars[at].is_alphanumeric() || chars[at] == '_' {
            at = (at..chars.len()).find(|n| !(chars[*n].is_alphanumeric() || chars[*n] == '_')).unwrap_or(chars.len());
            list.push(Token { text: chars[begin..at].iter().collect(), line });
        } else if starts_with(at, "::") {
            at += 2;
            list.push(Token { text: "::".into(), line });
        } else {
            at += 1;
            if !chars[begin].is_whitespace() {
                list.push(Token { text: chars[begin].into(), line });
            }
        }
        line += chars[begin..at.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    list
}

/// Where the string or character that begins here ends.
fn literal(chars: &[char], at: usize) -> Option<usize> {
    let prefix = chars[at..].iter().take_while(|c| matches!(c, 'b' | 'c' | 'r')).count();
    let hashes = chars[at + prefix..].iter().take_while(|c| **c == '#').count();
    let raw = prefix > 0 && chars[at + prefix - 1] == 'r';
    let quote = *chars.get(at + prefix + hashes)?;
    let first = at + prefix + hashes + 1;
    match quote {
        '"' if raw => {
            let closes =
                |n: &usize| chars[*n] == '"' && chars[n + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
            (first..chars.len()).find(closes).map(|n| n + 1 + hashes)
        }
        '"' if hashes == 0 && prefix <= 1 => closing_quote(chars, first, '"'),
        // A lifetime has no second quote right after its first letter.
        '\'' if hashes == 0 && (chars.get(first) == Some(&'\\') || chars.get(first + 1) == Some(&'\'')) => {
            closing_quote(chars, first, '\'')
        }
        _ => None,
    }
}

fn closing_quote(chars: &[char], mut at: usize, quote: char) -> Option<usize> {
    while *chars.get(at)? != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    Some(at + 1)
}

/// The place after the bracket that closes the one at `open`.
pub fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

pub fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let marker = ["#", "[", "cfg", "(", "test", ")", "]"];
        let marked = marker.iter().enumerate().all(|(n, word)| tokens.get(at + n).is_some_and(|token| token.is(word)));
        if !marked {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let end = tokens[at + marker.len()..].iter().position(|token| token.is("{") || token.is(";"));
        at = end.map_or(tokens.len(), |end| closing(&tokens, at + marker.len() + end));
    }
    kept
}

/// A path with at least two segments, or one that `use` brings in.
pub struct Found {
    pub path: Vec<String>,
    pub line: usize,
    /// How many `mod { }` of the file it stands in.
    pub within: usize,
}

pub fn paths(tokens: &[Token]) -> Vec<Found> {
    let (mut list, mut at, mut ends) = (Vec::new(), 0, Vec::new());
    while at < tokens.len() {
        ends.retain(|end| *end > at);
        let next = tokens.get(at + 1);
        if tokens[at].is("mod") && tokens.get(at + 2).is_some_and(|token| token.is("{")) {
            ends.push(closing(tokens, at + 2));
            at += 1;
        } else if tokens[at].is("use") && next.is_some_and(|next| !next.is("<")) {
            at = use_tree(tokens, at + 1, &[], ends.len(), &mut list);
        } else if next.is_some_and(|next| next.is("::")) && is_name(&tokens[at]) {
            let (line, mut path) = (tokens[at].line, vec![tokens[at].text.clone()]);
            while tokens.get(at + 1).is_some_and(|token| token.is("::")) && tokens.get(at + 2).is_some_and(is_name) {
                path.push(tokens[at + 2].text.clone());
                at += 2;
            }
            list.push(Found { path, line, within: ends.len() });
            at += 1;
        } else {
            at += 1;
        }
    }
    list
}

fn is_name(token: &Token) -> bool {
    token.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Reads `a::{b, c::d as e}` and gives the place after it.
fn use_tree(tokens: &[Token], mut at: usize, before: &[String], within: usize, list: &mut Vec<Found>) -> usize {
    let mut path = before.to_vec();
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "::" => at += 1,
            "{" => {
                let end = closing(tokens, at);
                at += 1;
                while at < end - 1 {
                    at = use_tree(tokens, at, &path, within, list);
                    at += usize::from(tokens.get(at).is_some_and(|token| token.is(",")));
                }
                return end;
            }
            "as" => at += 2,
            "self" if !path.is_empty() => at += 1,
            _ if token.is("*") || is_name(token) => {
                path.push(token.text.clone());
                at += 1;
            }
            _ => break,
        }
    }
    let line = tokens.get(at.saturating_sub(1)).map_or(0, |token| token.line);
    list.push(Found { path, line, within });
    at
}
