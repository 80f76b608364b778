//! Bytes of a PAC file → text, whatever editor and server they went through.
//!
//! In this order: a byte order mark; UTF-16 that betrays itself by its zeros; the charset of `Content-Type`; UTF-8
//! where it is well formed; Windows-1252. A wrong charset in the header is common (servers stamp every file with
//! theirs), so UTF-8 that is well formed and not plain ASCII wins over a single-byte charset that is named there.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// How many bytes are looked at for the zeros of UTF-16.
const SAMPLE: usize = 1024;

/// Never fails: bytes without meaning become U+FFFD, which a script can hold in its comments.
pub fn decode(bytes: &[u8], content_type: Option<&str>) -> String {
    if let Some((encoding, length)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[length..]).0.into_owned();
    }
    if let Some(encoding) = utf_16(bytes) {
        return encoding.decode_without_bom_handling(bytes).0.into_owned();
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let named = content_type.and_then(charset).filter(|_| !bytes.is_ascii() || bytes.contains(&0x1b));
        return match named {
            // The named charset explains multi-byte text (Shift_JIS, ISO-2022-JP) that happens to be valid UTF-8.
            Some(encoding) if !encoding.is_single_byte() && encoding != UTF_8 => decoded(encoding, bytes),
            _ => text.into(),
        };
    }
    decoded(content_type.and_then(charset).filter(|encoding| *encoding != UTF_8).unwrap_or(WINDOWS_1252), bytes)
}

fn decoded(encoding: &'static Encoding, bytes: &[u8]) -> String {
    encoding.decode_without_bom_handling(bytes).0.into_owned()
}

/// A script is mostly ASCII, so in UTF-16 nearly every other byte is zero, always on the same side.
fn utf_16(bytes: &[u8]) -> Option<&'static Encoding> {
    let sample = &bytes[..bytes.len().min(SAMPLE) & !1];
    if sample.len() < 4 {
        return None;
    }
    let zeros = |offset: usize| sample.iter().skip(offset).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let many = sample.len() / 4;
    match (even, odd) {
        (0, odd) if odd > many => Some(UTF_16LE),
        (even, 0) if even > many => Some(UTF_16BE),
        _ => None,
    }
}

/// `text/plain; charset="iso-8859-1"` → its encoding, if it is known.
fn charset(content_type: &str) -> Option<&'static Encoding> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'']);
        name.trim().eq_ignore_ascii_case("charset").then(|| Encoding::for_label(value.as_bytes()))?
    })
}

/// A page of a captive portal, an error page or a log-in form instead of a script.
pub fn looks_like_a_web_page(text: &str) -> bool {
    let start = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    // `<!--` may begin a script as well, so this is asked only about texts that are none.
    start.starts_with('<')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf_16_bytes(text: &str, big: bool) -> Vec<u8> {
        text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    }

    #[test]
    fn bytes_become_text_in_every_encoding_of_the_field() {
        let script = "// Zürich – Büro\nfunction FindProxyForURL(u, h) { return 'DIRECT' }";
        let latin = "// Zürich\nvar ä = 1;";
        let latin_bytes: Vec<u8> = latin.chars().map(|c| c as u8).collect();
        let with = |mark: &[u8], bytes: Vec<u8>| [mark, &bytes].concat();
        let rows: Vec<(&str, Vec<u8>, Option<&str>, &str)> = vec![
            ("UTF-8", script.into(), None, script),
            ("UTF-8 with a mark", with(b"\xef\xbb\xbf", script.into()), None, script),
            ("UTF-16 LE with a mark", with(b"\xff\xfe", utf_16_bytes(script, false)), None, script),
            ("UTF-16 BE with a mark", with(b"\xfe\xff", utf_16_bytes(script, true)), None, script),
            ("UTF-16 LE without one", utf_16_bytes(script, false), None, script),
            ("UTF-16 BE without one", utf_16_bytes(script, true), None, script),
            ("UTF-16 under a wrong header", utf_16_bytes(script, false), Some("text/plain; charset=utf-8"), script),
            ("latin-1 without a word", latin_bytes.clone(), None, latin),
            ("latin-1 by name", latin_bytes.clone(), Some("text/plain; charset=ISO-8859-1"), latin),
            ("latin-1 called UTF-8", latin_bytes.clone(), Some("text/plain; charset=utf-8"), latin),
            ("latin-1 under an unknown name", latin_bytes, Some("text/plain; charset=klingon"), latin),
            ("a dash of Windows-1252", b"// a \x96 b".to_vec(), None, "// a – b"),
            ("UTF-8 called latin-1", script.into(), Some("text/plain; charset=iso-8859-1"), script),
            (
                "Windows-1251 by name",
                b"// \xcf\xf0\xee".to_vec(),
                Some("text/plain;CHARSET=\"windows-1251\""),
                "// Про",
            ),
            ("Shift_JIS by name", b"// \x83v".to_vec(), Some("text/plain; charset=Shift_JIS"), "// プ"),
            ("nothing", Vec::new(), None, ""),
            ("one byte", b"a".to_vec(), None, "a"),
        ];
        for (what, bytes, content_type, text) in rows {
            assert_eq!(decode(&bytes, content_type), text, "{what}");
        }
    }

    #[test]
    fn two_mebibytes_with_a_stray_byte_at_the_end_are_decoded() {
        let mut bytes = vec![b'x'; 2 << 20];
        bytes.push(0xe9);
        assert!(decode(&bytes, None).ends_with("xé"));
    }

    #[test]
    fn a_web_page_is_told_by_its_beginning() {
        for page in ["<!DOCTYPE html>", "\u{feff}\r\n <html>", "<?xml version='1.0'?>", "<HTML><head>"] {
            assert!(looks_like_a_web_page(page), "{page}");
        }
        for script in ["", "function f() {}", "// <html>", "var a = '<html>'"] {
            assert!(!looks_like_a_web_page(script), "{script}");
        }
    }
}
