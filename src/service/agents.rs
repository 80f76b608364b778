//! The agents of a Mac: the package's for everybody who logs in, and those that persons have made for themselves.

use std::fs;
use std::path::{Path, PathBuf};

use super::launchctl::{Brought, Launchctl};
use super::plist::{self, LABEL};
use super::{Done, ServiceError, unix};

pub struct Agents {
    launchctl: Launchctl,
    /// What the package has for everybody who logs in.
    of_all: PathBuf,
    /// The homes of persons.
    homes: PathBuf,
}

/// What gave way to a daemon.
#[derive(Default)]
struct Aside {
    renamed: bool,
    /// Whose relays were stopped, and by which files they ran.
    stopped: Vec<(u32, Option<PathBuf>)>,
}

impl Agents {
    pub fn new(launchctl: Launchctl, of_all: impl Into<PathBuf>, homes: impl Into<PathBuf>) -> Self {
        Self { launchctl, of_all: of_all.into(), homes: homes.into() }
    }

    /// The package's, where it is.
    pub fn packaged(&self) -> Option<&Path> {
        self.of_all.is_file().then_some(&*self.of_all)
    }

    /// The package's in the place of a person's own: launchd takes one definition of a name, and does not say which. Whether
    /// there was an own one.
    pub fn take_packaged(
        &self,
        packaged: &Path,
        own: &Path,
        wanted: &str,
        done: &mut Done,
    ) -> Result<bool, ServiceError> {
        let packaged_text = unix::read(packaged)?.unwrap_or_default();
        if !plist::starts_the_same(&packaged_text, wanted) {
            let what = format!(
                "{} starts a relay for everybody who logs in here, and launchd takes one definition of its name",
                packaged.display()
            );
            let program = plist::command(&packaged_text).into_iter().next().unwrap_or_else(|| "hallpass".into());
            let hint = format!(
                "{program} service install --user without flags has that one; the configuration file can say what flags say"
            );
            return Err(ServiceError::refused(what, hint));
        }
        done.push(format!("{} is what is wanted", packaged.display()));
        let had_own = own.exists();
        if had_own {
            unix::remove(own, done)?;
        }
        Ok(had_own)
    }

    /// Nobody's agent starts from now on; what runs goes on.
    pub fn put_aside(&self, done: &mut Done) -> Result<bool, ServiceError> {
        let renamed = self.packaged().is_some();
        if renamed {
            let aside = self.aside();
            rename(&self.of_all, &aside)?;
            let (from, to) = (self.of_all.display(), aside.display());
            done.push(format!("{from} is now {to}: nobody needs a relay of their own"));
        }
        for own in self.of_persons() {
            let own = own.display();
            done.push(format!(
                "{own} stays, and at log-in finds the port taken: hallpass service uninstall --user removes it"
            ));
        }
        Ok(renamed)
    }

    pub fn put_back(&self, done: &mut Done) -> Result<(), ServiceError> {
        if self.aside().exists() {
            rename(&self.aside(), &self.of_all)?;
            done.push(format!("{} is back: whoever logs in has a relay again", self.of_all.display()));
        }
        Ok(())
    }

    /// A daemon in the place of agents. Where one does not run that is `new`, by this file, they are back, and it is gone:
    /// else the Mac would be without any relay.
    pub fn give_way(
        &self,
        sessions: &[u32],
        new: Option<&Path>,
        start: impl FnOnce() -> Result<Brought, ServiceError>,
        done: &mut Done,
    ) -> Result<Brought, ServiceError> {
        let mut aside = Aside::default();
        let started = self.stop_all(sessions, &mut aside, done).and_then(|()| start());
        match (started, new) {
            (Err(error), Some(new)) if aside.renamed || !aside.stopped.is_empty() => {
                Err(self.taken_back(&aside, new, error))
            }
            (started, _) => started,
        }
    }

    fn taken_back(&self, aside: &Aside, definition: &Path, error: ServiceError) -> ServiceError {
        let why = if let ServiceError::NotRunning { said } = error {
            format!("it does not run: {said}")
        } else {
            error.to_string()
        };
        let what = "the relay of the machine is not installed";
        match self.take_back(aside, definition) {
            Ok(()) => ServiceError::refused(
                format!("{what}, and everybody has their own again, because {why}"),
                "mend that, and install it once more",
            ),
            Err(second) => ServiceError::refused(
                format!("{what}, because {why}, and not everybody has their own again: {second}"),
                "sudo hallpass service uninstall --system puts the agent of everybody back",
            ),
        }
    }

