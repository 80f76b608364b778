//! The doorway without a console: the relay that a log-in starts, with nothing on the screen.
#![windows_subsystem = "windows"]

use std::process::ExitCode;

fn main() -> ExitCode {
    hallpass::cli::serve_unseen()
}
