//! What the program says to people stands in the documents, and what the documents say is so: errors, help, the manual.
//!
//! `HALLPASS_WORDS=write cargo test --test words` writes the parts of docs/errors.md and docs/manual.md that are made from
//! the code.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

#[path = "words/advice.rs"]
mod advice;
#[path = "words/manual.rs"]
mod manual;
#[path = "architecture/source.rs"]
#[allow(dead_code, reason = "the architecture's test asks it for more")]
mod source;
#[path = "words/texts.rs"]
mod texts;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use hallpass::proxy::faults;
use hallpass::{cli, config};

const HOW_TO_MEND: &str = "write it with: HALLPASS_WORDS=write cargo test --test words";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// Two parts of one file are not written at the same time.
static WRITING: Mutex<()> = Mutex::new(());

/// What stands between `<!-- NAME: begin -->` and its end; with the variable set it is written first.
fn made_part(file: &str, name: &str, wanted: &str) -> String {
    let _alone = WRITING.lock().unwrap();
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let text = document(file);
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{file} has no {begin}"));
    let (part, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{file} has no {end}"));
    if std::env::var_os("HALLPASS_WORDS").is_some_and(|value| value == "write") {
        fs::write(root().join(file), format!("{before}{begin}{wanted}{end}{after}")).unwrap();
        return wanted.into();
    }
    part.into()
}

/// The sections of docs/errors.md: a heading and what stands below it.
fn sections(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("\n### ").skip(1).map(|section| section.split_once('\n').unwrap())
}

#[test]
fn every_fault_has_a_section_and_every_section_is_of_a_fault() {
    let text = document("docs/errors.md");
    let (explained, _) = text.split_once("\n## Commands and configuration").unwrap();
    let headings: Vec<&str> = sections(explained).map(|(heading, _)| heading).collect();
    for fault in faults::ALL {
        let found = headings.iter().filter(|heading| **heading == fault.anchor).count();
        assert_eq!(found, 1, "docs/errors.md has no section, or two: ### {}", fault.anchor);
    }
    for heading in headings {
        assert!(faults::ALL.iter().any(|fault| fault.anchor == heading), "nothing names errors.md#{heading}");
    }
}

#[test]
fn a_section_says_the_same_as_the_line_on_the_screen() {
    let text = document("docs/errors.md");
    for (heading, section) in sections(&text) {
        let Some(fault) = faults::ALL.iter().find(|fault| fault.anchor == heading) else { continue };
        for words in [format!("At fault: **{}**. Status {},", fault.whose, fault.status), fault.hint.into()] {
            assert!(section.contains(&words), "docs/errors.md, {heading}, does not say: {words}");
        }
        assert!(section.contains("\n> ") && section.contains("\nWhat to do: "), "{heading}");
    }
    let (example, _) = text.split_once("\n## ").unwrap();
    let end =
        format!("{} (request hallpass-0f2b6a51-1, errors.md#credential-rejected)\n", faults::CREDENTIAL_REJECTED.hint);
    assert!(example.contains(&end), "the example at the top of docs/errors.md is not what is said: {end}");
    for whose in faults::ALL.iter().map(|fault| fault.whose.to_string()) {
        assert!(text.contains(&format!("\n| {whose} | ")), "docs/errors.md does not explain who {whose} is");
    }
}

/// Every text of the program, by its rooms.
fn made_list() -> String {
    let mut list = String::new();
    for (room, texts) in texts::of_the_program(root()) {
        write!(list, "\n### Texts of `{room}`\n\n```text\n{}\n```\n", texts.join("\n")).unwrap();
    }
    list + "\n"
}

fn missing<'a>(texts: &'a [String], document: &str) -> Vec<&'a str> {
    let lines: Vec<&str> = document.lines().collect();
    texts.iter().map(String::as_str).filter(|text| !lines.contains(text)).collect()
}

#[test]
fn every_error_text_in_the_code_stands_in_the_document() {
    let wanted = made_list();
    let part = made_part("docs/errors.md", "texts", &wanted);
    let all: Vec<String> = texts::of_the_program(root()).into_values().flatten().collect();
    assert!(all.len() > 200, "only {} texts were found", all.len());
    let missing = missing(&all, &part);
    assert!(missing.is_empty(), "docs/errors.md lacks {missing:#?}; {HOW_TO_MEND}");
    assert_eq!(part, wanted, "docs/errors.md has what nothing says any more; {HOW_TO_MEND}");
}

