//! A terminal on which one text stays in its place, and that is as it was afterwards.

use std::io::Write as _;

use super::super::output;

/// A second screen, no cursor, no line that goes on in the next one.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// Terminals that know it show what is between all at once.
const BEGIN: &str = "\x1b[?2026h\x1b[H";
const END: &str = "\x1b[J\x1b[?2026l";

/// Whether there is one that takes such orders.
pub(super) fn is_there() -> bool {
    let terminal = std::env::var_os("TERM").is_some_and(|terminal| !terminal.is_empty() && terminal != "dumb");
    terminal && output::stdout_is_a_terminal()
}

/// Dropped, it gives the terminal back.
pub(super) struct Screen;

impl Screen {
    pub fn enter() -> Self {
        send(ENTER);
        Self
    }

    /// Each line over the one that was there: nothing is cleared before it is written, so nothing flickers.
    pub fn draw(&self, text: &str) {
        let height = output::terminal_height().unwrap_or(usize::MAX);
        let lines: Vec<String> = text.lines().take(height).map(|line| format!("{line}\x1b[K")).collect();
        send(&format!("{BEGIN}{}{END}", lines.join("\r\n")));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        send(LEAVE);
    }
}

fn send(text: &str) {
    let mut out = output::writer();
    let _reader_went_away = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
