//! `hallpass config list`: the configurations that have a name, and which of them counts.

use crate::cli::flags::Flags;
use crate::cli::output;
use crate::config::{self, Files, Inputs, Origin};

pub fn run(flags: &Flags) {
    let inputs = flags.inputs();
    let names = config::names(&|name| std::env::var(name).ok());
    for name in &names {
        let files = config::named_files(name, Origin::Flag("--config"), &|name| std::env::var(name).ok());
        let in_use = if is_chosen(&inputs.files, &files) { "* " } else { "  " };
        let mistakes = config::examine(&Inputs { files: files.clone(), ..inputs.clone() }).mistakes.len();
        let state = match mistakes {
            0 => "ok".into(),
            1 => "1 mistake".into(),
            several => format!("{several} mistakes"),
        };
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
}

fn is_chosen(chosen: &Files, files: &Files) -> bool {
    config::places_of(chosen) == config::places_of(files)
}