#[test]
fn a_text_that_is_not_in_the_document_is_noticed() {
    let sample = r##"
        #[error("cannot read certificates from {}", .0.display())]
        File(PathBuf),
        #[error(transparent)]
        fn a() -> Problem { Problem::new(format!("{name:?} is no port")).hint("443, or \
            a \"range\"") }
        fn b() { bail!("it is {{so}}: {}", 1) }
        fn c() { let why = match x { 1 => "the first of them", _ => "the other one" }; }
        fn d() { run().with_context(|| format!("cannot do {what}"))? }
        fn e() { trace("not for people at all") }
        // Problem::new("a comment says nothing")
        #[cfg(test)] mod tests { fn f() { bail!("a test says nothing") } }
    "##;
    let texts = texts::of_source(sample);
    let expected = [
        "cannot read certificates from {…}",
        "{…} is no port",
        "443, or a \"range\"",
        "it is {so}: {…}",
        "the first of them",
        "the other one",
        "cannot do {…}",
    ];
    assert_eq!(texts, expected);
    assert_eq!(
        missing(&texts, "{…} is no port\nit is {so}: {…}\ncannot do {…}\nthe other one"),
        [expected[0], expected[2], expected[4]]
    );
}

#[test]
fn every_command_says_what_it_does_and_shows_an_example_that_can_be_typed() {
    let all = manual::all(&cli::command());
    assert!(all.len() > 10, "only {} commands were found", all.len());
    for (path, command) in &all {
        assert!(command.get_about().is_some(), "{path} does not say what it does");
        let examples = manual::examples(command);
        assert!(!examples.is_empty(), "{path} --help shows no example: after_help = \"Example:\\n  hallpass …\"");
        for example in examples {
            let result = cli::command().try_get_matches_from(manual::shell_words(&example));
            assert!(result.is_ok(), "{path}: {example}: {}", result.unwrap_err());
        }
        for arg in manual::arguments(command) {
            assert!(arg.get_help().is_some(), "{path}: {} is not explained", manual::typed(arg));
        }
    }
}

#[test]
fn an_example_is_read_as_a_shell_reads_it() {
    for (line, words) in [
        ("hallpass login 'CORP\\alice'", &["hallpass", "login", "CORP\\alice"][..]),
        ("hallpass man > x.1", &["hallpass", "man"]),
        ("hallpass connect \"a b\" ''", &["hallpass", "connect", "a b", ""]),
    ] {
        assert_eq!(manual::shell_words(line), words);
    }
    assert!(cli::command().try_get_matches_from(["hallpass", "lgoin"]).is_err());
}

