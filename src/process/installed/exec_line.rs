//! The value of `Exec` in a desktop entry: words with quotes, and codes that stand for what is opened (Desktop Entry
//! Specification, "The Exec key").

use std::path::Path;

/// What codes stand for where nothing is opened.
#[derive(Debug, Clone, Copy)]
pub struct Codes<'a> {
    pub name: &'a str,
    pub icon: Option<&'a str>,
    pub file: &'a Path,
}

/// The program and its arguments. Quotes are read as GLib does, which takes single ones too.
pub fn words(line: &str) -> Result<Vec<String>, &'static str> {
    let (mut words, mut word, mut chars) = (Vec::new(), None::<String>, line.chars());
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '"' => loop {
                let word = word.get_or_insert_default();
                match chars.next().ok_or("its Exec line has a quote that does not end")? {
                    '"' => break,
                    '\\' => match chars.next().ok_or("its Exec line ends in a backslash")? {
                        escaped @ ('"' | '`' | '$' | '\\') => word.push(escaped),
                        other => word.extend(['\\', other]),
                    },
                    plain => word.push(plain),
                }
            },
            '\'' => loop {
                let word = word.get_or_insert_default();
                match chars.next().ok_or("its Exec line has a quote that does not end")? {
                    '\'' => break,
                    plain => word.push(plain),
                }
            },
            '\\' => word.get_or_insert_default().push(chars.next().ok_or("its Exec line ends in a backslash")?),
            plain => word.get_or_insert_default().push(plain),
        }
    }
    words.extend(word);
    Ok(words)
}

/// With each code replaced; what is only the code of something that is not there goes.
pub fn expanded(words: &[String], codes: Codes) -> Vec<String> {
    let mut all = Vec::new();
    for word in words {
        match word.as_str() {
            "%i" => all.extend(codes.icon.map(|icon| ["--icon".to_string(), icon.into()]).into_iter().flatten()),
            _ => {
                let expanded = within(word, codes);
                if !expanded.is_empty() || word.is_empty() {
                    all.push(expanded);
                }
            }
        }
    }
    all
}

fn within(word: &str, codes: Codes) -> String {
    let (mut out, mut chars) = (String::new(), word.chars());
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('%') | None => out.push('%'),
            Some('c') => out.push_str(codes.name),
            Some('k') => out.push_str(&codes.file.to_string_lossy()),
            // Files and URLs, of which there are none, and codes that nobody uses any more.
            Some(_) => {}
        }
    }
    out
}

/// What the program is called, past those that only start it.
pub fn program_names(words: &[String]) -> Vec<String> {
    let is_assignment = |word: &str| word.split_once('=').is_some_and(|(name, _)| !name.contains('/'));
    let mut rest = words;
    if rest.first().is_some_and(|word| file_name(word) == "env") {
        let set = rest[1..].iter().take_while(|word| is_assignment(word)).count();
        rest = &rest[1 + set..];
    }
    let Some((program, arguments)) = rest.split_first() else { return Vec::new() };
    let program = file_name(program);
    if ["flatpak", "snap"].contains(&program.as_str()) && arguments.first().is_some_and(|word| word == "run") {
        let command = arguments.iter().find_map(|word| word.strip_prefix("--command="));
        let reference = arguments[1..].iter().find(|word| !word.starts_with('-'));
        return reference.map(String::as_str).into_iter().chain(command).map(file_name).collect();
    }
    vec![program]
}

fn file_name(word: &str) -> String {
    word.rsplit('/').next().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<String> {
        words(line).unwrap()
    }

    #[test]
    fn words_are_split_as_the_desktop_splits_them() {
        for (line, expected) in [
            ("firefox %u", &["firefox", "%u"][..]),
            (r#""/opt/My App/app" --flag  x"#, &["/opt/My App/app", "--flag", "x"]),
            (r#"a "b\"c\$d\`e\\f\g""#, &["a", "b\"c$d`e\\f\\g"]),
            (r#"sh -c 'echo "a b"; x'"#, &["sh", "-c", "echo \"a b\"; x"]),
            (r#"a "" b"#, &["a", "", "b"]),
            (r"/opt/My\ App/app", &["/opt/My App/app"]),
            (r#"a --name="b c""#, &["a", "--name=b c"]),
            ("", &[]),
        ] {
            assert_eq!(split(line), expected, "{line}");
        }
        for line in ["a \"b", "a 'b", "a \\", "a \"b\\"] {
            assert!(words(line).is_err(), "{line}");
        }
    }

    #[test]
    fn codes_are_replaced_or_go() {
        let codes = Codes { name: "My App", icon: Some("my-app"), file: Path::new("/x/my.desktop") };
        for (line, expected) in [
            ("app %u", &["app"][..]),
            ("app %F %i --end", &["app", "--icon", "my-app", "--end"]),
            ("app --title %c %k", &["app", "--title", "My App", "/x/my.desktop"]),
            ("app 100%% --open=%U \"\" %d%m", &["app", "100%", "--open=", ""]),
        ] {
            assert_eq!(expanded(&split(line), codes), expected, "{line}");
        }
        assert_eq!(expanded(&split("app %i"), Codes { icon: None, ..codes }), ["app"]);
    }

    #[test]
    fn a_program_is_called_as_what_runs_in_the_end() {
        for (line, names) in [
            ("/usr/lib/slack/slack -s %U", &["slack"][..]),
            ("env BAMF_DESKTOP_FILE_HINT=/a/b.desktop A=1 /snap/bin/code --x", &["code"]),
            (
                "/usr/bin/flatpak run --branch=stable --arch=x86_64 --command=slack com.slack.Slack @@u %U @@",
                &["com.slack.Slack", "slack"],
            ),
            ("snap run code", &["code"]),
            ("env A=1", &[]),
            ("", &[]),
        ] {
            assert_eq!(program_names(&split(line)), names, "{line}");
        }
    }
}
