//! Where proxies are set on Linux: in the desktop that runs, else in one that was set up.

use std::path::PathBuf;

use super::{Found, Kind, Source, Variable, gnome, kde, program};

/// The desktop that runs has the last word, "no proxy" too. Where none does, such as for a service, a desktop's "no
/// proxy" may be no more than a default.
pub(super) fn sources(variable: Variable) -> Vec<Source> {
    if runs_kde(variable) {
        vec![of_kde, set_in_gnome]
    } else if runs(variable, &["gnome", "unity", "cinnamon", "mate", "budgie", "pantheon"]) {
        vec![of_gnome, set_in_kde]
    } else {
        vec![set_in_gnome, set_in_kde]
    }
}

/// Whether the desktop that runs is KDE's.
pub(super) fn runs_kde(variable: Variable) -> bool {
    runs(variable, &["kde", "plasma"])
}

fn runs(variable: Variable, names: &[&str]) -> bool {
    let desktops = variable("XDG_CURRENT_DESKTOP").unwrap_or_default().to_ascii_lowercase();
    desktops.split(':').any(|desktop| names.iter().any(|name| desktop.ends_with(name)))
}

/// Without a session there is nobody whose settings these could be, and no bus to ask.
pub(super) fn of_gnome(variable: Variable) -> Option<Found> {
    let session = ["DBUS_SESSION_BUS_ADDRESS", "XDG_CURRENT_DESKTOP", "WAYLAND_DISPLAY", "DISPLAY"];
    session.iter().any(|name| variable(name).is_some_and(|value| !value.is_empty())).then_some(())?;
    gnome::read(&program::output("gsettings", &["list-recursively", "org.gnome.system.proxy"], program::LIMIT)?)
}

fn set_in_gnome(variable: Variable) -> Option<Found> {
    of_gnome(variable).filter(|found| found.kind != Kind::Direct)
}

/// The user's file, else the machine's.
fn of_kde(variable: Variable) -> Option<Found> {
    let files = kioslaverc_of_user(variable).into_iter().chain(["/etc/xdg/kioslaverc".into()]);
    files.filter_map(|file| std::fs::read_to_string(file).ok()).find_map(|text| kde::read(&text, variable))
}

/// Where KDE writes.
pub(super) fn kioslaverc_of_user(variable: Variable) -> Option<PathBuf> {
    let directory = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = directory("XDG_CONFIG_HOME").or_else(|| directory("HOME").map(|home| home.join(".config")))?;
    Some(base.join("kioslaverc"))
}

fn set_in_kde(variable: Variable) -> Option<Found> {
    of_kde(variable).filter(|found| found.kind != Kind::Direct)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// Without a session variable, so that no program of the machine is asked.
    fn found(desktop: &str, kioslaverc: &str) -> Option<Found> {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".config")).unwrap();
        std::fs::write(home.path().join(".config/kioslaverc"), kioslaverc).unwrap();
        let variable = |name: &str| match name {
            "HOME" => Some(home.path().to_str().unwrap().to_string()),
            "XDG_CURRENT_DESKTOP" if desktop.contains("KDE") => Some(desktop.to_string()),
            _ => None,
        };
        let mut sources = sources(&variable).into_iter();
        // In KDE the first source; elsewhere what is asked after GNOME.
        sources.nth(usize::from(!desktop.contains("KDE"))).and_then(|source| source(&variable))
    }

    #[test]
    fn the_desktop_that_runs_says_no_proxy_and_one_that_does_not_run_says_nothing() {
        let none = "[Proxy Settings]\nProxyType=0\n";
        assert_eq!(found("KDE", none).map(|found| found.kind), Some(Kind::Direct));
        assert_eq!(found("", none), None);
        let script = "[Proxy Settings]\nProxyType=2\nProxy Config Script=http://w/p.pac\n";
        for desktop in ["KDE", "plasma:KDE", ""] {
            assert_eq!(found(desktop, script).map(|found| found.kind), Some(Kind::Pac("http://w/p.pac".into())));
        }
    }

    #[test]
    fn a_program_is_heard_if_it_ends_and_not_waited_for_if_it_does_not() {
        let shell = |script: &str, limit| program::output("/bin/sh", &["-c", script], limit);
        assert_eq!(shell("echo said", program::LIMIT).as_deref(), Some("said\n"));
        assert_eq!(shell("exit 1", program::LIMIT), None);
        assert_eq!(program::output("/no/such/program", &[], program::LIMIT), None);
        let started = Instant::now();
        assert_eq!(shell("echo late; exec sleep 30", Duration::from_millis(100)), None);
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
