//! `$XDG_RUNTIME_DIR/hallpass`, which ends with the last log-on of the user; of the machine's service, `/run/hallpass`.

use std::path::PathBuf;

/// Where other commands find the relay that the machine runs; systemd makes it for the machine's unit.
const OF_MACHINE: &str = "/run/hallpass";

/// Where a relay with these variables leaves its file; `None` where there is no place for it.
pub fn own_run_directory(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let is_machines = variable("RUNTIME_DIRECTORY").is_some_and(|list| list.split(':').any(|path| path == OF_MACHINE));
    if is_machines { Some(OF_MACHINE.into()) } else { of_user(variable) }
}

/// Where others may have left theirs: this user's first, then the machine's.
pub fn run_directories(variable: &dyn Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    of_user(variable).into_iter().chain([OF_MACHINE.into()]).collect()
}

fn of_user(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let runtime = variable("XDG_RUNTIME_DIR").filter(|path| !path.is_empty())?;
    Some(PathBuf::from(runtime).join("hallpass"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_of_the_machine_leaves_its_file_where_everybody_looks() {
        let of = |pairs: &[(&str, &str)]| {
            let pairs: Vec<(String, String)> = pairs.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            move |name: &str| pairs.iter().find(|(is, _)| is == name).map(|(_, value)| value.clone())
        };
        let user = of(&[("XDG_RUNTIME_DIR", "/run/user/7")]);
        assert_eq!(own_run_directory(&user), Some("/run/user/7/hallpass".into()));
        assert_eq!(run_directories(&user), [PathBuf::from("/run/user/7/hallpass"), "/run/hallpass".into()]);
        let unit = of(&[("RUNTIME_DIRECTORY", "/run/hallpass")]);
        assert_eq!(own_run_directory(&unit), Some("/run/hallpass".into()));
        assert_eq!(own_run_directory(&of(&[("RUNTIME_DIRECTORY", "/run/user/7/other")])), None);
        assert_eq!(run_directories(&of(&[("XDG_RUNTIME_DIR", "")])), [PathBuf::from("/run/hallpass")]);
    }
}
