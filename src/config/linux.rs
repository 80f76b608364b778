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
