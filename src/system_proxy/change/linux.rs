//! The settings of GNOME, through its own program, and of KDE, in its file.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::{Autostart, ChangeError, Desktop, Settings, Value, Variable, gnome_settings, kioslaverc};
use crate::system_proxy::imp::{kioslaverc_of_user, of_gnome, runs_kde};
use crate::system_proxy::{gnome, program};

const NEITHER: &str = "there are no desktop settings to change here: neither GNOME's (they need gsettings and a session of the \
                       user) nor KDE's are in use; programs that go by the variables need no --system";

/// What KDE's programs hear to read their file again (kioslaverc has no other way).
const CHANGED: [&str; 8] = [
    "emit",
    "--session",
    "--object-path",
    "/KIO/Scheduler",
    "--signal",
    "org.kde.KIO.Scheduler.reparseSlaveConfiguration",
    "--",
    "",
];

pub(super) fn in_use(variable: Variable) -> Result<Box<dyn Settings>, ChangeError> {
    match (runs_kde(variable), of_gnome(variable)) {
        (true, _) => of(Desktop::Kde, variable),
        (false, Some(_)) => of(Desktop::Gnome, variable),
        (false, None) => Err(ChangeError::Unsupported(NEITHER.into())),
    }
}

pub(super) fn of(desktop: Desktop, variable: Variable) -> Result<Box<dyn Settings>, ChangeError> {
    match desktop {
        Desktop::Gnome => Ok(Box::new(Gnome { unset: list(true)? })),
        Desktop::Kde => {
            let none = || ChangeError::of(desktop, "there is no home directory to keep them in");
            Ok(Box::new(Kde { file: kioslaverc_of_user(variable).ok_or_else(none)? }))
        }
        Desktop::Windows | Desktop::Macos => Err(ChangeError::of(desktop, "they are those of another system")),
    }
}

struct Gnome {
    /// What is listed when nothing is set.
    unset: String,
}

/// A store of its own in memory has nothing but the defaults.
fn list(unset: bool) -> Result<String, ChangeError> {
    let listing = ["gsettings", "list-recursively", gnome::SCHEMA];
    let arguments = [["GSETTINGS_BACKEND=memory"].as_slice(), &listing].concat();
    let text = program::output("env", &arguments[usize::from(!unset)..], program::LIMIT);
    text.ok_or_else(|| ChangeError::of(Desktop::Gnome, "gsettings does not list them"))
}

impl Settings for Gnome {
    fn desktop(&self) -> Desktop {
        Desktop::Gnome
    }

    fn connections(&self) -> Vec<String> {
        vec![String::new()]
    }

    fn read(&self, _: &[String]) -> Result<Vec<Value>, ChangeError> {
        Ok(gnome_settings::values(&list(false)?, &self.unset))
    }

    fn wanted(&self, before: &[Value], relay: SocketAddr) -> Vec<Value> {
        gnome_settings::wanted(before, &self.unset, relay)
    }

    fn write(&self, values: &[Value]) -> Result<(), ChangeError> {
        tell_gsettings(values);
        if values.iter().any(|value| value.text.is_none()) {
            tell_gsettings(&gnome_settings::not_taken_back(values, &list(false)?, &self.unset));
        }
        Ok(())
    }
}

fn tell_gsettings(values: &[Value]) {
    for value in values {
        let arguments = gnome_settings::arguments(value);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        // It may fail without saying so, and what it says is for whoever reads what is set afterwards.
        let _nothing_is_printed = program::output("gsettings", &arguments, program::LIMIT);
    }
}

struct Kde {
    file: PathBuf,
}

impl Kde {
    fn text(&self) -> Result<String, ChangeError> {
        match fs::read_to_string(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failed(&error)),
            read => Ok(read.unwrap_or_default()),
        }
    }

    fn failed(&self, error: &io::Error) -> ChangeError {
        ChangeError::of(Desktop::Kde, format_args!("{}: {error}", self.file.display()))
    }
}

impl Settings for Kde {
    fn desktop(&self) -> Desktop {
        Desktop::Kde
    }

