//! Variables as the lines of a shell, quoted so that no value means anything but itself.

use std::ffi::OsString;
use std::fmt;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// POSIX: sh, bash, zsh, dash, ksh.
    Sh,
    Fish,
    PowerShell,
    /// Windows' own.
    Cmd,
}

impl Shell {
    /// By the program that `$SHELL` names, or else the system's own.
    pub fn usual(shell: Option<&str>, system: &str) -> Self {
        let program = shell.and_then(|path| path.rsplit(['/', '\\']).next()).map(|name| name.trim_end_matches(".exe"));
        match program {
            Some("fish") => Self::Fish,
            Some("pwsh" | "powershell") => Self::PowerShell,
            Some(_) => Self::Sh,
            None if system == "windows" => Self::PowerShell,
            None => Self::Sh,
        }
    }

    /// `name=value`, for this shell and the programs it starts.
    pub fn set(self, name: &str, value: &str) -> String {
        match self {
            Self::Sh => format!("export {name}={}", sh(value)),
            Self::Fish => format!("set -gx {name} {}", fish(value)),
            Self::PowerShell => format!("$env:{name} = '{}'", powershell(value)),
            Self::Cmd => format!("set \"{name}={}\"", cmd(value)),
        }
    }

    pub fn unset(self, name: &str) -> String {
        match self {
            Self::Sh => format!("unset {name}"),
            Self::Fish => format!("set -e {name}"),
            Self::PowerShell => format!("Remove-Item -ErrorAction Ignore Env:{name}"),
            Self::Cmd => format!("set \"{name}=\""),
        }
    }

    pub fn lines(self, variables: &[(&'static str, OsString)]) -> Vec<String> {
        variables.iter().map(|(name, value)| self.set(name, &value.to_string_lossy())).collect()
    }
}

fn sh(value: &str) -> String {
    format!("'{}'", value.replace('\'', "'\\''"))
}

/// In single quotes, only the backslash and the quote itself mean something.
fn fish(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// The typographic quotes count as quotes too (about_Quoting_Rules).
fn powershell(value: &str) -> String {
    let is_quote = |sign: char| matches!(sign, '\'' | '\u{2018}'..='\u{201b}');
    value.chars().flat_map(|sign| std::iter::repeat_n(sign, if is_quote(sign) { 2 } else { 1 })).collect()
}

/// As a line of a batch file, where `%` is said twice; inside the quotes nothing else counts. A quote cannot be in a
/// name of a file there.
fn cmd(value: &str) -> String {
    value.replace('%', "%%")
}

impl FromStr for Shell {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "sh" | "bash" | "zsh" => Ok(Self::Sh),
            "fish" => Ok(Self::Fish),
            "powershell" | "pwsh" => Ok(Self::PowerShell),
            "cmd" => Ok(Self::Cmd),
            _ => Err("sh, fish, powershell or cmd".into()),
        }
    }
}

impl fmt::Display for Shell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sh => "sh",
            Self::Fish => "fish",
            Self::PowerShell => "powershell",
            Self::Cmd => "cmd",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_is_known_by_its_program() {
        for (shell, system, usual) in [
            (Some("/bin/bash"), "linux", Shell::Sh),
            (Some("/usr/bin/fish"), "macos", Shell::Fish),
            (Some("/snap/bin/pwsh"), "linux", Shell::PowerShell),
            (Some(r"C:\Program Files\Git\usr\bin\bash.exe"), "windows", Shell::Sh),
            (None, "windows", Shell::PowerShell),
            (None, "linux", Shell::Sh),
        ] {
            assert_eq!(Shell::usual(shell, system), usual, "{shell:?} {system}");
        }
        for shell in [Shell::Sh, Shell::Fish, Shell::PowerShell, Shell::Cmd] {
            assert_eq!(shell.to_string().parse(), Ok(shell));
        }
        assert!("csh".parse::<Shell>().is_err());
    }

    #[test]
    fn no_value_means_anything_but_itself() {
        let odd = r#"it's "50%" \ $HOME `x`"#;
        for (shell, line) in [
            (Shell::Sh, r#"export N='it'\''s "50%" \ $HOME `x`'"#),
            (Shell::Fish, r#"set -gx N 'it\'s "50%" \\ $HOME `x`'"#),
            (Shell::PowerShell, r#"$env:N = 'it''s "50%" \ $HOME `x`'"#),
            (Shell::Cmd, r#"set "N=it's "50%%" \ $HOME `x`""#),
        ] {
            assert_eq!(shell.set("N", odd), line);
        }
        assert_eq!(Shell::PowerShell.set("N", "a\u{2019}b"), "$env:N = 'a\u{2019}\u{2019}b'");
    }
}
