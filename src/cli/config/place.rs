//! The file: where it goes, what stands in it, and what becomes of one that is there.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

use super::join;
use crate::cli::output;
use crate::config::{self, Config, Environment, Files, FoundPolicy, Inputs, Layer, Loaded, PolicyPlace};
use crate::credential::Source;

/// Every key, commented out.
pub const TEMPLATE: &str = include_str!("../../../examples/hallpass.toml");

const PASSWORD_COMMENT: &str = "\
# hallpass login puts the password into the system's store; or set HALLPASS_PASSWORD, or write one of these below the user:
# password = \"${file:/run/secrets/proxy}\"
# password_command = [\"secret-tool\", \"lookup\", \"service\", \"proxy\"]
";

/// Nobody keeps more of them.
const MAX_COPIES: usize = 1000;

/// Where every other command will look for it.
pub fn destination(named: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    let variable = |name: &str| std::env::var(name).ok();
    let by_variable = || variable("HALLPASS_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
    let path = named.cloned().or_else(by_variable).map(|path| config::place_for(&path, &variable));
    let path = path.or_else(|| config::user_file(&variable));
    path.ok_or_else(|| anyhow!("there is no home directory to write to: name a file with --config"))
}

/// Says what it did, as comments of a shell.
pub fn written(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(copy) = write(path, text)? {
        output::say(format_args!("# what was there is kept: {}", copy.display()));
    }
    output::say(format_args!("# written: {}", path.display()));
    above(PolicyPlace::System).iter().for_each(output::say);
    Ok(())
}

/// The policy stands above every file, and is judged as it is whenever a configuration is read.
fn above(policy: PolicyPlace) -> Vec<String> {
    let (environment, flags) = (Environment::default(), Layer::default());
    let examined = config::examine(&Inputs { files: Files::Nothing, environment, flags, policy });
    let said = |FoundPolicy { place, refused, mistakes }: &FoundPolicy| match (refused, mistakes) {
        (Some(why), _) => format!("# the policy that stands above it is refused, and nothing starts: {place}: {why}"),
        (None, 0) => format!("# a policy stands above it: {place}; hallpass config show says what counts"),
        (None, _) => {
            format!(
                "# the policy that stands above it is wrong, and nothing starts: {place}; hallpass config show says why"
            )
        }
    };
    examined.loaded.policies().iter().map(said).collect()
}

/// What was there is kept beside it, and named.
fn write(path: &Path, text: &str) -> anyhow::Result<Option<PathBuf>> {
    let cannot_write = || format!("cannot write {}", path.display());
    let file = behind_links(path).with_context(cannot_write)?;
    let copy = kept(path).with_context(|| format!("cannot keep what {} holds", path.display()))?;
    config::write_private(&file, text, true).with_context(cannot_write)?;
    Ok(copy)
}

/// Whoever keeps the file elsewhere and links to it goes on doing so.
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => fs::canonicalize(path),
        Ok(_) | Err(_) => Ok(path.into()),
    }
}

/// For nobody else's eyes either, and never in the place of an older copy.
fn kept(path: &Path) -> io::Result<Option<PathBuf>> {
    let before = match fs::read_to_string(path) {
        Ok(before) => before,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    for number in 1..=MAX_COPIES {
        let copy = PathBuf::from(format!("{}.before-{number}", path.display()));
        match config::write_private(&copy, &before, false) {
            Ok(()) => return Ok(Some(copy)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(format!("there are {MAX_COPIES} copies beside it: remove some")))
}

/// What the answers say, around the template: top-level keys stand above all tables.
pub fn text(loaded: &Loaded) -> String {
    let (top, tables) = loaded.changes_to_toml();
    let needs_password =
        loaded.config.credentials.iter().any(|credential| matches!(credential.secret, Some(Source::Store(_))));
    let password = if needs_password { PASSWORD_COMMENT } else { "" };
    let profiles = office_and_home(&loaded.config);
    let parts = [top.as_str(), TEMPLATE, tables.trim_start(), password, &profiles];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

/// With a PAC script the script itself shows where the machine is; for upstreams that are always the same, profiles do.
pub fn office_and_home(config: &Config) -> String {
    let routing = &config.routing;
    if routing.upstreams.is_empty() || routing.pac.is_some() {
        return String::new();
    }
    let upstreams = routing.upstreams.iter().filter_map(|name| config.upstream(name));
    let reachable = join(upstreams.map(|upstream| format!("\"{}\"", upstream.endpoint.target)));
    format!(
        "# Where the proxy can be reached, it is used; elsewhere everything goes direct. Without these tables it is used\n\
         # everywhere.\n[profiles.office]\nwhen = {{ reachable = [{reachable}] }}\n\n[profiles.home]\nupstreams = []\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Statement;

    #[test]
    fn what_was_there_is_kept_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/hallpass.toml");
        assert_eq!(write(&path, "one").unwrap(), None);
        let copies: Vec<PathBuf> = ["two", "three"].map(|text| write(&path, text).unwrap().unwrap()).into();
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        assert_eq!((read(&path), read(&copies[0]), read(&copies[1])), ("three".into(), "one".into(), "two".into()));
    }

    #[test]
    fn a_policy_above_is_told_as_it_will_be_taken() {
        for (text, wanted) in [
            ("grace = \"7s\"", "# a policy stands above it: policy.toml; "),
            ("][", "# the policy that stands above it is refused, and nothing starts: policy.toml: "),
            (
                "grace = \"7s\"\ngraze = 1",
                "# the policy that stands above it is wrong, and nothing starts: policy.toml; ",
            ),
        ] {
            let statement = Statement::Toml { path: "policy.toml".into(), text: text.into() };
            let said = above(PolicyPlace::Recorded(vec![statement]));
            assert!(said.len() == 1 && said[0].starts_with(wanted), "{text}: {said:?}");
        }
        assert!(above(PolicyPlace::Nowhere).is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_the_file_that_it_leads_to_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let (kept_elsewhere, link) = (directory.path().join("mine.toml"), directory.path().join("hallpass.toml"));
        fs::write(&kept_elsewhere, "one").unwrap();
        std::os::unix::fs::symlink(&kept_elsewhere, &link).unwrap();
        let copy = write(&link, "two").unwrap().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&kept_elsewhere).unwrap(), "two");
        assert_eq!(fs::read_to_string(copy).unwrap(), "one");
        fs::remove_file(&kept_elsewhere).unwrap();
        assert!(write(&link, "three").is_err());
    }
}
