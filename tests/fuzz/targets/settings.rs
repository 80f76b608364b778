//! A configuration file: read without panic, all mistakes with their places, and shown as a file that says the same.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::LazyLock;

use hallpass::config::{Config, Environment, Files, Inputs, Layer, Loaded, Mistakes, Origin, PolicyPlace, load};
use hallpass::credential::Source;
use tempfile::TempDir;

/// One for the life of the process; a fuzzer calls from one thread, and each test has a process's own.
static DIRECTORY: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a directory"));

/// The text of `hallpass.toml`.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // What is read of other files is not ours to invent: some never end.
    if ["file:", "\\u", "\\x", "/dev", "/proc", "/sys"].iter().any(|word| text.contains(word)) {
        return;
    }
    match loaded(text) {
        Ok(loaded) => shown_means_the_same(&loaded, text),
        Err(Mistakes(mistakes)) => {
            assert!(!mistakes.is_empty());
            let lines = text.lines().count().max(1);
            for mistake in &mistakes {
                assert!(!mistake.problem.message.is_empty());
                // Only what is no TOML at all has no key.
                match &mistake.origin {
                    Origin::File { line, column, .. } => {
                        assert!((1..=lines + 1).contains(line) && *column > 0, "{mistake}")
                    }
                    Origin::Default => assert!(!mistake.key.is_empty(), "{mistake}"),
                    origin @ (Origin::Variable(_) | Origin::Flag(_) | Origin::Managed(_)) => {
                        panic!("{origin} was not given")
                    }
                }
            }
        }
    }
}

fn loaded(text: &str) -> Result<Loaded, Mistakes> {
    let path = DIRECTORY.path().join(format!("{:?}.toml", std::thread::current().id()));
    fs::write(&path, text).expect("room on the disk");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a file of ours");
    load(&inputs(&path))
}

fn inputs(path: &Path) -> Inputs {
    let environment = Environment::from_pairs([("HOME", "/nonexistent"), ("PW", "hunter2-of-the-environment")]);
    Inputs { files: Files::Only(path.into()), environment, flags: Layer::default(), policy: PolicyPlace::Nowhere }
}

fn shown_means_the_same(first: &Loaded, text: &str) {
    let shown = first.to_toml();
    let secrets = first.config.credentials.iter().flat_map(|credential| [&credential.secret, &credential.nt_hash]);
    let mut literal = false;
    for source in secrets.flatten() {
        if let Source::Literal(secret) = source {
            literal = true;
            is_not_shown(secret.expose(), text, &shown);
        }
    }
    assert!(!shown.contains("hunter2-of-the-environment"), "{shown}");
    // A secret that is not shown is missing from what is read back.
    if !literal {
        let again = loaded(&shown).unwrap_or_else(|mistakes| panic!("{mistakes}\n{shown}"));
        assert_eq!(without_lines(again.config), without_lines(first.config.clone()), "{shown}");
    }
}

/// With another secret of the same length, the same is shown.
fn is_not_shown(secret: &str, text: &str, shown: &str) {
    let other: String = secret.chars().map(|c| if c.is_ascii_digit() { '0' } else { 'f' }).collect();
    if text.matches(secret).count() == 1
        && secret.is_ascii()
        && let Ok(loaded) = loaded(&text.replace(secret, &other))
    {
        assert_eq!(loaded.to_toml(), shown);
    }
}

/// A rule knows its line, which is another one in another file.
fn without_lines(mut config: Config) -> Config {
    let profiles = config.profiles.iter_mut().map(|profile| &mut profile.routing);
    let rules = profiles.chain([&mut config.routing]).flat_map(|routing| &mut routing.rules);
    rules.for_each(|rule| rule.place.clear());
    config
}
