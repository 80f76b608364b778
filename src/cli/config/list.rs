//! `hallpass config list`: the configurations that have a name, and which of them counts.

use crate::cli::flags::Flags;
use crate::cli::output;
use crate::config::{self, Files, FoundPolicy, Inputs, Origin};

pub fn run(flags: &Flags) {
    let inputs = flags.inputs();
    let names = config::names(&|name| std::env::var(name).ok());
    for name in &names {
        let files = config::named_files(name, Origin::Flag("--config"), &|name| std::env::var(name).ok());
        let in_use = if is_chosen(&inputs.files, &files) { "* " } else { "  " };
        let state = state(config::examine(&Inputs { files: files.clone(), ..inputs.clone() }).mistakes.len());
        let places = config::places_of(&files).into_iter().filter(|path| path.exists());
        let places = super::join(places.map(|path| path.display().to_string()));
        output::say(format_args!("{in_use}{name}: {state}: {places}"));
    }
    if names.is_empty() {
        output::say("there is none; hallpass config init writes one");
    }
    match &inputs.files {
        Files::Only(path) => output::say(format_args!("* {}", path.display())),
        Files::Nothing => output::say("* no file is read"),
        Files::Standard { .. } | Files::Named { .. } => {}
    }
    // It stands above every one of them.
    for FoundPolicy { place, refused, mistakes } in config::examine(&inputs).loaded.policies() {
        match refused {
            None => output::say(format_args!("policy: {}: {place}", state(*mistakes))),
            Some(why) => output::say(format_args!("policy: refused, and nothing starts: {place}: {why}")),
        }
    }
}

fn state(mistakes: usize) -> String {
    match mistakes {
        0 => "ok".into(),
        1 => "1 mistake".into(),
        several => format!("{several} mistakes"),
    }
}

fn is_chosen(chosen: &Files, files: &Files) -> bool {
    config::places_of(chosen) == config::places_of(files)
}
