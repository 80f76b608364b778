//! The task that starts the relay at a user's log-in, in the language of Windows' task scheduler, and command lines as
//! Windows takes them apart.

/// What is started, and for whom.
#[derive(Debug, Clone)]
pub struct Task {
    /// The user's SID: names change.
    pub user: String,
    pub program: String,
    pub arguments: Vec<String>,
}

/// From log-in to log-out and for as long as it likes, also on batteries, never twice; started anew a minute after it has
/// failed.
pub fn xml(task: &Task) -> String {
    let user = escaped(&task.user);
    format!(
        r#"<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.3" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Author>hallpass</Author>
    <Description>Logs on to the corporate proxy for local programs.</Description>
  </RegistrationInfo>
  <Triggers>
    <LogonTrigger>
      <Enabled>true</Enabled>
      <UserId>{user}</UserId>
    </LogonTrigger>
  </Triggers>
  <Principals>
    <Principal id="User">
      <UserId>{user}</UserId>
      <LogonType>InteractiveToken</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <AllowHardTerminate>true</AllowHardTerminate>
    <StartWhenAvailable>true</StartWhenAvailable>
    <RunOnlyIfNetworkAvailable>false</RunOnlyIfNetworkAvailable>
    <AllowStartOnDemand>true</AllowStartOnDemand>
    <Enabled>true</Enabled>
    <Hidden>true</Hidden>
    <RunOnlyIfIdle>false</RunOnlyIfIdle>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Priority>5</Priority>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>255</Count>
    </RestartOnFailure>
  </Settings>
  <Actions Context="User">
    <Exec>
      <Command>{}</Command>
      <Arguments>{}</Arguments>
    </Exec>
  </Actions>
</Task>
"#,
        escaped(&task.program),
        escaped(&command_line(&task.arguments)),
    )
}

/// The task scheduler's own file for it: UTF-16 with its mark.
pub fn file(xml: &str) -> Vec<u8> {
    "\u{feff}".encode_utf16().chain(xml.replace('\n', "\r\n").encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

/// Words as CommandLineToArgvW and the C library find them again.
pub fn command_line<S: AsRef<str>>(words: &[S]) -> String {
    words.iter().map(|word| quoted(word.as_ref())).collect::<Vec<_>>().join(" ")
}

/// Backslashes stand for themselves but before a quotation mark.
fn quoted(word: &str) -> String {
    if !word.is_empty() && !word.contains([' ', '\t', '"']) {
        return word.into();
    }
    let mut text = String::from("\"");
    let mut backslashes = 0;
    for letter in word.chars() {
        match letter {
            '\\' => backslashes += 1,
            '"' => {
                text.extend(std::iter::repeat_n('\\', backslashes + 1));
                backslashes = 0;
            }
            _ => backslashes = 0,
        }
        text.push(letter);
    }
    text.extend(std::iter::repeat_n('\\', backslashes));
    text.push('"');
    text
}

/// A command line's program, and all that follows it as it stands there.
pub fn parted(line: &str) -> (&str, &str) {
    let line = line.trim_start();
    let (program, rest) = match line.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
        None => line.split_once(' ').unwrap_or((line, "")),
    };
    (program, rest.trim_start())
}

/// The command of a service whose program is gone that has one of ours: the former program, and the command with the one
/// that has taken its place. What is another program's, or starts ours in its own way, is not ours to change.
pub fn renewed(
    line: &str,
    program: &str,
    variable: impl Fn(&str) -> Option<String>,
    is_there: impl Fn(&str) -> bool,
) -> Option<(String, String)> {
    let (former, arguments) = parted_behind(NAME, line);
    let former = expanded(former, variable)?;
    let is_lost = former.to_ascii_lowercase().ends_with(NAME) && !is_there(&former);
    is_lost.then(|| (former, format!("{} {arguments}", command_line(&[program])).trim_end().into()))
}

/// The program of a service.
const NAME: &str = "hallpass.exe";

/// As [`parted`], but where nothing is quoted a program may have spaces in its path: Windows looks for it behind each of
/// them, and we know its name.
fn parted_behind<'a>(name: &str, line: &'a str) -> (&'a str, &'a str) {
    let line = line.trim_start();
    let lower = line.to_ascii_lowercase();
    let mut ends = lower.match_indices(name).map(|(at, name)| line.split_at(at + name.len()));
    match ends.find(|(_, rest)| rest.is_empty() || rest.starts_with([' ', '\t'])) {
        Some((program, rest)) if !line.starts_with('"') => (program, rest.trim_start()),
        Some(_) | None => parted(line),
    }
}

