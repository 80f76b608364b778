//! Where configurations live on Linux.

use std::path::PathBuf;

/// The machine's.
pub fn machine_file(_: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    "/etc/hallpass/hallpass.toml".into()
}

/// `$XDG_CONFIG_HOME/hallpass/hallpass.toml`; without a home there is none.
pub fn user_file(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    // The specification wants relative values ignored.
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
    Some(base.join("hallpass/hallpass.toml"))
}

/// What a user's state directory depends on.
pub const HOME_OF_STATE: &str = "HOME or XDG_STATE_HOME";

/// What systemd made for the unit, else `$XDG_STATE_HOME/hallpass`; without a home there is none.
pub fn state_directory(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    // A unit may have several, separated by colons (systemd.exec(5)); ours is the first.
    let of_unit = variable("STATE_DIRECTORY").and_then(|list| list.split(':').next().map(PathBuf::from));
    let of_user = || absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    of_unit.filter(|path| path.is_absolute()).or_else(|| of_user().map(|base| base.join("hallpass")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_file_follows_the_xdg_specification() {
        let file = |pairs: &[(&str, &str)]| {
            user_file(&|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_string()))
        };
        let at = |path: &str| Some(PathBuf::from(path));
        assert_eq!(file(&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")]), at("/x/hallpass/hallpass.toml"));
        assert_eq!(file(&[("XDG_CONFIG_HOME", "x"), ("HOME", "/h")]), at("/h/.config/hallpass/hallpass.toml"));
        assert_eq!(file(&[]), None);
    }
}
