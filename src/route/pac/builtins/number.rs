//! How JavaScript makes numbers of texts.

use super::Arg;

/// `Number(argument)`.
pub fn to_number(argument: &Arg) -> f64 {
    match argument {
        Arg::Undefined => f64::NAN,
        Arg::Null => 0.0,
        Arg::Bool(value) => f64::from(u8::from(*value)),
        Arg::Number(value) => *value,
        Arg::Text(text) | Arg::Object(text) => text_to_number(text),
    }
}

fn text_to_number(text: &str) -> f64 {
    let text = text.trim();
    let radix = |prefix: &str, radix| {
        let digits = text.strip_prefix(prefix)?;
        Some(u64::from_str_radix(digits, radix).map_or(f64::NAN, |value| value as f64))
    };
    let prefixed = radix("0x", 16).or_else(|| radix("0X", 16)).or_else(|| radix("0o", 8)).or_else(|| radix("0b", 2));
    match prefixed {
        Some(value) => value,
        None if text.is_empty() => 0.0,
        // Rust also reads "inf" and "nan", JavaScript only these characters (and "Infinity", which no PAC means).
        None if !text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) => f64::NAN,
        None => text.parse().unwrap_or(f64::NAN),
    }
}

/// `text | 0`.
pub fn to_int32(text: &str) -> i32 {
    let value = text_to_number(text);
    if !value.is_finite() {
        return 0;
    }
    (value.trunc() % 4_294_967_296.0) as i64 as i32
}

/// `parseInt(argument)`: the digits at the beginning, whatever follows.
pub fn parse_int(argument: &Arg) -> Option<i32> {
    let text = argument.text();
    let text = text.trim_start();
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    };
    let end = digits.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    // Longer than any year: kept within what a calendar can hold.
    digits[..end].parse::<i64>().ok().map(|value| sign * value.min(1_000_000) as i32)
}
