//! launchctl(1), asked as a person would ask it; what it only begins is waited for.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::plist::LABEL;
use super::unix::said;
use super::{ServiceError, plist};

/// launchd's own, where a service names none.
const EXIT_TIME_OUT: Duration = Duration::from_secs(20);
/// What launchd takes after a service's time to end is over.
const LAST_STEPS: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(100);

/// A configuration that is not right shows within this time.
const FIRST_STEPS: Duration = Duration::from_secs(2);

/// EINPROGRESS, as `bootout` says it: the order is given, the end is not there yet.
const UNDER_WAY: &str = "36:";

/// What was to be done so that it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought {
    /// Nothing.
    Ran,
    Started,
    Anew,
}

pub struct Launchctl {
    program: PathBuf,
    first_steps: Duration,
    last_steps: Duration,
}

impl Launchctl {
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), first_steps: FIRST_STEPS, last_steps: LAST_STEPS }
    }

    pub fn run(&self, arguments: &[&str]) -> Result<String, ServiceError> {
        run(&self.program, arguments)
    }

    /// `None`: launchd does not know it at the moment.
    pub fn printed(&self, target: &str) -> Result<Option<String>, ServiceError> {
        match self.run(&["print", target]) {
            Ok(text) => Ok(Some(text)),
            Err(ServiceError::Failed { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Out of launchd's sight. Whether it was there. launchctl may return while the relay still lets tunnels end: until it
    /// is gone, its label, its port and its files are not free.
    pub fn boot_out(&self, target: &str) -> Result<bool, ServiceError> {
        let Some(printed) = self.printed(target)? else { return Ok(false) };
        let patience = plist::exit_time_out(&printed).unwrap_or(EXIT_TIME_OUT) + self.last_steps;
        let begun = Instant::now();
        let ordered = self.run(&["bootout", target]);
        while self.printed(target)?.is_some() {
            match &ordered {
                Err(ServiceError::Failed { said, .. }) if said.contains(UNDER_WAY) => {}
                Err(_) => return ordered.map(|_| true),
                Ok(_) => {}
            }
            if begun.elapsed() >= patience {
                let what = format!("launchd has not ended {target} within {} s", patience.as_secs());
                return Err(ServiceError::refused(
                    what,
                    format!("launchctl print {target} shows how it is; try again"),
                ));
            }
            thread::sleep(LOOK);
        }
        Ok(true)
    }

    /// Has the service run by this definition. `changed`: what launchd has read may be another one.
    pub fn bring_up(&self, domain: &str, definition: &Path, changed: bool) -> Result<Brought, ServiceError> {
        let (target, file) = (format!("{domain}/{LABEL}"), definition.to_string_lossy());
        let Some(printed) = self.printed(&target)? else {
            self.bootstrap(domain, &file, &target)?;
            return Ok(Brought::Started);
        };
        let runs = plist::read_state(&printed).0.is_some();
        if changed || plist::path(&printed).is_some_and(|path| whole(&path) != whole(definition)) {
            self.boot_out(&target)?;
            self.bootstrap(domain, &file, &target)?;
            return Ok(if runs { Brought::Anew } else { Brought::Started });
        }
        if runs {
            return Ok(Brought::Ran);
        }
        self.kickstart(&target)?;
        Ok(Brought::Started)
    }

    /// Starts it, too. What ends at once is told.
    fn bootstrap(&self, domain: &str, definition: &str, target: &str) -> Result<(), ServiceError> {
        self.run(&["bootstrap", domain, definition])?;
        self.see_run(target)
    }

    fn kickstart(&self, target: &str) -> Result<(), ServiceError> {
        self.run(&["kickstart", target])?;
        self.see_run(target)
    }

    /// launchd does not ask whether a program is ready, but knows whether it runs and how it has ended. Of a former run, too:
    /// so not at once.
    fn see_run(&self, target: &str) -> Result<(), ServiceError> {
        thread::sleep(self.first_steps);
        let begun = Instant::now();
        loop {
            let Some(printed) = self.printed(target)? else {
                return Err(ServiceError::NotRunning { said: "launchd does not know it any more".into() });
            };
            let (running, remarks) = plist::read_state(&printed);
            if running.is_some() {
                return Ok(());
            }
            if !remarks.is_empty() {
                return Err(ServiceError::NotRunning { said: remarks.join("; ") });
            }
            // On a Mac that has much to do it may not have begun yet.
            if begun.elapsed() >= self.last_steps {
                return Err(ServiceError::NotRunning {
                    said: "launchd has not started it, or it ended at once".into(),
                });
            }
            thread::sleep(LOOK);
        }
    }
}

/// Where links lead.
fn whole(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.into())
}

#[cfg(test)]
impl Launchctl {
    /// One that has nothing to wait for.
    pub fn hasty(program: impl Into<PathBuf>) -> Self {
        Self { first_steps: Duration::ZERO, ..Self::new(program) }
    }
}

/// What a program of the system prints.
pub fn run(program: impl AsRef<OsStr>, arguments: &[&str]) -> Result<String, ServiceError> {
    let name = || program.as_ref().to_string_lossy().into_owned();
    let output = Command::new(&program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|cause| ServiceError::Start { program: name(), cause })?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => {
            Err(ServiceError::Failed { command: format!("{} {}", name(), arguments.join(" ")), said: said(&output) })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// A launchctl that knows one service, whose end takes as many looks as the file `looks` says.
    const FAKE: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
echo "$*" >>asked
looks=$(cat looks)
case $1 in
bootout) : >ending; [ ! -e refusal ] || { cat refusal >&2; exit 1; } ;;
bootstrap) : >loaded ;;
print)
    [ -e loaded ] || { echo "Could not find service" >&2; exit 113; }
    if [ -e ending ]; then
        [ "$looks" -gt 0 ] || { rm loaded ending; exit 113; }
        echo $((looks - 1)) >looks
    fi
    cat state ;;
esac
"#;
    const RUNS: &str = "x = {\n\tstate = running\n\tpid = 47\n\texit timeout = 0\n}\n";
    const KILLED: &str = "x = {\n\tstate = not running\n\tlast terminating signal = Killed: 9\n}\n";
    const NEVER_BEGUN: &str = "x = {\n\tstate = xpcproxy\n\tlast exit code = (never exited)\n}\n";
    const FAILED: &str = "x = {\n\tstate = spawn scheduled\n\tlast exit code = 2\n}\n";

    struct Fake(TempDir);

    impl Fake {
        fn new(state: &str, looks: u32) -> Self {
            let fake = Self(tempfile::tempdir().unwrap());
            fake.put("script", FAKE);
            // By another process: what this one writes, its children may hold open, and then it cannot be run.
            let place = |name: &str| fake.0.path().join(name).to_string_lossy().into_owned();
            run("install", &["-m", "755", &place("script"), &place("launchctl")]).unwrap();
            fake.put("state", state);
            fake.put("looks", &looks.to_string());
            fake.put("asked", "");
            fake.put("loaded", "");
            fake
        }

        fn put(&self, name: &str, text: &str) {
            fs::write(self.0.path().join(name), text).unwrap();
        }

        fn launchctl(&self, last_steps: Duration) -> Launchctl {
            Launchctl { last_steps, ..Launchctl::hasty(self.0.path().join("launchctl")) }
        }

        fn is_loaded(&self) -> bool {
            self.0.path().join("loaded").exists()
        }

        fn asked(&self) -> Vec<String> {
            let asked = fs::read_to_string(self.0.path().join("asked")).unwrap();
            asked.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
        }
    }

    #[test]
    fn what_is_booted_out_is_gone_afterwards() {
        for refusal in [None, Some("Boot-out failed: 36: Operation now in progress\n")] {
            let fake = Fake::new(RUNS, 4);
            if let Some(refusal) = refusal {
                fake.put("refusal", refusal);
            }
            assert!(fake.launchctl(LAST_STEPS).boot_out("system/x").unwrap());
            assert!(!fake.is_loaded());
            let asked = fake.asked();
            assert_eq!((asked[0].as_str(), asked[1].as_str(), asked.len()), ("print", "bootout", 7), "{asked:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_booted_out() {
        let fake = Fake::new(RUNS, 0);
        fs::remove_file(fake.0.path().join("loaded")).unwrap();
        assert!(!fake.launchctl(LAST_STEPS).boot_out("system/x").unwrap());
        assert_eq!(fake.asked(), ["print"]);
    }

    #[test]
    fn a_service_that_does_not_end_is_waited_for_no_longer_than_launchd_waits() {
        let fake = Fake::new(RUNS, 1_000_000);
        let said = fake.launchctl(Duration::from_millis(300)).boot_out("system/x").unwrap_err().to_string();
        assert!(said.contains("launchd has not ended system/x"), "{said}");
        assert!(fake.asked().len() > 3);
    }

    #[test]
    fn an_order_that_launchd_refuses_is_not_waited_for() {
        let fake = Fake::new(RUNS, 1_000_000);
        fake.put("refusal", "Boot-out failed: 1: Operation not permitted\n");
        let said = fake.launchctl(LAST_STEPS).boot_out("system/x").unwrap_err().to_string();
        assert!(said.contains("1: Operation not permitted"), "{said}");
        assert_eq!(fake.asked(), ["print", "bootout", "print"]);
    }

    #[test]
    fn a_service_that_ends_as_soon_as_it_is_started_does_not_run() {
        for (state, why) in [
            (FAILED, "the last run ended with 2"),
            (KILLED, "the last run was ended by a signal, Killed: 9"),
            (NEVER_BEGUN, "launchd has not started it, or it ended at once"),
        ] {
            let fake = Fake::new(state, 0);
            let launchctl = fake.launchctl(Duration::from_millis(300));
            let said = launchctl.bootstrap("system", "x.plist", "system/x").unwrap_err().to_string();
            assert_eq!(said, format!("it is installed and does not run: {why}"));
        }
        let fake = Fake::new(RUNS, 0);
        fs::remove_file(fake.0.path().join("loaded")).unwrap();
        let said = fake.launchctl(LAST_STEPS).kickstart("system/x").unwrap_err().to_string();
        assert_eq!(said, "it is installed and does not run: launchd does not know it any more");
        let fake = Fake::new(RUNS, 0);
        fake.launchctl(LAST_STEPS).kickstart("system/x").unwrap();
        assert_eq!(fake.asked()[0], "kickstart");
    }

    #[test]
    fn what_does_not_run_by_its_definition_is_started_and_what_does_is_left() {
        let definition = Path::new("/x.plist");
        let by = |path: &str, state: &str| state.replace("= {\n", &format!("= {{\n\tpath = {path}\n"));
        let brought = |state: &str, changed| {
            let fake = Fake::new(state, 0);
            let brought = fake.launchctl(LAST_STEPS).bring_up("system", definition, changed).ok();
            (brought, fake.asked().into_iter().filter(|order| order != "print").collect::<Vec<_>>())
        };
        let orders = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let anew = orders(&["bootout", "bootstrap"]);
        assert_eq!(brought(&by("/x.plist", RUNS), false), (Some(Brought::Ran), vec![]));
        assert_eq!(brought(&by("/x.plist", RUNS), true), (Some(Brought::Anew), anew.clone()));
        assert_eq!(brought(&by("/other.plist", RUNS), false), (Some(Brought::Anew), anew));
        assert_eq!(brought(FAILED, false), (None, orders(&["kickstart"])), "loaded, and ended since");
        let fake = Fake::new(RUNS, 0);
        fs::remove_file(fake.0.path().join("loaded")).unwrap();
        let started = fake.launchctl(LAST_STEPS).bring_up("system", definition, false).unwrap();
        assert_eq!((started, fake.asked()[1].as_str()), (Brought::Started, "bootstrap"));
    }

    #[test]
    fn what_a_program_says_at_its_end_is_told() {
        assert_eq!(run("/bin/sh", &["-c", "echo well"]).unwrap(), "well\n");
        let failed = run("/bin/sh", &["-c", "echo; echo a >&2; echo ' b' >&2; exit 3"]).unwrap_err().to_string();
        assert!(failed.ends_with("failed: a b"), "{failed}");
        let silent = run("/bin/sh", &["-c", "exit 3"]).unwrap_err().to_string();
        assert!(silent.ends_with("exit status: 3"), "{silent}");
    }
}
