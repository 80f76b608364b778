//! `shExpMatch`: in name a shell pattern, in every browser a regular expression in disguise.
//!
//! Browsers turn `.`, `*` and `?` into `\.`, `.*` and `.` and hand the rest to `RegExp` as it is, so that scripts in
//! the field rely on `(a|b)` and `[0-9]`. Patterns without such characters are matched here, the others by the
//! engine's own `RegExp`.

use super::{Arg, Outcome, Value, World, arg};

pub fn sh_exp_match(args: &[Arg], _: &mut dyn World) -> Outcome {
    let pattern = arg(args, 1).needed("shExpMatch", "pattern")?;
    let text = arg(args, 0).text();
    if is_plain(pattern) && !text.contains(['\n', '\r']) && text.is_ascii() {
        return Ok(Value::Bool(matches(pattern.as_bytes(), text.as_bytes())));
    }
    Ok(Value::Matches(regular_expression(pattern)))
}

/// Nothing but characters that stand for themselves, `*` and `?`.
fn is_plain(pattern: &str) -> bool {
    pattern.is_ascii() && !pattern.contains(['\\', '^', '$', '+', '(', ')', '[', ']', '{', '}', '|', '\n', '\r'])
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
