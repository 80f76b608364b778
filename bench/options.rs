//! What the command line asks for.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::picture::Draw;
use crate::relays::{Contender, Kind};
use crate::results::Results;
use crate::upstream::Play;

/// Compares hallpass with other relays: every case against every relay in the same run, in turns.
#[derive(Debug, Parser)]
#[command(name = "compare")]
pub struct Options {
    #[command(subcommand)]
    pub role: Option<Role>,
    /// Only show that everything works: tiny counts, figures that mean nothing.
    #[arg(long)]
    pub short: bool,
    /// Cases to run, by name or a part of it, separated by commas.
    #[arg(long = "case", value_delimiter = ',')]
    pub cases: Vec<String>,
    /// Relays to compare, separated by commas; without this all that are installed.
    #[arg(long = "relay", value_delimiter = ',')]
    pub relays: Vec<Kind>,
    /// How often the relays take turns.
    #[arg(long)]
    pub rounds: Option<usize>,
    /// The hallpass to measure, [NAME=]PATH; several are measured side by side.
    #[arg(long = "binary", value_delimiter = ',')]
    pub binaries: Vec<String>,
    /// Where to write all figures as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Only name the cases.
    #[arg(long)]
    pub list: bool,
    /// What cargo bench says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, clap::Subcommand)]
pub enum Role {
    /// Plays the upstream and the origin until stdin ends.
    Upstream(Play),
    Picture(Draw),
}

impl Options {
    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.short { 1 } else { 3 })
    }

    /// The words by which a run of this program compares the same in the same way.
    pub fn again(&self) -> Vec<String> {
        let mut words: Vec<String> = self.relays.iter().map(|kind| format!("--relay={}", kind.name())).collect();
        words.extend(self.binaries.iter().map(|binary| format!("--binary={binary}")));
        words.extend(self.rounds.map(|rounds| format!("--rounds={rounds}")));
        words.extend(self.short.then(|| "--short".into()));
        words
    }

    pub fn wants(&self, case: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|word| case.contains(word.as_str()))
    }

    /// All that can be had. One that is wanted and not there is said to be missing.
    pub fn contenders(&self, results: &mut Results) -> Vec<Contender> {
        let mut found = Vec::new();
        for kind in
            Kind::value_variants().iter().copied().filter(|kind| self.relays.is_empty() || self.relays.contains(kind))
        {
            if kind == Kind::Hallpass && !self.binaries.is_empty() {
                found.extend(self.binaries.iter().enumerate().map(|(at, word)| binary(at, word)));
                continue;
            }
            match kind.program() {
                Some(program) => found.push(Contender { kind, name: kind.name().into(), program }),
                None => results.missing(kind.name()),
            }
        }
        found
    }
}

fn binary(at: usize, word: &str) -> Contender {
    let (name, path) = match word.split_once('=') {
        Some((name, path)) => (name.to_owned(), path),
        None if at == 0 => (Kind::Hallpass.name().to_owned(), word),
        None => (format!("{}-{}", Kind::Hallpass.name(), at + 1), word),
    };
    // A relay starts in a directory of its own.
    let program = std::path::absolute(path).unwrap_or_else(|_| path.into());
    Contender { kind: Kind::Hallpass, name, program }
}
