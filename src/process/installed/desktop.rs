//! A desktop entry: what a program is called and how the desktop starts it (Desktop Entry Specification 1.5).

use std::path::{Path, PathBuf};

use super::exec_line::{self, Codes};
use super::{Installed, Start};

/// The keys of an application's entry that matter here.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Entry {
    /// The plain name first, then those of other languages.
    names: Vec<String>,
    exec: Option<String>,
    try_exec: Option<String>,
    path: Option<String>,
    icon: Option<String>,
    is_hidden: bool,
    no_display: bool,
    is_activated: bool,
}

/// `None`: no application, or one that is not there. `has`: whether a program is there, as the shell finds it.
pub fn installed(id: &str, file: &Path, text: &str, has: impl Fn(&str) -> bool) -> Option<Installed> {
    let entry = parse(text)?;
    if entry.is_hidden || entry.try_exec.as_deref().is_some_and(|program| !has(program)) {
        return None;
    }
    let words = entry.exec.as_deref().map_or(Ok(Vec::new()), exec_line::words);
    let mut names = entry.names.clone();
    names.push(format!("{id}.desktop"));
    names.extend(words.iter().flat_map(|words| exec_line::program_names(words)));
    let place = |why: &str| format!("{why} ({})", file.display());
    let start =
        words.map_err(place).and_then(|words| start(&entry, &words, file).ok_or_else(|| place(without(&entry))));
    Some(Installed { id: id.into(), names, is_shown: !entry.no_display, start })
}

fn without(entry: &Entry) -> &'static str {
    match entry.is_activated {
        true => "it is started over D-Bus alone, and the desktop gives it the environment",
        false => "it has no Exec line",
    }
}

fn start(entry: &Entry, words: &[String], file: &Path) -> Option<Start> {
    let name = entry.names.first().map(String::as_str).unwrap_or_default();
    let codes = Codes { name, icon: entry.icon.as_deref(), file };
    let mut words = exec_line::expanded(words, codes).into_iter();
    let program = PathBuf::from(words.next()?);
    let remark = entry.is_activated.then(|| {
        format!(
            "the desktop starts {name} over D-Bus; this is a start by its Exec line, which does nothing but open a window \
             of the one that runs already, if any does, with the environment that one has"
        )
    });
    Some(Start {
        program,
        arguments: words.map(Into::into).collect(),
        directory: entry.path.as_deref().filter(|path| !path.is_empty()).map(PathBuf::from),
        remark,
        if_denied: None,
    })
}

fn parse(text: &str) -> Option<Entry> {
    let mut entry = Entry::default();
    let (mut is_in_group, mut is_application) = (false, false);
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            is_in_group = line == "[Desktop Entry]";
            continue;
        }
        let (true, Some((key, value))) = (is_in_group && !line.starts_with('#'), line.split_once('=')) else {
            continue;
        };
        let (key, value) = (key.trim_end(), unescaped(value.trim_start()));
        match key {
            "Type" => is_application = value == "Application",
            "Name" => entry.names.insert(0, value),
            "Exec" => entry.exec = Some(value),
            "TryExec" => entry.try_exec = Some(value),
            "Path" => entry.path = Some(value),
            "Icon" => entry.icon = Some(value),
            "Hidden" => entry.is_hidden = value == "true",
            "NoDisplay" => entry.no_display = value == "true",
            "DBusActivatable" => entry.is_activated = value == "true",
            _ if key.starts_with("Name[") => entry.names.push(value),
            _ => {}
        }
    }
    is_application.then_some(entry)
}

/// The escapes of every string value.
fn unescaped(value: &str) -> String {
    let (mut out, mut chars) = (String::new(), value.chars());
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('s')) => out.push(' '),
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some('t')) => out.push('\t'),
            ('\\', Some('r')) => out.push('\r'),
            ('\\', Some('\\')) => out.push('\\'),
            ('\\', Some(other)) => out.extend(['\\', other]),
            (plain, _) => out.push(plain),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Installed> {
        installed("my-app", Path::new("/usr/share/applications/my-app.desktop"), text, |program| program == "there")
    }

    const FULL: &str = "#!/usr/bin/env xdg-open\n[Desktop Entry]\nVersion=1.0\nType=Application\nName[de]=Mein Programm\n\
        Name = My App\nGenericName=Editor\nExec=\"/opt/My App/my-app\" --class=\"a\\\\\\\\b\" %U\nTryExec=there\nIcon=my-app\n\
        Path=/opt/My App\nTerminal=false\n\n[Desktop Action new]\nName=New Window\nExec=/opt/other\nHidden=true\n";

    #[test]
    fn an_application_has_its_names_and_its_start() {
        let found = read(FULL).unwrap();
        assert_eq!(found.names, ["My App", "Mein Programm", "my-app.desktop", "my-app"]);
        assert!(found.is_shown);
        let start = found.start.unwrap();
        assert_eq!(
            (start.program.to_str(), start.directory.as_deref()),
            (Some("/opt/My App/my-app"), Some(Path::new("/opt/My App")))
        );
        assert_eq!((start.arguments, start.remark), (vec!["--class=a\\b".into()], None));
    }

    #[test]
    fn what_is_no_application_or_is_not_there_is_none() {
        for text in [
            "",
            "[Other]\nType=Application\nName=A\nExec=a\n",
            "[Desktop Entry]\nType=Link\nName=A\nURL=http://a.test/\n",
            "[Desktop Entry]\nType=Application\nName=A\nExec=a\nHidden=true\n",
            "[Desktop Entry]\nType=Application\nName=A\nExec=a\nTryExec=gone\n",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn it_is_said_why_an_entry_cannot_be_started_and_what_its_start_is_not() {
        let place = " (/usr/share/applications/my-app.desktop)";
        for (lines, why) in [
            ("DBusActivatable=true", "it is started over D-Bus alone, and the desktop gives it the environment"),
            ("NoDisplay=true", "it has no Exec line"),
            ("Exec=%U", "it has no Exec line"),
            ("Exec=a \"b", "its Exec line has a quote that does not end"),
        ] {
            let found = read(&format!("[Desktop Entry]\nType=Application\nName=A\n{lines}\n")).unwrap();
            assert_eq!(found.start.unwrap_err(), format!("{why}{place}"), "{lines}");
        }
        let found =
            read("[Desktop Entry]\nType=Application\nName=A\nExec=a\nDBusActivatable=true\nNoDisplay=true\n").unwrap();
        assert!(!found.is_shown);
        assert!(found.start.unwrap().remark.unwrap().starts_with("the desktop starts A over D-Bus; "));
    }
}
