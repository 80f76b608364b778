//! Where a secret comes from. It is read when it is first needed, never when the configuration is loaded.

mod command;
pub mod store;

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod access;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

pub use access::others_may_read;

use crate::secret::Secret;

/// No password is longer; a larger file is some other file.
const MAX_SECRET: u64 = 64 * 1024;

/// A place that holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Written in the configuration itself.
    Literal(Secret),
    /// An environment variable, with its value when hallpass was started.
    Variable {
        name: String,
        value: Option<Secret>,
    },
    File(PathBuf),
    /// A systemd credential: a file in `$CREDENTIALS_DIRECTORY`, which is absent outside a unit that has some.
    Systemd {
        name: String,
        directory: Option<PathBuf>,
    },
    /// What a program prints, run without a shell.
    Command(Vec<String>),
    /// The system's own store, under this account.
    Store(String),
}

#[derive(Debug, Error)]
pub enum SecretError {
    #[error("{0} is not set: set it where hallpass is started")]
    NoVariable(String),
    #[error("cannot read the secret in {}: {cause}", path.display())]
    File { path: PathBuf, cause: io::Error },
    #[error("others can read the secret in {path}: chmod 600 {path}", path = .0.display())]
    Exposed(PathBuf),
    #[error(
        "the systemd credential {0} is not there: LoadCredential={0}:/path in the unit brings it when the unit starts anew; for a \
         name that the unit has already, /etc/credstore/{0} does"
    )]
    NoCredential(String),
    #[error("{from} is empty: put the secret there")]
    Empty { from: String },
    #[error("{from} is not UTF-8 text: store the secret as UTF-8")]
    NotText { from: String },
    #[error("{from} is larger than 64 KiB: name a file that holds only the secret")]
    TooLarge { from: String },
    #[error("cannot start password_command {program}: {cause}")]
    Start { program: String, cause: io::Error },
    #[error("password_command {program} ended with {status}: run it by hand to see why")]
    Failed { program: String, status: String },
    #[error("no password of {account} is stored here: run hallpass login{}", besides(unreachable))]
    NotStored { account: String, unreachable: Vec<String> },
    #[error(transparent)]
    Store(#[from] store::StoreError),
    #[error("password_command {program} did not end within {} s: it must not ask anybody", command::LIMIT.as_secs())]
    Slow { program: String },
}

impl Source {
    /// Fetches the secret. Blocks, for a command up to 10 s.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let secret = match self {
            Self::Literal(secret) => secret.clone(),
            Self::Variable { name, value } => value.clone().ok_or_else(|| SecretError::NoVariable(name.clone()))?,
            Self::File(path) => {
                // It may have been opened to others since the configuration was read.
                if others_may_read(path).unwrap_or(false) {
                    return Err(SecretError::Exposed(path.clone()));
                }
                self.read_file(path)?
            }
            Self::Systemd { name, directory } => {
                let file = systemd_file(name, directory.as_deref())?;
                match self.read_file(&file) {
                    Err(SecretError::File { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                        return Err(SecretError::NoCredential(name.clone()));
                    }
                    read => read?,
                }
            }
            Self::Command(argv) => self.text(command::output(argv)?)?,
            Self::Store(account) => stored(account)?,
        };
        if secret.expose().is_empty() {
            return Err(SecretError::Empty { from: self.to_string() });
        }
        Ok(secret)
    }

    /// The file that holds it, if one does.
    pub fn file(&self) -> Option<PathBuf> {
        match self {
            Self::File(path) => Some(path.clone()),
            Self::Systemd { name, directory } => systemd_file(name, directory.as_deref()).ok(),
            Self::Literal(_) | Self::Variable { .. } | Self::Command(_) | Self::Store(_) => None,
        }
    }

    fn read_file(&self, path: &Path) -> Result<Secret, SecretError> {
        let failed = |cause| SecretError::File { path: path.into(), cause };
        let file = File::open(path).map_err(failed)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(1024));
        file.take(MAX_SECRET + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MAX_SECRET {
            return Err(SecretError::TooLarge { from: self.to_string() });
        }
        let end = without_newline(&bytes).len();
        bytes.truncate(end);
        self.text(bytes)
    }

    fn text(&self, bytes: Zeroizing<Vec<u8>>) -> Result<Secret, SecretError> {
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Secret::new(text)),
            Err(_) => Err(SecretError::NotText { from: self.to_string() }),
        }
    }
}

/// The place in words, never what it holds.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => f.write_str("the secret in the configuration"),
            Self::Variable { name, .. } => write!(f, "the variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Systemd { name, .. } => write!(f, "the systemd credential {name}"),
            Self::Command(argv) => write!(f, "the output of {}", argv.first().map_or("", String::as_str)),
            Self::Store(account) => write!(f, "the system's store of secrets, under {account}"),
        }
    }
}

fn stored(account: &str) -> Result<Secret, SecretError> {
    match store::read(account)? {
        store::Found::Secret(secret) => Ok(secret),
        store::Found::Nothing { unreachable } => Err(SecretError::NotStored { account: account.into(), unreachable }),
    }
}