    fn stop_all(&self, sessions: &[u32], aside: &mut Aside, done: &mut Done) -> Result<(), ServiceError> {
        aside.renamed = self.put_aside(done)?;
        for user in sessions {
            let target = format!("gui/{user}/{LABEL}");
            let Some(printed) = self.launchctl.printed(&target)? else { continue };
            aside.stopped.push((*user, plist::path(&printed)));
            self.launchctl.boot_out(&target)?;
            done.push(format!("the relay of user {user} is stopped"));
        }
        Ok(())
    }

    fn take_back(&self, aside: &Aside, definition: &Path) -> Result<(), ServiceError> {
        let mut done = Done::new();
        self.launchctl.boot_out(&format!("system/{LABEL}"))?;
        unix::remove(definition, &mut done)?;
        if aside.renamed {
            self.put_back(&mut done)?;
        }
        for (user, path) in &aside.stopped {
            let path = path.as_deref().unwrap_or(&self.of_all).to_string_lossy();
            self.launchctl.run(&["bootstrap", &format!("gui/{user}"), &path])?;
        }
        Ok(())
    }

    /// A name that launchd does not read; the package's own scripts have the same.
    fn aside(&self) -> PathBuf {
        self.of_all.with_extension("plist.off")
    }

    /// What persons have made for themselves, as far as their homes are where homes are.
    fn of_persons(&self) -> Vec<PathBuf> {
        let homes = fs::read_dir(&self.homes).into_iter().flatten().flatten();
        let own = homes.map(|home| home.path().join("Library/LaunchAgents").join(format!("{LABEL}.plist")));
        let mut found: Vec<PathBuf> = own.filter(|path| path.is_file()).collect();
        found.sort();
        found
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), ServiceError> {
    fs::rename(from, to).map_err(|cause| ServiceError::File { verb: "rename", path: from.into(), cause })
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::super::launchctl::run;
    use super::*;

    /// A launchctl that knows what the files in `jobs` are named after.
    const FAKE: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
job() { echo "jobs/$(echo "$1" | tr / _)"; }
case $1 in
print) cat "$(job "$2")" 2>/dev/null || exit 113 ;;
bootout) rm "$(job "$2")" ;;
bootstrap) printf 'x = {\n\tpath = %s\n\tstate = running\n\tpid = 4\n}\n' "$3" >"$(job "$2/hallpass.relay")" ;;
esac
"#;

    /// A Mac with the package's agent, where 501 has one of her own.
    struct Mac(TempDir);

    impl Mac {
        fn new() -> Self {
            let mac = Self(tempfile::tempdir().unwrap());
            mac.put("script", FAKE);
            let place = |name: &str| mac.place(name).to_string_lossy().into_owned();
            run("install", &["-m", "755", &place("script"), &place("launchctl")]).unwrap();
            mac.put("all/hallpass.relay.plist", &plist("/usr/local/bin/hallpass", &[]));
            mac.put("Users/alice/Library/LaunchAgents/hallpass.relay.plist", "hers");
            mac.put("Users/bob/Library/LaunchAgents/another.plist", "his");
            fs::create_dir(mac.place("jobs")).unwrap();
            mac.loaded(501, "Users/alice/Library/LaunchAgents/hallpass.relay.plist");
            mac.loaded(502, "all/hallpass.relay.plist");
            mac
        }

        fn place(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn put(&self, name: &str, text: &str) {
            let path = self.place(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn loaded(&self, user: u32, definition: &str) {
            let text = format!("x = {{\n\tpath = {}\n\tstate = running\n}}\n", self.place(definition).display());
            self.put(&format!("jobs/gui_{user}_hallpass.relay"), &text);
        }

        /// Which job runs by which file.
        fn jobs(&self) -> Vec<(String, PathBuf)> {
            let job = |entry: fs::DirEntry| {
                let path = plist::path(&fs::read_to_string(entry.path()).unwrap()).unwrap();
                let file = path.strip_prefix(self.0.path()).unwrap().to_owned();
                (entry.file_name().into_string().unwrap(), file)
            };
            let mut jobs: Vec<_> = fs::read_dir(self.place("jobs")).unwrap().map(|entry| job(entry.unwrap())).collect();
            jobs.sort();
            jobs
        }

        fn agents(&self) -> Agents {
            let launchctl = Launchctl::hasty(self.place("launchctl"));
            Agents::new(launchctl, self.place("all/hallpass.relay.plist"), self.place("Users"))
        }
    }

    fn plist(program: &str, arguments: &[&str]) -> String {
        let service = super::super::Service {
            scope: super::super::Scope::User,
            program: program.into(),
            arguments: arguments.iter().map(Into::into).collect(),
            listen: crate::config::DEFAULT_LISTEN.into(),
            grace: crate::config::DEFAULT_GRACE,
        };
        plist::plist(&service, false, None)
    }

    #[test]
    fn the_relay_of_everybody_ends_for_the_daemon_and_who_has_made_one_is_named() {
        let mac = Mac::new();
        mac.put("daemon.plist", "");
        let mut done = Done::new();
        let brought = mac.agents().give_way(
            &[501, 502, 503],
            Some(&mac.place("daemon.plist")),
            || Ok(Brought::Started),
            &mut done,
        );
        assert_eq!(brought.unwrap(), Brought::Started);
        assert!(mac.jobs().is_empty() && mac.place("daemon.plist").exists(), "{:?}", mac.jobs());
        assert!(mac.place("all/hallpass.relay.plist.off").exists() && mac.agents().packaged().is_none());
        let done = done.join("\n");
        for words in [
            "nobody needs a relay of their own",
            "alice/Library/LaunchAgents/hallpass.relay.plist stays",
            "user 501",
            "user 502",
        ] {
            assert!(done.contains(words), "{words}: {done}");
        }
        assert!(!done.contains("bob") && !done.contains("503"), "{done}");
        // Also where the package's agent was never there, or is aside already.
        mac.loaded(501, "Users/alice/Library/LaunchAgents/hallpass.relay.plist");
        mac.agents().give_way(&[501], None, || Ok(Brought::Ran), &mut Done::new()).unwrap();
        assert!(mac.jobs().is_empty());
        let mut done = Done::new();
        mac.agents().put_back(&mut done).unwrap();
        assert!(mac.agents().packaged().is_some() && done.len() == 1);
    }

    #[test]
    fn a_daemon_that_does_not_run_leaves_everybody_the_relay_they_had() {
        let mac = Mac::new();
        let before = mac.jobs();
        mac.put("daemon.plist", "");
        let start = || {
            mac.put("jobs/system_hallpass.relay", "x = {\n\tstate = spawn scheduled\n\tlast exit code = 2\n}\n");
            Err(ServiceError::NotRunning { said: "the last run ended with 2".into() })
        };
        let given = mac.agents().give_way(&[501, 502], Some(&mac.place("daemon.plist")), start, &mut Done::new());
        let said = given.unwrap_err().to_string();
        assert!(said.contains("everybody has their own again") && said.contains("the last run ended with 2"), "{said}");
        assert_eq!(mac.jobs(), before);
        assert!(mac.agents().packaged().is_some() && !mac.place("daemon.plist").exists());
        // Where nobody had one, the daemon is tried again by launchd.
        fs::remove_file(mac.place("all/hallpass.relay.plist")).unwrap();
        mac.put("daemon.plist", "");
        let start = || Err(ServiceError::NotRunning { said: "why".into() });
        let given = mac.agents().give_way(&[503], Some(&mac.place("daemon.plist")), start, &mut Done::new());
        assert_eq!(given.unwrap_err().to_string(), "it is installed and does not run: why");
        assert!(mac.place("daemon.plist").exists());
    }

    #[test]
    fn the_agent_of_the_package_is_a_persons_own_where_it_starts_the_same() {
        let mac = Mac::new();
        let agents = mac.agents();
        let own = mac.place("Users/alice/Library/LaunchAgents/hallpass.relay.plist");
        let take = |wanted: &str| agents.take_packaged(agents.packaged().unwrap(), &own, wanted, &mut Done::new());
        for other in [plist("/usr/local/bin/hallpass", &["--config", "lab"]), plist("/opt/hallpass", &[])] {
            let said = take(&other).unwrap_err().to_string();
            assert!(said.contains("/usr/local/bin/hallpass service install --user without flags"), "{said}");
            assert!(own.exists());
        }
        let wanted = plist("/usr/local/bin/hallpass", &[]);
        assert!(take(&wanted).unwrap() && !own.exists());
        assert!(!take(&wanted).unwrap());
    }
}