/// With the values of its variables; `None` where one has none.
fn expanded(text: &str, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let (mut found, mut rest) = (String::new(), text);
    while let Some((before, (name, behind))) =
        rest.split_once('%').and_then(|(before, behind)| Some((before, behind.split_once('%')?)))
    {
        found.push_str(before);
        found.push_str(&variable(name)?);
        rest = behind;
    }
    found.push_str(rest);
    Some(found)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> Task {
        Task {
            user: "S-1-5-21-1-2-3-1001".into(),
            program: r"C:\Program Files\R&D\hallpassw.exe".into(),
            arguments: vec!["--user".into(), r"CORP\alice <a>".into()],
        }
    }

    /// Names and texts, in order.
    fn read(xml: &str) -> Vec<(String, String)> {
        use quick_xml::events::Event;
        let mut reader = quick_xml::Reader::from_str(xml);
        reader.config_mut().trim_text(true);
        let (mut path, mut found) = (Vec::new(), Vec::<(String, String)>::new());
        loop {
            match reader.read_event().unwrap() {
                Event::Start(start) => {
                    path.push(start.name().as_ref().to_string());
                    found.push((path[1..].join("/"), String::new()));
                }
                Event::Text(text) => found.last_mut().unwrap().1.push_str(&text),
                Event::GeneralRef(name) => {
                    let letter = quick_xml::escape::resolve_predefined_entity(&name).unwrap();
                    found.last_mut().unwrap().1.push_str(letter);
                }
                Event::End(_) => drop(path.pop()),
                Event::Eof => return found,
                Event::Decl(_)
                | Event::Empty(_)
                | Event::CData(_)
                | Event::Comment(_)
                | Event::PI(_)
                | Event::DocType(_) => {}
            }
        }
    }

    #[test]
    fn the_task_starts_our_program_for_its_user_alone_and_lets_it_run() {
        let found = read(&xml(&task()));
        let value = |path: &str| found.iter().find(|(at, _)| at == path).map(|(_, text)| text.clone()).unwrap();
        for (path, wanted) in [
            ("Triggers/LogonTrigger/UserId", "S-1-5-21-1-2-3-1001"),
            ("Principals/Principal/UserId", "S-1-5-21-1-2-3-1001"),
            ("Principals/Principal/LogonType", "InteractiveToken"),
            ("Principals/Principal/RunLevel", "LeastPrivilege"),
            ("Settings/MultipleInstancesPolicy", "IgnoreNew"),
            ("Settings/DisallowStartIfOnBatteries", "false"),
            ("Settings/StopIfGoingOnBatteries", "false"),
            ("Settings/ExecutionTimeLimit", "PT0S"),
            ("Settings/Hidden", "true"),
            ("Settings/RestartOnFailure/Interval", "PT1M"),
            ("Actions/Exec/Command", r"C:\Program Files\R&D\hallpassw.exe"),
        ] {
            assert_eq!(value(path), wanted, "{path}");
        }
        assert_eq!(value("Actions/Exec/Arguments").replace(' ', ""), r#"--user"CORP\alice<a>""#);
    }

    #[test]
    fn the_file_is_utf_16_with_its_mark_and_line_ends_of_windows() {
        assert_eq!(file("a\nä"), [0xff, 0xfe, b'a', 0, b'\r', 0, b'\n', 0, 0xe4, 0]);
    }

    #[test]
    fn a_program_is_told_from_its_arguments() {
        for (line, wanted) in [
            (
                r#""C:\Program Files\h\hallpassw.exe" --user "a b""#,
                (r"C:\Program Files\h\hallpassw.exe", r#"--user "a b""#),
            ),
            (r"C:\h\hallpassw.exe --no-config", (r"C:\h\hallpassw.exe", "--no-config")),
            (r"C:\h\hallpassw.exe", (r"C:\h\hallpassw.exe", "")),
        ] {
            assert_eq!(parted(line), wanted);
        }
    }

    #[test]
    fn a_service_is_given_our_program_where_the_former_one_is_ours_and_gone_and_keeps_its_arguments() {
        const NEW: &str = r"C:\Program Files\hallpass\hallpass.exe";
        const QUOTED: &str = r#""C:\Program Files\hallpass\hallpass.exe""#;
        let variable = |name: &str| name.eq_ignore_ascii_case("ProgramFiles").then(|| r"C:\Program Files".to_owned());
        let is_there = |path: &str| path.contains("here");
        for (line, former, arguments) in [
            (
                r#""C:\old place\hallpass.exe" service run --listen "a b""#,
                r"C:\old place\hallpass.exe",
                r#" service run --listen "a b""#,
            ),
            (r"C:\old\hallpass.exe service run", r"C:\old\hallpass.exe", " service run"),
            (
                r"C:\old place\Hallpass.EXE service run --config C:\x\hallpass.exe",
                r"C:\old place\Hallpass.EXE",
                r" service run --config C:\x\hallpass.exe",
            ),
            (r"C:\hallpass.exe.d\hallpass.exe", r"C:\hallpass.exe.d\hallpass.exe", ""),
            (
                r"%ProgramFiles%\hallpass\hallpass.exe service run %ARGS%",
                r"C:\Program Files\hallpass\hallpass.exe",
                " service run %ARGS%",
            ),
            (r#""%programfiles%\x\hallpass.exe" service run"#, r"C:\Program Files\x\hallpass.exe", " service run"),
        ] {
            let wanted = (former.to_owned(), format!("{QUOTED}{arguments}"));
            assert_eq!(renewed(line, NEW, variable, is_there), Some(wanted), "{line}");
        }
        for line in [
            r#""C:\here\hallpass.exe" service run"#,
            r"C:\is here\hallpass.exe service run",
            r#""C:\tools\nssm.exe" C:\old\hallpass.exe serve"#,
            r"C:\tools\keep.exe --name=hallpass.exe-1",
            r"%UNKNOWN%\hallpass.exe service run",
            "",
        ] {
            assert_eq!(renewed(line, NEW, variable, is_there), None, "{line}");
        }
    }

    #[test]
    fn words_of_a_command_line_are_found_again() {
        for (words, line) in [
            (&["a", "b"][..], "a b"),
            (
                &[r"C:\Program Files\hallpass\hallpass.exe", "serve"],
                r#""C:\Program Files\hallpass\hallpass.exe" serve"#,
            ),
            (&["", "x"], r#""" x"#),
            (&[r"CORP\alice"], r"CORP\alice"),
            (&[r"a b\"], r#""a b\\""#),
            (&[r#"a"b"#], r#""a\"b""#),
            (&[r#"a\"b"#], r#""a\\\"b""#),
        ] {
            assert_eq!(command_line(words), line);
        }
    }
}
