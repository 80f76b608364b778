//! The settings of macOS's network services, through its own program. Only an administrator may change them, and is not
//! asked for a password: who may not is told so by reading back.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Autostart, ChangeError, Desktop, Settings, Value, Variable, networksetup};
use crate::system_proxy::program;

const PROGRAM: &str = "/usr/sbin/networksetup";

pub(super) fn in_use(variable: Variable) -> Result<Box<dyn Settings>, ChangeError> {
    of(Desktop::Macos, variable)
}

pub(super) fn of(desktop: Desktop, _: Variable) -> Result<Box<dyn Settings>, ChangeError> {
    match desktop {
        Desktop::Macos => Ok(Box::new(Services)),
        Desktop::Gnome | Desktop::Kde | Desktop::Windows => {
            Err(ChangeError::of(desktop, "they are those of another system"))
        }
    }
}

struct Services;

fn ask(arguments: &[&str]) -> Option<String> {
    program::output(PROGRAM, arguments, program::LIMIT)
}

impl Settings for Services {
    fn desktop(&self) -> Desktop {
        Desktop::Macos
    }

    /// Those with an address.
    fn connections(&self) -> Vec<String> {
        let mut all = networksetup::services(&ask(&["-listallnetworkservices"]).unwrap_or_default());
        let has_address = |service: &String| {
            let info = ask(&["-getinfo", service]).unwrap_or_default();
            info.lines().any(|line| line.strip_prefix("IP address: ").is_some_and(|ip| ip.trim() != "none"))
        };
        all.retain(has_address);
        all
    }

    fn read(&self, connections: &[String]) -> Result<Vec<Value>, ChangeError> {
        let mut values = Vec::new();
        for service in connections {
            // One that was removed has no settings any more.
            values.extend(networksetup::values(service, &|get| ask(&[get, service])).unwrap_or_default());
        }
        Ok(values)
    }

    fn wanted(&self, before: &[Value], relay: SocketAddr) -> Vec<Value> {
        networksetup::wanted(before, relay)
    }

    fn write(&self, values: &[Value]) -> Result<(), ChangeError> {
        for value in values {
            let arguments = networksetup::arguments(value);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            // What it says is for whoever reads what is set afterwards.
            let _nothing_is_printed = ask(&arguments);
        }
        Ok(())
    }
}

/// A launch agent of the user, which launchd starts at log-in.
struct LaunchAgent {
    file: PathBuf,
    text: String,
}

pub(super) fn autostart(command: &[OsString], variable: Variable) -> Option<Box<dyn Autostart>> {
    let home = variable("HOME").map(PathBuf::from).filter(|path| path.is_absolute())?;
    let words: Option<Vec<String>> = command.iter().map(|word| word.to_str().map(element)).collect();
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
         \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">\n<dict>\n<key>Label</key>\n\
         <string>hallpass.restore</string>\n<key>ProgramArguments</key>\n<array>\n{}</array>\n<key>RunAtLoad</key>\n<true/>\n\
         </dict>\n</plist>\n",
        words?.concat()
    );
    Some(Box::new(LaunchAgent { file: home.join("Library/LaunchAgents/hallpass.restore.plist"), text }))
}

fn element(word: &str) -> String {
    let word = word.replace('&', "&amp;").replace('<', "&lt;");
    format!("<string>{word}</string>\n")
}

impl Autostart for LaunchAgent {
    fn add(&self) -> io::Result<()> {
        if let Some(directory) = self.file.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(&self.file, &self.text)
    }

    fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}
