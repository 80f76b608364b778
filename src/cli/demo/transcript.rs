//! How the demo's story looks: aligned lines, ticks and crosses, colours only where they are wanted.

use std::io::{self, Write};

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const OFF: &str = "\x1b[0m";
/// The widest step's name, so that the results stand in a column.
const COLUMN: usize = 34;

pub(super) struct Transcript<'a> {
    out: &'a mut dyn Write,
    colour: bool,
}

impl<'a> Transcript<'a> {
    pub fn new(out: &'a mut dyn Write, colour: bool) -> Self {
        Self { out, colour }
    }

    pub fn line(&mut self, text: &str) -> io::Result<()> {
        self.write(&format!("{text}\n"))
    }

    pub fn heading(&mut self, text: &str) -> io::Result<()> {
        let text = self.painted(BOLD, text);
        self.write(&format!("\n{text}\n"))
    }

    pub fn fact(&mut self, name: &str, text: &str) -> io::Result<()> {
        self.write(&format!("  {name:<17}{text}\n"))
    }

    pub fn command(&mut self, text: &str) -> io::Result<()> {
        self.write(&format!("  {text}\n"))
    }

    /// It went as a user wants it to go.
    pub fn works(&mut self, name: &str, result: &str) -> io::Result<()> {
        self.step(GREEN, "\u{2713}", name, result)
    }

    /// It did not, and that was to be shown.
    pub fn refused(&mut self, name: &str, result: &str) -> io::Result<()> {
        self.step(RED, "\u{2717}", name, result)
    }

    /// It should have gone otherwise.
    pub fn failed(&mut self, name: &str, why: &str) -> io::Result<()> {
        let why = self.painted(RED, &format!("FAILED: {why}"));
        self.step(RED, "\u{2717}", name, &why)
    }

    /// One request as the corporate proxy met it.
    pub fn seen(&mut self, request: &str, status: u16, user: Option<&str>) -> io::Result<()> {
        let status_colour = if status == 407 { RED } else { GREEN };
        let status = self.painted(status_colour, &status.to_string());
        let user = self.painted(DIM, user.unwrap_or("nobody yet"));
        self.write(&format!("  {status}  {request}  {user}\n"))
    }

    fn step(&mut self, colour: &str, mark: &str, name: &str, result: &str) -> io::Result<()> {
        let mark = self.painted(colour, mark);
        self.write(&format!("  {mark} {name:<COLUMN$}{result}\n"))
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("{colour}{text}{OFF}") } else { text.to_string() }
    }

    /// Flushed line by line: the story is told while it happens.
    fn write(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}
