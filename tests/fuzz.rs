//! The seeds of the fuzzers, replayed through the functions that are fuzzed.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where something is not as it should be")]

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

#[path = "fuzz/targets/mod.rs"]
mod targets;

fn files(directory: PathBuf) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_seed_goes_through_its_function_whole_and_cut() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut failed = BTreeSet::new();
    for (name, function) in targets::ALL {
        let seeds = files(root.join("tests/fuzz/seeds").join(name));
        assert!(seeds.len() >= 8, "{name} has {} seeds", seeds.len());
        for seed in &seeds {
            let bytes = fs::read(seed).unwrap();
            for part in [&bytes[..], &bytes[..bytes.len() / 2], &bytes[bytes.len() / 3..]] {
                if catch_unwind(|| function(part)).is_err() {
                    failed.insert(seed.clone());
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn every_script_of_the_corpus_goes_through_the_fuzzed_function() {
    for script in files(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pac")) {
        targets::routes::pac_script(&fs::read(script).unwrap());
    }
}

#[test]
fn every_recorded_head_goes_through_the_fuzzed_function_as_an_answer_to_each_method() {
    let heads = files(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/heads"));
    let mut read = 0;
    for head in heads.iter().filter(|path| path.extension().is_some_and(|extension| extension == "txt")) {
        let bytes = fs::read(head).unwrap();
        (0..3).for_each(|method| targets::heads::response_head(&[&[method], &*bytes].concat()));
        read += 1;
    }
    assert!(read > 20, "only {read} heads were found");
}

#[test]
fn every_fuzzed_function_has_its_program() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let manifest = fs::read_to_string(directory.join("Cargo.toml")).unwrap();
    for (name, _) in targets::ALL {
        let program = fs::read_to_string(directory.join("fuzz_targets").join(name).with_extension("rs")).unwrap();
        assert!(program.contains(&format!("::{name}(bytes)")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in the manifest");
    }
}
