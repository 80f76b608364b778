//! What is to be run: a command as it was typed, or an installed program by its name.

use std::ffi::OsString;
use std::process::Command;

use crate::process::installed::{self, Missing, Start};

#[derive(Debug)]
pub struct Program {
    pub name: OsString,
    arguments: Vec<OsString>,
    start: Start,
}

impl Program {
    /// `app`: in place of the first word of `command`. `None`: there is no word.
    pub fn find(app: Option<&str>, command: &[OsString]) -> Result<Option<Self>, Missing> {
        if let Some(app) = app {
            let start = installed::find(app)?;
            let arguments = start.arguments.iter().chain(command).cloned().collect();
            return Ok(Some(Self { name: start.program.clone().into(), arguments, start }));
        }
        let typed = command.split_first().map(|(name, arguments)| Self {
            name: name.clone(),
            arguments: arguments.to_vec(),
            start: Start::default(),
        });
        Ok(typed)
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.name);
        command.args(&self.arguments);
        if let Some(directory) = &self.start.directory {
            command.current_dir(directory);
        }
        command
    }

    pub fn remark(&self) -> Option<&str> {
        self.start.remark.as_deref()
    }

    /// What to do where the system does not let us start it.
    pub fn if_denied(&self) -> Option<&'static str> {
        self.start.if_denied
    }
}
