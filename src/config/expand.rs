//! `${env:NAME}` and `${file:/path}` in values, and the same as places of secrets.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::mistake::Problem;
use super::text;
use super::value::is_whole;
use crate::credential::Source;
use crate::secret::Secret;

/// Replaces every `${…}`. `$${` stands for a plain `${`.
pub fn expand(text: &str, environment: &Environment) -> Result<String, Problem> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if let Some(before) = rest[..at].strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        let (inner, after) = rest[at + 2..].split_once('}').ok_or_else(|| Problem::new("a ${ without its }"))?;
        out.push_str(&rest[..at]);
        out.push_str(&fetch(inner, environment)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// The other way round: text that `expand` gives back unchanged.
pub fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

/// The files that `expand` would put in place.
pub fn files(text: &str) -> impl Iterator<Item = PathBuf> {
    let plain = text.replace("$${", "");
    let paths: Vec<PathBuf> =
        plain.split("${file:").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0.into())).collect();
    paths.into_iter()
}

fn fetch(inner: &str, environment: &Environment) -> Result<String, Problem> {
    match inner.split_once(':') {
        Some(("env", name)) => environment.get(name).map(str::to_owned).ok_or_else(|| {
            Problem::new(format!("the variable {name} is not set")).hint("set it where hallpass starts")
        }),
        Some(("file", path)) => file(path),
        Some(("credential", _)) => Err(Problem::new("${credential:…} is for secrets only")),
        _ => Err(unknown()),
    }
}

fn file(path: &str) -> Result<String, Problem> {
    let text = text::read(Path::new(path)).map_err(|error| Problem::new(format!("cannot read {path}: {error}")))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).into())
}

fn unknown() -> Problem {
    Problem::new("no such ${…}").hint("${env:NAME} or ${file:/path}; $${ stands for a plain ${")
}

/// A secret is one `${…}` or plain text; nothing is read yet.
pub fn secret(text: &str, environment: &Environment) -> Result<Source, Problem> {
    let inner = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    match inner.filter(|inner| !inner.contains('}')).and_then(|inner| inner.split_once(':')) {
        Some(("env", name)) => Ok(variable(name, environment)),
        Some(("file", path)) if is_whole(path) => Ok(Source::File(path.into())),
        Some(("file", _)) => {
            Err(Problem::new("the path of a secret is a whole one").hint("from / or, on Windows, from the drive on"))
        }
        Some(("credential", name)) => systemd(name, environment),
        Some(_) => {
            Err(Problem::new("no such place of a secret").hint("${env:NAME}, ${file:/path}, ${credential:NAME}"))
        }
        None if text.replace("$${", "").contains("${") => {
            Err(Problem::new("a secret is one ${…} or plain text, not both").hint("$${ stands for a plain ${"))
        }
        None if text.is_empty() => Err(Problem::new("the secret is empty")),
        None => Ok(Source::Literal(Secret::new(text.replace("$${", "${")))),
    }
}

pub fn variable(name: &str, environment: &Environment) -> Source {
    Source::Variable { name: name.into(), value: environment.get(name).map(Secret::new) }
}

fn systemd(name: &str, environment: &Environment) -> Result<Source, Problem> {
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(Problem::new("a systemd credential has a plain name"));
    }
    let directory = environment.get("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    Ok(Source::Systemd { name: name.into(), directory })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment::from_pairs([("A", "alpha"), ("B", "${env:A}")])
    }

    #[test]
    fn variables_and_files_are_put_in_place_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        std::fs::write(&path, "content\n").unwrap();
        let from_file = format!("<${{file:{}}}>", path.display());
        for (text, wanted) in [
            ("plain $ { }", "plain $ { }"),
            ("x${env:A}y${env:A}", "xalphayalpha"),
            ("${env:B}", "${env:A}"),
            ("$${env:A}", "${env:A}"),
            ("$$${env:A}", "$${env:A}"),
            (&from_file, "<content>"),
        ] {
            assert_eq!(expand(text, &environment()).as_deref(), Ok(wanted));
        }
        for text in ["${", "${}", "${A}", "${env:NONE}", "${file:/nowhere/x}", "${credential:x}", "${cmd:x}"] {
            assert!(expand(text, &environment()).is_err(), "{text}");
        }
        for text in ["${env:A}", "$${x", "$", "a${b", ""] {
            assert_eq!(expand(&escape(text), &environment()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn the_files_of_a_text_are_those_that_are_put_in_place() {
        for (text, wanted) in [
            ("plain", &[][..]),
            ("${file:/a}", &["/a"]),
            ("x${file:/a}y${env:A}${file:b c}", &["/a", "b c"]),
            ("$${file:/a}", &[]),
            ("${file:/a", &[]),
        ] {
            let wanted: Vec<PathBuf> = wanted.iter().map(PathBuf::from).collect();
            assert_eq!(files(text).collect::<Vec<_>>(), wanted, "{text}");
        }
    }

    #[test]
    fn a_secret_is_a_place_or_plain_text() {
        let read = |text| secret(text, &environment());
        assert_eq!(read("hunter2"), Ok(Source::Literal(Secret::new("hunter2"))));
        assert_eq!(read("a$${b}"), Ok(Source::Literal(Secret::new("a${b}"))));
        assert_eq!(read("${env:A}"), Ok(Source::Variable { name: "A".into(), value: Some(Secret::new("alpha")) }));
        assert_eq!(read("${env:NONE}"), Ok(Source::Variable { name: "NONE".into(), value: None }));
        assert_eq!(read("${file:/x/y}"), Ok(Source::File("/x/y".into())));
        assert_eq!(read("${credential:pw}"), Ok(Source::Systemd { name: "pw".into(), directory: None }));
        for text in ["", "x${env:A}", "${env:A}${env:B}", "${file:x}", "${credential:../x}", "${vault:x}"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