/// The places where it might be, were they in reach.
fn besides(unreachable: &[String]) -> String {
    if unreachable.is_empty() { String::new() } else { format!(" ({})", unreachable.join("; ")) }
}

fn systemd_file(name: &str, directory: Option<&Path>) -> Result<PathBuf, SecretError> {
    Ok(directory.ok_or_else(|| SecretError::NoCredential(name.into()))?.join(name))
}

/// Editors and `echo` end a file with a newline that is not part of the secret; a second one is.
fn without_newline(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(content: &[u8]) -> (tempfile::TempDir, Source) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pw");
        std::fs::write(&path, content).unwrap();
        #[cfg(unix)]
        set_mode(&path, 0o600);
        (directory, Source::File(path))
    }

    #[cfg(unix)]
    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn shell(script: &str) -> Source {
        let shell = if cfg!(windows) { ["cmd", "/c", script] } else { ["/bin/sh", "-c", script] };
        Source::Command(shell.map(String::from).to_vec())
    }

    #[test]
    fn one_newline_at_the_end_of_a_file_is_not_part_of_the_secret() {
        for (content, secret) in [("pw", "pw"), ("pw\n", "pw"), ("pw\r\n", "pw"), ("pw\n\n", "pw\n"), (" pw ", " pw ")]
        {
            let (_directory, source) = file(content.as_bytes());
            assert_eq!(source.read().unwrap().expose(), secret);
        }
    }

    #[test]
    fn an_error_names_the_place_and_never_the_content() {
        let (_directory, source) = file(b"hunter2\xff");
        let text = source.read().unwrap_err().to_string();
        assert!(text.contains("pw is not UTF-8") && !text.contains("hunter2"), "{text}");
        let (_directory, source) = file(b"\n");
        assert!(source.read().unwrap_err().to_string().ends_with("pw is empty: put the secret there"));
        let text = Source::File("/nowhere/pw".into()).read().unwrap_err().to_string();
        assert!(text.contains("/nowhere/pw"), "{text}");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_have_come_to_read_is_refused_and_one_of_systemd_is_not() {
        let (directory, source) = file(b"hunter2");
        set_mode(&directory.path().join("pw"), 0o644);
        let text = source.read().unwrap_err().to_string();
        assert!(text.contains("others can read") && text.contains("chmod 600") && !text.contains("hunter2"), "{text}");
        let systemd = Source::Systemd { name: "pw".into(), directory: Some(directory.path().into()) };
        assert_eq!(systemd.read().unwrap().expose(), "hunter2");
    }

    #[test]
    fn a_file_that_cannot_be_a_password_is_refused() {
        let (_directory, source) = file(&vec![b'a'; 64 * 1024 + 1]);
        assert!(matches!(source.read(), Err(SecretError::TooLarge { .. })));
    }

    #[test]
    fn a_variable_gives_the_value_it_had_at_the_start() {
        let set = Source::Variable { name: "PW".into(), value: Some(Secret::new("x")) };
        assert_eq!(set.read().unwrap().expose(), "x");
        let unset = Source::Variable { name: "PW".into(), value: None };
        assert_eq!(unset.read().unwrap_err().to_string(), "PW is not set: set it where hallpass is started");
    }

    #[test]
    fn a_systemd_credential_is_a_file_in_the_units_directory() {
        let (directory, _) = file(b"from systemd\n");
        let source = Source::Systemd { name: "pw".into(), directory: Some(directory.path().into()) };
        assert_eq!(source.read().unwrap().expose(), "from systemd");
        let outside = Source::Systemd { name: "pw".into(), directory: None };
        assert!(outside.read().unwrap_err().to_string().contains("LoadCredential=pw"));
        let late = Source::Systemd { name: "other".into(), directory: Some(directory.path().into()) };
        assert!(late.read().unwrap_err().to_string().contains("/etc/credstore/other"));
    }

    #[test]
    fn a_command_gives_its_first_line() {
        // cmd ends its lines with CR LF, and what stands before & is part of what it echoes.
        let [two_lines, one, none] = match cfg!(windows) {
            true => ["echo pw&echo login: alice", "echo pw", "rem"],
            false => ["printf 'pw\\nlogin: alice\\n'", "printf pw", "true"],
        };
        assert_eq!(shell(two_lines).read().unwrap().expose(), "pw");
        assert_eq!(shell(one).read().unwrap().expose(), "pw");
        assert!(matches!(shell("exit 3").read(), Err(SecretError::Failed { .. })));
        assert!(matches!(shell(none).read(), Err(SecretError::Empty { .. })));
        let missing = Source::Command(vec!["/nowhere/ask".into()]);
        assert!(missing.read().unwrap_err().to_string().contains("/nowhere/ask"));
    }

    #[test]
    fn a_command_does_not_get_our_own_secrets() {
        let script =
            if cfg!(windows) { "set HALLPASS_ 2>nul & echo 0& exit 0" } else { "env | grep -c ^HALLPASS_ ; true" };
        assert_eq!(shell(script).read().unwrap().expose(), "0");
    }
}
