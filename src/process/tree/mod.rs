//! A program of the user's and all that it starts: begun in our place, with our terminal and our signals, and waited for.

#[cfg_attr(unix, path = "unix/mod.rs")]
#[cfg_attr(not(unix), path = "windows.rs")]
mod imp;

use std::io;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Code(u32),
    /// By a signal of this number.
    Signal(i32),
}

impl Ending {
    /// As a shell tells it.
    pub fn exit_code(self) -> ExitCode {
        imp::exit_code(self)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The program itself has ended; what it started may live on.
    Ended(Ending),
    /// Nothing of all that it started lives any more.
    Empty,
    /// Somebody who sees that the program has ended wants no more waiting.
    Interrupted,
}

#[derive(Debug)]
pub struct Tree(imp::Tree);

impl Tree {
    /// The program takes our place at the terminal: what is typed there reaches it, and other signals to us are passed on.
    /// `whole`: those it leaves behind are waited for too. Processes that are our children before this are never counted.
    pub fn start(command: &mut Command, whole: bool) -> io::Result<Self> {
        imp::Tree::start(command, whole).map(Self)
    }

    /// What happens next. `None`: nothing for so long, or another child of ours has changed.
    pub fn next(&mut self, patience: Option<Duration>) -> io::Result<Option<Event>> {
        self.0.next(patience)
    }

    /// The names of those that the program has left behind, as far as they can be told.
    pub fn left_behind(&self) -> Vec<String> {
        self.0.left_behind()
    }
}

/// A child that what is typed at our terminal does not reach.
pub fn set_apart(command: &mut Command) {
    imp::set_apart(command);
}
