//! The side-by-side comparison with other relays: `bench/compare`, or `cargo bench --bench compare -- --help`.
//!
//! A case starts the relays it needs, each with an upstream that a process of its own plays, and measures them in
//! turns. Whatever travels is checked; a relay that changes bytes or fails is named under the table.

mod cases;
mod clock;
mod compare;
mod crowd;
mod goals;
mod head;
mod kdc;
mod load;
mod options;
mod pattern;
mod picture;
mod process;
mod relays;
mod results;
mod upstream;

use std::fs;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;

use crate::compare::{Bench, eprint_line};
use crate::options::{Options, Role};

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match &options.role {
        Some(Role::Upstream(play)) => upstream::serve(play).map(|()| ExitCode::SUCCESS),
        Some(Role::Picture(what)) => picture::draw(what).map(|()| ExitCode::SUCCESS),
        None => compare(options),
    };
    outcome.unwrap_or_else(|error| {
        eprint_line(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}

#[expect(clippy::print_stdout, reason = "a program for whoever works on this")]
fn compare(options: Options) -> Result<ExitCode> {
    let cases: Vec<_> = cases::ALL.iter().filter(|case| options.wants(case.name)).collect();
    if options.list {
        cases.iter().for_each(|case| println!("{}", case.name));
        return Ok(ExitCode::SUCCESS);
    }
    let json = options.json.clone();
    let mut bench = Bench::new(options)?;
    for case in cases {
        let begun = Instant::now();
        (case.run)(&bench).with_context(|| case.name)?;
        bench.nobody_was_refused(case.name)?;
        eprint_line(&format!("{:<16} {:>4.1} s", case.name, begun.elapsed().as_secs_f64()));
    }
    let ours = bench.ours();
    let results = bench.into_results();
    println!("{}", results.table());
    for name in &ours {
        println!("Goals of {name}\n{}", goals::table(&results, name));
    }
    if let Some(file) = json {
        fs::write(&file, serde_json::to_string_pretty(&results)?).with_context(|| file.display().to_string())?;
    }
    let failed = results.failures.iter().any(|failure| ours.contains(&failure.relay));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
