//! `hallpass config import` on settings of other tools as they are met, through the binary.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What must be neither said nor written: passwords, and hashes that nobody can use.
const SECRETS: [&str; 8] = [
    "p4ss # word",
    "secret2",
    "geheim",
    "oldSecret",
    "D5826E9C665C37C80B53397D5C07BBCB",
    "E52CAC67419A9A224A3B108F3FA6CB6D",
    "2A6B4C3F9D8E7F60112233445566778",
    "s3cret",
];

/// What may be written and never said.
const WRITTEN: [&str; 3] = ["8846f7eaee8fb117ad06bdd830b7586c", "823893adfad2cda6e1a414f3ebdf58f7", "tape-7 measure"];

fn hallpass(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallpass"));
    command.env_clear().env("HOME", home).env("XDG_CONFIG_HOME", home.join("config"));
    command.env("XDG_STATE_HOME", home.join("state"));
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn samples() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import");
    let mut samples: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    samples.retain(|path| ["conf", "ini", "sh"].iter().any(|kind| path.extension().is_some_and(|e| e == *kind)));
    samples.sort();
    samples
}

/// The lines of a sample that say something: neither empty, nor comments, nor heads of sections.
fn lines_that_say_something(path: &Path) -> Vec<usize> {
    let bytes = fs::read(path).unwrap();
    let text = match bytes.starts_with(b"\xff\xfe") {
        true => String::from_utf16_lossy(
            &bytes[2..].chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect::<Vec<_>>(),
        ),
        false => String::from_utf8_lossy(&bytes).into_owned(),
    };
    let is_shell = path.extension().is_some_and(|kind| kind == "sh");
    let goes_on = path.to_string_lossy().ends_with("px.ini");
    let says = |line: &str| match is_shell {
        true => line.starts_with("NTLM_CREDENTIALS="),
        false => {
            let trimmed = line.trim();
            let is_part = goes_on && line.starts_with(' ');
            !trimmed.is_empty() && !trimmed.starts_with(['#', ';', '[']) && !is_part
        }
    };
    text.lines().enumerate().filter(|(_, line)| says(line)).map(|(at, _)| at + 1).collect()
}

#[test]
fn each_line_of_each_sample_is_reported_once_and_the_result_passes_the_check() {
    let samples = samples();
    assert!(samples.len() >= 10, "{samples:?}");
    for sample in samples {
        let name = sample.file_name().unwrap().to_string_lossy().into_owned();
        let home = tempfile::tempdir().unwrap();
        let said = succeeded(&hallpass(home.path()).args(["config", "import"]).arg(&sample).output().unwrap());
        let mut reported: Vec<usize> = said
            .lines()
            .filter_map(|line| line.strip_prefix(&format!("{name}:"))?.split(':').next()?.parse().ok())
            .collect();
        reported.sort_unstable();
        assert_eq!(reported, lines_that_say_something(&sample), "{said}");

        let written = home.path().join("config/hallpass/hallpass.toml");
        let config = fs::read_to_string(&written).unwrap();
        let checked = hallpass(home.path()).args(["config", "check"]).output().unwrap();
        succeeded(&checked);
        for secret in SECRETS {
            assert!(!said.contains(secret) && !config.contains(secret), "{name}: {secret}");
        }
        for secret in WRITTEN {
            assert!(!said.to_lowercase().contains(secret), "{name}: {said}");
        }
        let shown = said.replace(&written.display().to_string(), "hallpass.toml");
        compare(&sample.with_extension("report"), &shown);
    }
}

/// With `HALLPASS_WORDS=write` what is there is replaced.
fn compare(path: &Path, said: &str) {
    if std::env::var_os("HALLPASS_WORDS").is_some_and(|wanted| wanted == "write") {
        fs::write(path, said).unwrap();
    }
    assert_eq!(said, fs::read_to_string(path).unwrap_or_default(), "{}", path.display());
}

#[test]
fn what_was_taken_is_what_counts_afterwards() {
    let home = tempfile::tempdir().unwrap();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import/gateway-cntlm.conf");
    succeeded(&hallpass(home.path()).args(["config", "import"]).arg(&sample).output().unwrap());
    let shown = succeeded(&hallpass(home.path()).args(["config", "show"]).output().unwrap());
    for part in [
        "listen = [\"0.0.0.0:3128\"]",
        "allow = [\"10.20.30.0/24\", \"172.17.0.0/16\"]",
        "url = \"http://proxy1.corp.example:3128\"",
        "url = \"http://proxy2.corp.example:3128\"",
        "user = 'CORP\\svc-build'",
        "no_proxy = [\"*.corp.example\", \"10.*\"]",
        "target = \"git.corp.example:22\"",
        "target = \"db.partner.example:5432\"",
    ] {
        assert!(shown.contains(part), "{part} in:\n{shown}");
    }
}

#[test]
fn the_variables_of_the_shell_are_taken_where_no_file_is_named() {
    let home = tempfile::tempdir().unwrap();
    let output = hallpass(home.path())
        .args(["config", "import", "--print"])
        .env("HTTPS_PROXY", "http://CORP%5Calice:s3cret@proxy.corp.example:8080")
        .env("NO_PROXY", ".corp.example")
        .output()
        .unwrap();
    let (config, said) = (succeeded(&output), text(&output.stderr));
    assert!(
        config.contains("url = \"http://proxy.corp.example:8080\"")
            && config.contains("no_proxy = [\".corp.example\"]")
    );
    assert!(
        said.contains("environment: HTTPS_PROXY: changed to") && said.contains("hallpass login 'CORP\\alice'"),
        "{said}"
    );
    assert!(!config.contains("s3cret") && !said.contains("s3cret"));
    assert!(!home.path().join("config").exists(), "--print writes nothing");
}

#[test]
fn a_file_that_is_there_is_kept_and_one_that_cannot_be_read_is_named() {
    let home = tempfile::tempdir().unwrap();
    let kept = home.path().join("mine.toml");
    fs::write(&kept, "grace = \"7s\"\n").unwrap();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import/px.ini");
    let run = |file: &Path| {
        let mut command = hallpass(home.path());
        command.args(["config", "import"]).arg(file).arg("--config").arg(&kept).output().unwrap()
    };
    let output = run(&sample);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--force replaces it"), "{}", text(&output.stderr));
    assert_eq!(fs::read_to_string(&kept).unwrap(), "grace = \"7s\"\n");

    let stranger = home.path().join("hosts");
    fs::write(&stranger, "127.0.0.1 localhost\n").unwrap();
    for (file, part) in [(home.path().join("none.ini"), "cannot read"), (stranger, "--from says whose it is")] {
        let output = run(&file);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(part), "{}", text(&output.stderr));
    }
}
