//! The seeds of the fuzzers, replayed through the functions that are fuzzed.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::path::{Path, PathBuf};

#[path = "fuzz/targets.rs"]
mod targets;

fn files(directory: PathBuf) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_seed_goes_through_its_function_whole_and_cut() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, function) in targets::ALL {
        let seeds = files(root.join("tests/fuzz/seeds").join(name));
        assert!(seeds.len() >= 8, "{name} has {} seeds", seeds.len());
        for seed in &seeds {
            let bytes = fs::read(seed).unwrap();
            function(&bytes);
            function(&bytes[..bytes.len() / 2]);
            function(&bytes[bytes.len() / 3..]);
        }
    }
}

#[test]
fn every_script_of_the_corpus_goes_through_the_fuzzed_function() {
    for script in files(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pac")) {
        targets::pac_script(&fs::read(script).unwrap());
    }
}

#[test]
fn every_fuzzed_function_has_its_program() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let manifest = fs::read_to_string(directory.join("Cargo.toml")).unwrap();
    for (name, _) in targets::ALL {
        let program = fs::read_to_string(directory.join("fuzz_targets").join(name).with_extension("rs")).unwrap();
        assert!(program.contains(&format!("targets::{name}(bytes)")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in the manifest");
    }
}
