//! `shExpMatch`: in name a shell pattern, in every browser a regular expression in disguise.
//!
//! Browsers turn `.`, `*` and `?` into `\.`, `.*` and `.` and hand the rest to `RegExp` as it is, so that scripts in
//! the field rely on `(a|b)` and `[0-9]`. Patterns without such characters are matched here, the others by the
//! engine's own `RegExp`.

use super::{Arg, Outcome, Value, World, arg};

pub fn sh_exp_match(args: &[Arg], _: &mut dyn World) -> Outcome {
    let pattern = arg(args, 1).needed("shExpMatch", "pattern")?;
    let text = arg(args, 0).text();
    if pattern.bytes().all(is_plain) && text.bytes().all(|byte| byte.is_ascii() && !is_line_end(byte)) {
        return Ok(Value::Bool(matches(pattern.as_bytes(), text.as_bytes())));
    }
    Ok(Value::Matches(regular_expression(pattern)))
}

/// Stands for itself, or is `*` or `?`.
fn is_plain(byte: u8) -> bool {
    let special = matches!(byte, b'\\' | b'^' | b'$' | b'+' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'|');
    byte.is_ascii() && !special && !is_line_end(byte)
}

/// What the `.` of a regular expression does not stand for.
fn is_line_end(byte: u8) -> bool {
    byte == b'\n' || byte == b'\r'
}

fn regular_expression(pattern: &str) -> String {
    let inner = pattern.replace('.', "\\.").replace('*', ".*").replace('?', ".");
    format!("^{inner}$")
}

/// Remembers the last `*` only: a later one can take over whatever an earlier one could have matched.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((after, taken)) = star else { return false };
                star = Some((after, taken + 1));
                p = after;
                t = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}