    fn connections(&self) -> Vec<String> {
        vec![String::new()]
    }

    fn read(&self, _: &[String]) -> Result<Vec<Value>, ChangeError> {
        Ok(kioslaverc::values(&self.text()?))
    }

    fn wanted(&self, before: &[Value], relay: SocketAddr) -> Vec<Value> {
        kioslaverc::wanted(before, relay)
    }

    fn write(&self, values: &[Value]) -> Result<(), ChangeError> {
        let text = kioslaverc::with(&self.text()?, values);
        replace(&self.file, &text).map_err(|error| self.failed(&error))?;
        let _programs_read_it_when_they_start = program::output("gdbus", &CHANGED, program::LIMIT);
        Ok(())
    }
}

/// Whole or not at all, where a link leads to, with the rights that it had.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.into());
    let directory = file.parent().ok_or(io::ErrorKind::NotFound)?;
    fs::create_dir_all(directory)?;
    let mut new = NamedTempFile::new_in(directory)?;
    new.write_all(text.as_bytes())?;
    if let Ok(metadata) = fs::metadata(&file) {
        new.as_file().set_permissions(metadata.permissions())?;
    }
    new.as_file().sync_all()?;
    new.persist(&file).map_err(|error| error.error)?;
    Ok(())
}

/// A file of the XDG autostart directory, which every desktop reads at log-in.
struct DesktopEntry {
    file: PathBuf,
    text: String,
}

pub(super) fn autostart(command: &[OsString], variable: Variable) -> Option<Box<dyn Autostart>> {
    let directory = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = directory("XDG_CONFIG_HOME").or_else(|| directory("HOME").map(|home| home.join(".config")))?;
    let words: Option<Vec<String>> = command.iter().map(|word| word.to_str().map(quoted)).collect();
    let text = format!(
        "[Desktop Entry]\nType=Application\nName=hallpass\nComment=Puts the proxy settings back that hallpass run --system \
         changed\nExec={}\nTerminal=false\nNoDisplay=true\n",
        words?.join(" ")
    );
    Some(Box::new(DesktopEntry { file: base.join("autostart/hallpass-restore.desktop"), text }))
}

/// As the desktop entry specification has an argument, which stands in a text that is escaped itself.
fn quoted(word: &str) -> String {
    let mut text = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '`' | '$' => text.extend(["\\\\", c.encode_utf8(&mut [0; 4])]),
            '\\' => text.push_str(r"\\\\"),
            '%' => text.push_str("%%"),
            _ => text.push(c),
        }
    }
    text + "\""
}

impl Autostart for DesktopEntry {
    fn add(&self) -> io::Result<()> {
        match fs::read_to_string(&self.file) {
            Ok(text) if text == self.text => Ok(()),
            Ok(_) | Err(_) => replace(&self.file, &self.text),
        }
    }

    fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_quoted_as_the_specification_of_desktop_entries_wants_it() {
        for (word, wanted) in [
            ("/usr/bin/hallpass", "\"/usr/bin/hallpass\""),
            ("a b", "\"a b\""),
            ("50%", "\"50%%\""),
            (r"a\b", r#""a\\\\b""#),
            ("a\"$`", r#""a\\"\\$\\`""#),
        ] {
            assert_eq!(quoted(word), wanted, "{word}");
        }
    }

    #[test]
    fn a_desktop_entry_comes_and_goes() {
        let home = tempfile::tempdir().unwrap();
        let variable = |name: &str| (name == "HOME").then(|| home.path().to_str().unwrap().to_string());
        let entry = autostart(&["/bin/x".into(), "guard".into()], &variable).unwrap();
        entry.add().unwrap();
        entry.add().unwrap();
        let file = home.path().join(".config/autostart/hallpass-restore.desktop");
        assert!(fs::read_to_string(&file).unwrap().contains("\nExec=\"/bin/x\" \"guard\"\n"));
        entry.remove().unwrap();
        assert!(!file.exists());
        entry.remove().unwrap();
    }
}