/// What the blocks of shell commands in a document call hallpass with.
fn shown_commands(text: &str) -> Vec<String> {
    let shell = text.split("\n```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let lines = shell.flat_map(str::lines).map(|line| line.split(" #").next().unwrap_or_default());
    let parts = lines.flat_map(|line| line.split(" | ")).map(|part| part.trim().trim_start_matches("eval \"$("));
    let calls = parts.filter(|part| *part == "hallpass" || part.starts_with("hallpass "));
    calls.map(|call| call.trim_end_matches(")\"").trim_end_matches(" &").to_owned()).collect()
}

#[test]
fn a_command_in_a_document_is_found_in_what_the_shell_does_with_it() {
    let text = "`hallpass no`\n```sh\nhallpass\npass show x | hallpass login --password-stdin\neval \"$(hallpass env)\"\n\
                hallpass serve &\nhallpass doctor   # hallpass no\ntests/run\n```\nhallpass no\n";
    let commands = ["hallpass", "hallpass login --password-stdin", "hallpass env", "hallpass serve", "hallpass doctor"];
    assert_eq!(shown_commands(text), commands);
}

#[test]
fn every_command_in_a_document_can_be_typed() {
    let pages = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let documents = pages.filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    let mut checked = 0;
    for path in documents.chain([root().join("README.md")]) {
        for command in shown_commands(&fs::read_to_string(&path).unwrap()) {
            let result = cli::command().try_get_matches_from(manual::shell_words(&command));
            assert!(result.is_ok(), "{}: {command}: {}", path.display(), result.unwrap_err());
            checked += 1;
        }
    }
    assert!(checked > 60, "only {checked} commands were found");
}

#[test]
fn every_command_that_is_advised_anywhere_can_be_typed() {
    let command = cli::command();
    let (mut wrong, mut flags) = (Vec::new(), 0);
    for (file, text) in advice::texts(root()) {
        for advised in advice::commands(&text) {
            match advice::flags_that_exist(&command, advised) {
                Ok(count) => flags += count,
                Err(problem) => wrong.push(format!("{}: hallpass {advised}: {problem}", file.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(flags > 100, "only {flags} flags were found");
}

#[test]
fn advice_that_cannot_be_typed_is_noticed() {
    let command = cli::command();
    for (advised, flags) in [
        ("status --retry has it tried once more", Some(1)),
        ("env --for git --write.", Some(2)),
        ("env --for nothing", None),
        ("doctor --prest claude", None),
        ("serve --listen auto), or --no-such-thing", Some(1)),
        ("run -- npm --no-such-thing", Some(0)),
        ("config check says the same", Some(0)),
        ("--user 'CORP\\alice' --upstream p:1", Some(2)),
    ] {
        assert_eq!(advice::flags_that_exist(&command, advised).ok(), flags, "{advised}");
    }
}

#[test]
fn every_command_and_flag_stands_in_the_manual() {
    let wanted = manual::commands(&cli::command());
    let part = made_part("docs/manual.md", "commands", &wanted);
    for (path, command) in manual::all(&cli::command()) {
        let head = format!("\n### {path}\n");
        let (_, section) =
            part.split_once(&head).unwrap_or_else(|| panic!("docs/manual.md lacks {path}; {HOW_TO_MEND}"));
        let section = section.split("\n### ").next().unwrap();
        for arg in manual::arguments(&command) {
            let row = format!("| `{}` |", manual::typed(arg).replace('|', "\\|"));
            let is_there =
                section.contains(&row) || section.contains("the flags of the configuration") && part.contains(&row);
            assert!(is_there, "docs/manual.md, {path}, lacks {row}; {HOW_TO_MEND}");
        }
    }
    assert_eq!(part, wanted, "docs/manual.md is not as the commands are; {HOW_TO_MEND}");
}

#[test]
fn every_key_of_the_configuration_stands_in_the_manual() {
    let wanted = manual::keys(&config::schema().unwrap());
    assert!(wanted.lines().count() > 60, "{wanted}");
    let part = made_part("docs/manual.md", "keys", &wanted);
    assert_eq!(part, wanted, "docs/manual.md is not as the keys are; {HOW_TO_MEND}");
}

fn hallpass(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_hallpass")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bash_completes_commands_and_flags() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("hallpass.bash");
    fs::write(&script, hallpass(&["completions", "bash"])).unwrap();
    let completed = |words: &[&str]| -> Vec<String> {
        let line = r#"source "$0" && COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) && _hallpass hallpass "${@: -1}" "${@: -2:1}" && printf '%s\n' "${COMPREPLY[@]}""#;
        let output = Command::new("bash").args(["-c", line]).arg(&script).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(ToOwned::to_owned).collect()
    };
    assert_eq!(completed(&["hallpass", "login", "--password"]), ["--password-stdin"]);
    assert_eq!(completed(&["hallpass", "config", "sch"]), ["schema"]);
    assert_eq!(completed(&["hallpass", "logi"]), ["login"]);
    assert!(completed(&["hallpass", "completions", ""]).contains(&"zsh".to_owned()));
}

#[test]
fn every_shell_has_a_completion_that_names_the_flags() {
    for (shell, sign) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef hallpass"),
        ("fish", "complete -c hallpass"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let script = hallpass(&["completions", shell]);
        assert!(script.contains(sign) && script.contains("password-stdin"), "{shell}: {script}");
    }
}

#[test]
fn a_manual_page_is_written_for_every_command() {
    let directory = tempfile::tempdir().unwrap();
    hallpass(&["man", "--all", directory.path().to_str().unwrap()]);
    for (path, command) in manual::all(&cli::command()) {
        let page = fs::read_to_string(directory.path().join(format!("{}.1", path.replace(' ', "-")))).unwrap();
        for arg in manual::arguments(&command).filter_map(|arg| arg.get_long()) {
            assert!(page.contains(&arg.replace('-', "\\-")), "the page of {path} lacks --{arg}");
        }
    }
    let page = hallpass(&["man"]);
    assert!(page.contains(".TH hallpass 1") && page.contains("\n.SH EXAMPLES\n"), "{page}");
    assert_eq!(
        hallpass(&["man", "config", "check"]),
        fs::read_to_string(directory.path().join("hallpass-config-check.1")).unwrap()
    );
}

#[test]
fn the_defaults_of_the_schema_are_what_show_prints_of_nothing() {
    let schema: serde_json::Value = serde_json::from_str(&hallpass(&["config", "schema"])).unwrap();
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_hallpass"))
        .args(["config", "show", "--no-config"])
        .env_clear()
        .env("HOME", home.path())
        .output()
        .unwrap();
    let shown: serde_json::Value = toml::from_str(std::str::from_utf8(&output.stdout).unwrap()).unwrap();
    let mut checked = 0;
    for (key, value) in shown.as_object().unwrap() {
        let described = &schema["properties"][key];
        let pairs: Vec<_> = match value.as_object() {
            Some(table) => table.iter().map(|(key, value)| (&described["properties"][key], value)).collect(),
            None => vec![(described, value)],
        };
        for (described, value) in pairs {
            assert_eq!(&described["default"], value, "{key}: {described}");
            checked += 1;
        }
    }
    assert!(checked > 30, "only {checked} defaults were shown");
}
