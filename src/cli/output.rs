//! The only place that prints. A reader that went away is no reason to fail.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use super::EXIT_MISTAKE;
use crate::process;

/// What was asked for.
pub fn say(text: impl Display) {
    let _reader_went_away = writeln!(io::stdout(), "{text}");
}

/// What went wrong.
pub fn complain(text: impl Display) {
    let _reader_went_away = writeln!(io::stderr(), "{text}");
}

/// A question, to be answered on the same line; what is asked for goes elsewhere than what was asked of us.
pub fn ask(text: impl Display) {
    let _reader_went_away = write!(io::stderr(), "{text}");
}

/// How something goes on, where a person looks on: takes the place of what was told before; nothing ends it.
pub fn progress(text: impl Display) {
    if io::stderr().is_terminal() {
        let mut err = io::stderr().lock();
        let _reader_went_away = write!(err, "\r\x1b[2K{text}").and_then(|()| err.flush());
    }
}

/// Help, the version, or what is wrong with the arguments.
pub fn usage(error: &clap::Error) -> ExitCode {
    let _reader_went_away = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(EXIT_MISTAKE))
}

/// For what is told bit by bit.
pub fn writer() -> impl Write {
    io::stdout()
}

/// Bytes that are not ours to understand; at their end whoever reads them hears the end.
pub fn raw(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write(&mut out)?;
    out.flush()
}

pub fn stdout_is_a_terminal() -> bool {
    io::stdout().is_terminal()
}

/// In lines, where there is a terminal that says.
pub fn terminal_height() -> Option<usize> {
    process::terminal_height(io::stdout())
}

/// A person reads it and has nothing against colours (no-color.org).
pub fn stdout_takes_colours() -> bool {
    io::stdout().is_terminal() && colours_are_welcome()
}

/// See [`stdout_takes_colours`].
pub fn stderr_takes_colours() -> bool {
    io::stderr().is_terminal() && colours_are_welcome()
}

fn colours_are_welcome() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
