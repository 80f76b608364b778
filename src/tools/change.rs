//! What becomes of a file's bytes when settings are written into it, and when they are taken back.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::bytes;
use super::shown::without_account;
use super::syntax::{Key, Syntax, Unreadable};

/// What the journal keeps of a file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What it would be without us; `None`: there would be none.
    #[serde(with = "bytes::optional")]
    pub original: Option<Vec<u8>>,
    /// As we left it.
    #[serde(with = "bytes")]
    pub written: Vec<u8>,
    pub ours: Vec<Ours>,
}

/// A setting, and everything that we ever wrote there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ours {
    pub key: Vec<String>,
    pub values: Vec<String>,
}

/// A setting as it is to be.
#[derive(Debug, Clone)]
pub struct Setting {
    pub key: Vec<String>,
    pub value: Wanted,
}

impl Setting {
    pub fn is(key: &[&str], value: impl Into<String>) -> Self {
        Self { key: key.iter().map(ToString::to_string).collect(), value: Wanted::Is(value.into()) }
    }
}

#[derive(Debug, Clone)]
pub enum Wanted {
    /// In the file's syntax.
    Is(String),
    /// Made of what the person has there.
    Of(fn(Option<&str>) -> String),
}

#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ChangeError {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("it is UTF-16: save it as UTF-8")]
    Utf16,
    #[error("it is no UTF-8 text: save it as UTF-8")]
    NotText,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub bytes: Vec<u8>,
    pub kept: Kept,
    /// What somebody else had set, as it may be shown, and its key.
    pub replaced: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// `None`: the file goes.
    pub bytes: Option<Vec<u8>>,
    /// Keys that somebody has changed since, and that stay.
    pub left: Vec<String>,
}

const BOM: &str = "\u{feff}";

/// Text, and how it is written.
struct Text {
    text: String,
    has_mark: bool,
    one_byte_a_sign: bool,
}

impl Text {
    fn read(syntax: Syntax, bytes: Option<&[u8]>) -> Result<Self, ChangeError> {
        let bytes = bytes.unwrap_or_default();
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            return Err(ChangeError::Utf16);
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                let bare = text.strip_prefix(BOM);
                Ok(Self { text: bare.unwrap_or(text).into(), has_mark: bare.is_some(), one_byte_a_sign: false })
            }
            Err(_) if syntax.takes_any_bytes() => {
                let text = bytes.iter().map(|byte| char::from(*byte)).collect();
                Ok(Self { text, has_mark: false, one_byte_a_sign: true })
            }
            Err(_) => Err(ChangeError::NotText),
        }
    }

    fn bytes(&self, text: &str) -> Vec<u8> {
        let mark = if self.has_mark { BOM } else { "" };
        match self.one_byte_a_sign {
            // What we add may be beyond one byte, such as a path; then it is UTF-8 among the others.
            true => text.chars().fold(Vec::new(), |mut bytes, sign| {
                match u8::try_from(u32::from(sign)) {
                    Ok(byte) => bytes.push(byte),
                    Err(_) => bytes.extend(sign.to_string().into_bytes()),
                }
                bytes
            }),
            false => [mark.as_bytes(), text.as_bytes()].concat(),
        }
    }
}

/// Puts the settings in. What is there already in the same words is left as it stands.
pub fn write(
    syntax: Syntax,
    settings: &[Setting],
    current: Option<&[u8]>,
    kept: Option<&Kept>,
) -> Result<Written, ChangeError> {
    let mut ours: Vec<Ours> = kept.map(|kept| kept.ours.clone()).unwrap_or_default();
    let original = match kept {
        None => current.map(<[u8]>::to_vec),
        Some(kept) if current == Some(&kept.written) => kept.original.clone(),
        Some(kept) => undo(syntax, current, kept)?.bytes,
    };
    let wanted = |key: &Key| settings.iter().any(|setting| setting.key == key);
    let stale: Vec<Ours> = ours.iter().filter(|ours| !wanted(&ours.key)).cloned().collect();
    let before = Text::read(syntax, original.as_deref())?;
    let file = Text::read(syntax, current)?;
    let (mut text, _) = take_back(syntax, &file.text, &before.text, &stale)?;
    let mut replaced = Vec::new();
    for Setting { key, value } in settings {
        let had = syntax.get(&before.text, key)?;
        let value = match value {
            Wanted::Is(value) => {
                replaced.extend(had.filter(|had| had != value).map(|had| (key.join("."), without_account(&had))));
                value.clone()
            }
            Wanted::Of(make) => make(had.as_deref()),
        };
        if syntax.get(&text, key)?.as_ref() == Some(&value) {
            remember(&mut ours, key, value, false);
            continue;
        }
        text = syntax.set(&text, key, &value)?;
        // As it is read again, which is how it will be recognised.
        let value = syntax.get(&text, key)?.unwrap_or(value);
        remember(&mut ours, key, value, true);
    }
    ours.retain(|ours| wanted(&ours.key));
    let bytes = file.bytes(&text);
    Ok(Written { kept: Kept { original, written: bytes.clone(), ours }, bytes, replaced })
}

/// A value that was there before us is not ours, unless it has been ours before.
fn remember(ours: &mut Vec<Ours>, key: &Key, value: String, is_new: bool) {
    match ours.iter_mut().find(|ours| ours.key == key) {
        Some(ours) if !ours.values.contains(&value) => ours.values.push(value),
        Some(_) => {}
        None if is_new => ours.push(Ours { key: key.to_vec(), values: vec![value] }),
        None => {}
    }
}

/// Takes them back: to the byte while the file is as we left it, else only what is still ours.
pub fn undo(syntax: Syntax, current: Option<&[u8]>, kept: &Kept) -> Result<Undone, ChangeError> {
    let Some(bytes) = current else { return Ok(Undone { bytes: None, left: Vec::new() }) };
    if bytes == kept.written || Some(bytes) == kept.original.as_deref() {
        return Ok(Undone { bytes: kept.original.clone(), left: Vec::new() });
    }
    let file = Text::read(syntax, current)?;
    let before = Text::read(syntax, kept.original.as_deref())?;
    let (text, left) = take_back(syntax, &file.text, &before.text, &kept.ours)?;
    let nothing_is_left = kept.original.is_none() && syntax.is_empty(&text);
    Ok(Undone { bytes: (!nothing_is_left).then(|| file.bytes(&text)), left })
}

fn take_back(syntax: Syntax, text: &str, original: &str, ours: &[Ours]) -> Result<(String, Vec<String>), ChangeError> {
    let (mut text, mut left) = (text.to_string(), Vec::new());
    for Ours { key, values } in ours {
        match syntax.get(&text, key)? {
            Some(value) if values.contains(&value) => {
                text = match syntax.get(original, key)? {
                    Some(before) => syntax.set(&text, key, &before)?,
                    None => syntax.unset(&text, key, original)?,
                };
            }
            Some(_) => left.push(key.join(".")),
            None => {}
        }
    }
    Ok((text, left))
}
