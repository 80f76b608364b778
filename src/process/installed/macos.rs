//! What lies in the directories for applications, each a bundle.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Inventory, bundle};

const DIRECTORIES: [&str; 2] = ["/Applications", "/System/Applications"];

/// Applications may lie in a folder of their maker's or kind.
const DEPTH: usize = 2;

/// How a list that is not XML begins.
const BINARY: &[u8] = b"bplist";

pub fn inventory() -> Inventory {
    let of_user = env::var_os("HOME").map(|home| PathBuf::from(home).join("Applications"));
    let directories: Vec<PathBuf> = of_user.into_iter().chain(DIRECTORIES.map(PathBuf::from)).collect();
    let mut bundles = Vec::new();
    for directory in &directories {
        collect(directory, DEPTH, &mut bundles);
    }
    let programs = bundles.iter().filter_map(|bundle| bundle::installed(bundle, &list(bundle)?)).collect();
    Inventory { programs, places: directories.iter().map(|directory| directory.display().to_string()).collect() }
}

fn collect(directory: &Path, depth: usize, bundles: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|kind| kind == "app") {
            bundles.push(path);
        } else if depth > 1 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&path, depth - 1, bundles);
        }
    }
}

/// The list as XML; the system's own program translates the other form.
fn list(bundle: &Path) -> Option<Vec<u8>> {
    let file = bundle.join("Contents/Info.plist");
    let bytes = fs::read(&file).ok()?;
    if !bytes.starts_with(BINARY) {
        return Some(bytes);
    }
    let translated = Command::new("/usr/bin/plutil").args(["-convert", "xml1", "-o", "-", "--"]).arg(&file).output();
    translated.ok().filter(|done| done.status.success()).map(|done| done.stdout)
}
