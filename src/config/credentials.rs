//! The tables `[credentials.NAME]`.

use std::path::PathBuf;
use std::sync::Arc;

use super::expand;
use super::layer::{Item, Value};
use super::mistake::Problem;
use super::reader::Reader;
use super::{Credential, DEFAULT_KDC_PORT, value};
use crate::address::Target;
use crate::auth::User;
use crate::auth::account::UserError;
use crate::credential::Source;
use crate::mechanism::Pattern as Recipients;

const NT_HASH_DIGITS: usize = 32;

/// What proves who the user is.
pub(super) const SECRETS: [&str; 4] = ["password", "password_command", "nt_hash", "keytab"];

/// Where the credentials of the machine's unit are, as all see it.
const OUTSIDE: &str = "/run/credentials/hallpass.service";

pub fn read(reader: &mut Reader<'_>) -> Vec<Arc<Credential>> {
    let names = reader.layer.names("credentials");
    names.iter().map(|name| Arc::new(credential(reader, name))).collect()
}

fn credential(reader: &mut Reader<'_>, name: &str) -> Credential {
    let at = |key| ["credentials", name, key];
    let user = reader.parsed(&at("user"), user);
    let stored = user.as_ref().filter(|_| !SECRETS.iter().any(|key| reader.has(&at(key))));
    let stored = stored.map(|user| Source::Store(user.to_string()));
    let credential = Credential {
        name: name.into(),
        user,
        secret: password(reader, name).or(stored),
        nt_hash: nt_hash(reader, name),
        keytab: keytab(reader, name),
        realm: reader.parsed(&at("realm"), realm),
        kdc: reader.list(&at("kdc"), kdc).unwrap_or_default(),
        separate_account: reader.parsed(&at("separate_account"), value::switch).unwrap_or(false),
        for_upstreams: reader.list(&at("for"), pattern).unwrap_or_default(),
    };
    check_together(reader, &credential);
    credential
}

fn keytab(reader: &mut Reader<'_>, name: &str) -> Option<PathBuf> {
    let of_unit = of_unit(reader, name);
    reader.named.extend(of_unit.clone());
    of_unit.or_else(|| reader.path(&["credentials", name, "keytab"]))
}

/// A keytab that systemd hands to the unit: its path is known inside of the unit, and others can do without.
fn of_unit(reader: &Reader<'_>, name: &str) -> Option<PathBuf> {
    let Value::Text(text) = &reader.layer.get(&["credentials", name, "keytab"])?.value else { return None };
    match expand::secret(text, reader.environment) {
        Ok(Source::Systemd { name, directory }) => Some(directory.unwrap_or_else(|| OUTSIDE.into()).join(name)),
        Ok(Source::Literal(_) | Source::Variable { .. } | Source::File(_) | Source::Command(_) | Source::Store(_))
        | Err(_) => None,
    }
}

fn user(text: &str) -> Result<User, Problem> {
    text.parse().map_err(|error: UserError| {
        let hint = match error {
            UserError::Control => "in double quotes \\ begins an escape: write 'DOMAIN\\user' in single quotes",
            UserError::Empty => "leave the key out for the logged-in identity",
            UserError::EmptyDomain | UserError::EmptyName | UserError::EmptyRealm | UserError::TwoDomains => {
                "'DOMAIN\\user', user@REALM or user"
            }
        };
        Problem::new(error).hint(hint)
    })
}

fn password(reader: &mut Reader<'_>, name: &str) -> Option<Source> {
    let secret = reader.secret(&["credentials", name, "password"]);
    let path = ["credentials", name, "password_command"];
    if holds_file(reader, &path) {
        let problem = Problem::new("what a file holds would be seen in the list of processes");
        reader.wrong(&path, problem.hint("password = \"${file:/path}\" needs no command"));
    }
    let Some(argv) = reader.list(&path, argument) else { return secret };
    if argv.first().is_none_or(String::is_empty) {
        let problem = Problem::new("there is no program to run").hint("[\"secret-tool\", \"lookup\", …]");
        reader.wrong(&path, problem);
    }
    if reader.has(&["credentials", name, "password"]) {
        reader.wrong(&path, Problem::new("password stands beside password_command").hint("keep one of them"));
    }
    Some(Source::Command(argv))
}

fn holds_file(reader: &Reader<'_>, path: &[&str]) -> bool {
    let is_file = |item: &Item| matches!(&item.value, Value::Text(text) if text.contains("${file:"));
    let entry = reader.layer.get(path);
    entry.is_some_and(|entry| matches!(&entry.value, Value::List(items) if items.iter().any(is_file)))
}

fn argument(text: &str) -> Result<String, Problem> {
    match text.contains('\0') {
        true => Err(Problem::new("an argument has no zero byte")),
        false => Ok(text.into()),
    }
}

fn nt_hash(reader: &mut Reader<'_>, name: &str) -> Option<Source> {
    let path = ["credentials", name, "nt_hash"];
    let source = reader.secret(&path)?;
    if let Source::Literal(hash) = &source
        && !is_nt_hash(hash.expose())
    {
        reader.wrong(&path, Problem::new("an NT hash is 32 hexadecimal digits"));
    }
    Some(source)
}

pub(super) fn is_nt_hash(text: &str) -> bool {
    text.len() == NT_HASH_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn realm(text: &str) -> Result<String, Problem> {
    match text.is_empty() || text.contains(|c: char| c.is_whitespace() || c == '@' || c == '\\') {
        true => Err(Problem::new(format!("{text:?} is no Kerberos realm")).hint("\"CORP.EXAMPLE\"")),
        false => Ok(text.into()),
    }
}

fn kdc(text: &str) -> Result<Target, Problem> {
    Target::parse(text, Some(DEFAULT_KDC_PORT)).map_err(|error| Problem::new(error).hint("\"dc1.corp.example:88\""))
}

fn pattern(text: &str) -> Result<String, Problem> {
    match Recipients::parse(text) {
        Ok(_) => Ok(text.into()),
        Err(error) => Err(Problem::new(error).hint("\"proxy.corp.example\" or \"*.corp.example\"")),
    }
}

fn check_together(reader: &mut Reader<'_>, credential: &Credential) {
    let name = credential.name.as_str();
    let at = |key| ["credentials", name, key];
    let has = |reader: &Reader<'_>, key| reader.has(&at(key));
    if has(reader, "nt_hash") && (has(reader, "password") || has(reader, "password_command")) {
        reader.wrong(&at("nt_hash"), Problem::new("a password stands beside nt_hash").hint("keep one of them"));
    }
    if !has(reader, "user") {
        for key in SECRETS {
            if !reader.has(&at(key)) {
                continue;
            }
            let problem = Problem::new(format!("{key} without a user")).hint("add user = 'DOMAIN\\user' or user@REALM");
            reader.wrong(&at(key), problem);
        }
        return;
    }
    if credential.user.is_some() && has(reader, "keytab") && !has(reader, "realm") && credential.realm().is_none() {
        let problem = Problem::new("a keytab needs a realm").hint("add realm = \"CORP.EXAMPLE\", or user@REALM");
        reader.wrong(&at("keytab"), problem);
    }
    // What the unit gets is the unit's alone, and may come later.
    let keytab = credential.keytab.as_ref().filter(|_| of_unit(reader, name).is_none());
    if let Some(keytab) = keytab
        && !keytab.is_file()
    {
        reader.wrong(&at("keytab"), Problem::new(format!("there is no file {}", keytab.display())));
    }
    if let Some(keytab) = keytab {
        reader.check_private(&at("keytab"), keytab);
    }
}
