//! The table `[pac]`, and where a PAC script comes from.

use std::path::{Path, PathBuf};

use data_url::DataUrl;

use super::mistake::{Origin, Problem};
use super::reader::Reader;
use super::{DEFAULT_PAC_MEMORY, DEFAULT_PAC_REFRESH, DEFAULT_PAC_TIMEOUT, PacPlace, PacSettings, PacSource, value};
use crate::address::Target;

/// Bytes: below this no engine starts.
const MIN_MEMORY: u64 = 4 << 20;
/// Bytes, per evaluation at a time.
const MAX_MEMORY: u64 = 1 << 30;

const PLACES: &str = "http://…, https://…, file:///…, data:… or a path";

pub fn settings(reader: &mut Reader<'_>) -> PacSettings {
    let at = |key| ["pac", key];
    PacSettings {
        refresh: reader.parsed(&at("refresh"), value::positive_duration).unwrap_or(DEFAULT_PAC_REFRESH),
        timeout: reader.parsed(&at("timeout"), value::positive_duration).unwrap_or(DEFAULT_PAC_TIMEOUT),
        memory: reader.parsed(&at("memory"), memory).unwrap_or(DEFAULT_PAC_MEMORY),
        wpad: reader.parsed(&at("wpad"), value::switch).unwrap_or(false),
    }
}

fn memory(text: &str) -> Result<usize, Problem> {
    let bytes = value::size(text)?;
    let fits = (MIN_MEMORY..=MAX_MEMORY).contains(&bytes);
    usize::try_from(bytes).ok().filter(|_| fits).ok_or_else(|| {
        let limits = (value::show_size(MIN_MEMORY), value::show_size(MAX_MEMORY));
        Problem::new(format!("memory is from {} to {}", limits.0, limits.1))
    })
}

/// Empty: none.
pub fn source(reader: &mut Reader<'_>, path: &[&str]) -> Option<PacSource> {
    let origin = reader.origin(path);
    let written = reader.text(path)?;
    if written.is_empty() {
        return None;
    }
    let place = reader.checked(path, origin.clone(), place(&written, &origin))?;
    if let PacPlace::File(file) = &place
        && let Err(error) = std::fs::metadata(file)
    {
        reader.warn(path, Problem::new(format!("cannot find the script {}: {error}", file.display())));
    }
    Some(PacSource { written, place })
}

pub(super) fn place(text: &str, origin: &Origin) -> Result<PacPlace, Problem> {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("http" | "https") => url(text),
        Some("data") => data(text),
        Some("file") => file(text),
        // One letter is a drive of Windows.
        Some(other) if other.len() > 1 && text[other.len()..].starts_with("://") => {
            Err(Problem::new(format!("a PAC script does not come by {other}://")).hint(PLACES))
        }
        _ if text.starts_with("~/") => {
            Err(Problem::new("~ is not expanded").hint(format!("write \"${{env:HOME}}{}\"", &text[1..])))
        }
        _ if matches!(origin, Origin::Managed(_)) && Path::new(text).is_relative() => {
            Err(Problem::new("a policy names whole paths").hint(PLACES))
        }
        _ => Ok(PacPlace::File(beside(text, origin))),
    }
}

/// A relative path starts at the file that names it.
fn beside(text: &str, origin: &Origin) -> PathBuf {
    match origin {
        Origin::File { path, .. } => path.parent().unwrap_or(Path::new("")).join(text),
        Origin::Variable(_) | Origin::Flag(_) | Origin::Managed(_) | Origin::Default => text.into(),
    }
}

fn url(text: &str) -> Result<PacPlace, Problem> {
    let (scheme, rest) = text.split_once("://").ok_or_else(|| Problem::new("the URL lacks //").hint(PLACES))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let default_port = if scheme.eq_ignore_ascii_case("http") { 80 } else { 443 };
    // The text may hold a password, so it is not repeated.
    Target::parse(authority, Some(default_port)).map_err(|error| Problem::new(error).hint(PLACES))?;
    Ok(PacPlace::Url(text.into()))
}

fn data(text: &str) -> Result<PacPlace, Problem> {
    let bad = |_| Problem::new("the data: URL is not well formed (RFC 2397)");
    let url = DataUrl::process(text).map_err(|error| bad(format!("{error:?}")))?;
    let (bytes, _) = url.decode_to_vec().map_err(|error| bad(format!("{error:?}")))?;
    Ok(PacPlace::Data(bytes.into()))
}

fn file(text: &str) -> Result<PacPlace, Problem> {
    let rest = &text["file:".len()..];
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
    };
    if let Some(path) = on_a_drive(path) {
        return Ok(PacPlace::File(percent_decoded(path).into()));
    }
    match path.starts_with('/') {
        true => Ok(PacPlace::File(percent_decoded(path).into())),
        false => Err(Problem::new("a file: URL has three slashes and a whole path").hint("file:///etc/proxy.pac")),
    }
}

/// A drive of Windows stands behind the third slash, which many leave out.
fn on_a_drive(path: &str) -> Option<&str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let is_drive = |[letter, colon, slash]: &[u8; 3]| {
        letter.is_ascii_alphabetic() && *colon == b':' && [b'/', b'\\'].contains(slash)
    };
    path.as_bytes().first_chunk().is_some_and(is_drive).then_some(path)
}

/// `%20` and its like; what is no escape stays.
pub(super) fn percent_decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%').then(|| path.get(at + 1..at + 3)).flatten();
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_comes_from_a_url_a_file_or_the_url_itself() {
        let origin = Origin::File { path: "/etc/hallpass/hallpass.toml".into(), line: 1, column: 1 };
        for (text, wanted) in [
            ("http://wpad.corp.example/proxy.pac", PacPlace::Url("http://wpad.corp.example/proxy.pac".into())),
            ("HTTPS://wpad.corp.example", PacPlace::Url("HTTPS://wpad.corp.example".into())),
            ("proxy.pac", PacPlace::File("/etc/hallpass/proxy.pac".into())),
            ("/a/proxy.pac", PacPlace::File("/a/proxy.pac".into())),
            ("file:///a/my%20proxy.pac", PacPlace::File("/a/my proxy.pac".into())),
            ("file://localhost/a/p%zz", PacPlace::File("/a/p%zz".into())),
            ("file:/a/p", PacPlace::File("/a/p".into())),
            ("file:///C:/my%20proxy.pac", PacPlace::File("C:/my proxy.pac".into())),
            (r"file://c:\proxy.pac", PacPlace::File(r"c:\proxy.pac".into())),
            ("data:,function%20f()%7B%7D", PacPlace::Data(b"function f(){}".as_slice().into())),
            ("data:text/plain;base64,YQ==", PacPlace::Data(b"a".as_slice().into())),
        ] {
            assert_eq!(place(text, &origin), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_no_place_of_a_script_is_refused_and_a_password_is_not_repeated() {
        for text in ["ftp://h/p", "http:/h/p", "http://", "file://server/share/p", "data:x", "~/p", "http://h:x/"] {
            assert!(place(text, &Origin::Default).is_err(), "{text}");
        }
        let problem = place("http://alice:hunter2@h/p", &Origin::Default).unwrap_err();
        assert!(!format!("{problem:?}").contains("hunter2"), "{problem:?}");
    }
}
