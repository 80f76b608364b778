//! Settings that are changed for a while are as before afterwards: whoever is killed, wherever, and whoever else has
//! changed what in the meantime.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use hallpass::system_proxy::change::{
    Autostart, Change, ChangeError, Desktop, Journal, Key, Outcome, Owner, Part, Settings, Store, Value,
};
use hallpass::system_proxy::gnome;
use hallpass::system_proxy::{Found, Kind, Ourselves};

/// What outlives processes: the disk and the settings. Each step counts, and a process may end before any of them.
#[derive(Clone, Default)]
struct World(Rc<Inner>);

#[derive(Default)]
struct Inner {
    journal: RefCell<Option<Vec<u8>>>,
    autostart: Cell<bool>,
    settings: RefCell<BTreeMap<&'static str, Option<String>>>,
    locked: Cell<bool>,
    /// A disk that is full.
    is_full: Cell<bool>,
    /// This setting takes no value.
    fixed: Cell<Option<&'static str>>,
    steps: Cell<usize>,
    dies_before: Cell<Option<usize>>,
    alive: RefCell<Vec<u32>>,
}

const KEYS: [(&str, Part); 4] =
    [("host", Part::Proxy), ("port", Part::Proxy), ("exceptions", Part::Exceptions), ("mode", Part::Switch)];

impl World {
    fn with(settings: [Option<&str>; 4]) -> Self {
        let world = Self::default();
        world
            .0
            .settings
            .replace(KEYS.iter().map(|(name, _)| *name).zip(settings.map(|text| text.map(str::to_owned))).collect());
        world
    }

    fn step(&self) {
        assert!(self.0.locked.get(), "a step without the lock");
        let step = self.0.steps.get();
        self.0.steps.set(step + 1);
        assert!(self.0.dies_before.get() != Some(step), "killed");
    }

    fn settings(&self) -> [Option<String>; 4] {
        KEYS.map(|(name, _)| self.0.settings.borrow()[name].clone())
    }

    fn set(&self, name: &'static str, text: &str) {
        self.0.settings.borrow_mut().insert(name, Some(text.into()));
    }

    fn change<T>(&self, act: impl FnOnce(&Change) -> T) -> T {
        act(&Change {
            store: self,
            autostart: Some(self),
            settings: &|_| Ok(Box::new(self.clone())),
            is_alive: &|owner| self.0.alive.borrow().contains(&owner.pid),
        })
    }

    fn enter(&self, pid: u32, relay: &str) -> Result<Option<SocketAddr>, ChangeError> {
        self.0.alive.borrow_mut().push(pid);
        let entered = self.change(|change| change.enter(self, owner(pid, relay), &|_| None))?;
        Ok(entered.joined)
    }

    fn leave(&self, pid: u32) -> Result<Outcome, ChangeError> {
        self.change(|change| change.leave(Some(&owner(pid, "127.0.0.1:1"))))
    }

    fn dies(&self, pid: u32) {
        self.0.alive.borrow_mut().retain(|one| *one != pid);
        self.0.locked.set(false);
    }

    /// What whoever starts does.
    fn is_started(&self) -> Result<Outcome, ChangeError> {
        self.change(|change| if change.is_left_behind() { change.leave(None) } else { Ok(Outcome::Nothing) })
    }

    fn leaves_no_trace(&self) -> bool {
        self.0.journal.borrow().is_none() && !self.0.autostart.get() && !self.0.locked.get()
    }
}

fn owner(pid: u32, relay: &str) -> Owner {
    Owner { pid, started: format!("then {pid}"), relay: relay.parse().unwrap(), guard: pid + 1000 }
}

struct Unlock(World);

impl Drop for Unlock {
    fn drop(&mut self) {
        self.0.0.locked.set(false);
    }
}

impl Store for World {
    fn lock(&self) -> io::Result<Box<dyn Any>> {
        assert!(!self.0.locked.replace(true), "two at once");
        Ok(Box::new(Unlock(self.clone())))
    }

    fn read(&self) -> Option<Vec<u8>> {
        self.0.journal.borrow().clone()
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.step();
        if self.0.is_full.get() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.journal.replace(Some(bytes.into()));
        Ok(())
    }

    fn remove(&self) -> io::Result<()> {
        self.step();
        self.0.journal.replace(None);
        Ok(())
    }
}

impl Autostart for World {
    fn add(&self) -> io::Result<()> {
        self.step();
        self.0.autostart.set(true);
        Ok(())
    }

    fn remove(&self) -> io::Result<()> {
        self.step();
        self.0.autostart.set(false);
        Ok(())
    }
}

impl Settings for World {
    fn desktop(&self) -> Desktop {
        Desktop::Gnome
    }

    fn connections(&self) -> Vec<String> {
        vec![String::new()]
    }

    fn read(&self, _: &[String]) -> Result<Vec<Value>, ChangeError> {
        let value = |(name, part): (&str, Part)| Value {
            key: Key { connection: String::new(), name: name.into() },
            part,
            text: self.0.settings.borrow()[name].clone(),
        };
        Ok(KEYS.map(value).into())
    }

    fn wanted(&self, before: &[Value], relay: SocketAddr) -> Vec<Value> {
        let text = |before: &Value| match before.key.name.as_str() {
            "host" => relay.ip().to_string(),
            "port" => relay.port().to_string(),
            "exceptions" => format!("{};loopback", before.text.as_deref().unwrap_or_default()),
            _ => "manual".into(),
        };
        before.iter().map(|before| Value { text: Some(text(before)), ..before.clone() }).collect()
    }

    fn write(&self, values: &[Value]) -> Result<(), ChangeError> {
        assert!(
            self.0.journal.borrow().is_some() && self.0.autostart.get(),
            "something is set that nobody would put back"
        );
        for value in values {
            self.step();
            let (name, _) = KEYS.into_iter().find(|(name, _)| *name == value.key.name).unwrap();
            if self.0.fixed.get() != Some(name) {
                self.0.settings.borrow_mut().insert(name, value.text.clone());
            }
        }
        Ok(())
    }
}

const BEFORE: [Option<&str>; 4] = [Some("proxy.corp.example"), Some("8080"), None, Some("none")];

fn texts(texts: [Option<&str>; 4]) -> [Option<String>; 4] {
    texts.map(|text| text.map(str::to_owned))
}

fn set_to(port: &str) -> [Option<String>; 4] {
    texts([Some("127.0.0.1"), Some(port), Some(";loopback"), Some("manual")])
}

#[test]
fn what_was_there_is_there_again_afterwards() {
    let world = World::with(BEFORE);
    assert_eq!(world.enter(1, "127.0.0.1:3128").unwrap(), None);
    assert_eq!(world.settings(), set_to("3128"));
    assert!(world.0.autostart.get());
    assert_eq!(world.is_started().unwrap(), Outcome::Nothing, "its owner lives");
    assert!(matches!(world.leave(1).unwrap(), Outcome::Restored { left, .. } if left.is_empty()));
    assert_eq!(world.settings(), texts(BEFORE));
    assert!(world.leaves_no_trace());
    assert_eq!(world.leave(1).unwrap(), Outcome::Nothing, "the guard comes after it");
}

/// Acts until it is killed before a step; whether it was.
fn is_killed(world: &World, step: usize, act: impl FnOnce()) -> bool {
    world.0.steps.set(0);
    world.0.dies_before.set(Some(step));
    let ended = catch_unwind(AssertUnwindSafe(act));
    world.0.dies_before.set(None);
    ended.is_err()
}

#[test]
fn whoever_is_killed_at_any_step_of_setting_and_restoring_leaves_nothing_behind() {
    let mut kills = 0;
    for step in 0.. {
        let world = World::with(BEFORE);
        let killed = is_killed(&world, step, || {
            world.enter(1, "127.0.0.1:3128").unwrap();
            world.leave(1).unwrap();
        });
        world.dies(1);
        world.is_started().unwrap();
        assert_eq!(world.settings(), texts(BEFORE), "step {step}");
        // An autostart entry without a journal runs once, and removes itself.
        world.change(|change| change.leave(None)).unwrap();
        assert!(world.leaves_no_trace(), "step {step}");
        if !killed {
            break;
        }
        kills += 1;
    }
    assert!(kills > 10, "{kills}");
}

#[test]
fn whoever_restores_for_the_dead_may_be_killed_at_any_step_too() {
    for step in 0.. {
        let world = World::with(BEFORE);
        world.enter(1, "127.0.0.1:3128").unwrap();
        world.dies(1);
        let killed = is_killed(&world, step, || drop(world.is_started().unwrap()));
        world.dies(1);
        world.is_started().unwrap();
        assert_eq!(world.settings(), texts(BEFORE), "step {step}");
        world.change(|change| change.leave(None)).unwrap();
        assert!(world.leaves_no_trace(), "step {step}");
        if !killed {
            assert!(step > 4, "{step}");
            return;
        }
    }
}

#[test]
fn of_two_the_last_one_restores_and_a_relay_that_ends_is_followed_by_the_other() {
    let world = World::with(BEFORE);
    world.enter(1, "127.0.0.1:1001").unwrap();
    assert_eq!(world.enter(2, "127.0.0.1:1002").unwrap(), Some("127.0.0.1:1001".parse().unwrap()));
    assert_eq!(world.settings(), set_to("1001"));
    assert_eq!(world.leave(1).unwrap(), Outcome::StillWanted);
    assert_eq!(world.settings(), set_to("1002"));
    assert_eq!(world.leave(1).unwrap(), Outcome::StillWanted, "the guard of the first one");
    world.leave(2).unwrap();
    assert_eq!(world.settings(), texts(BEFORE));
    assert!(world.leaves_no_trace());
}

#[test]
fn a_hand_over_that_is_cut_off_at_any_step_is_finished_or_put_back() {
    for step in 0.. {
        let world = World::with(BEFORE);
        world.enter(1, "127.0.0.1:1001").unwrap();
        world.enter(2, "127.0.0.1:1002").unwrap();
        let killed = is_killed(&world, step, || drop(world.leave(1).unwrap()));
        world.dies(1);
        world.is_started().unwrap();
        world.dies(2);
        world.is_started().unwrap();
        assert_eq!(world.settings(), texts(BEFORE), "step {step}");
        if !killed {
            assert!(step >= 2, "{step}");
            return;
        }
    }
}

#[test]
fn the_dead_make_way_for_whoever_comes_next() {
    let world = World::with(BEFORE);
    world.enter(1, "127.0.0.1:1001").unwrap();
    world.dies(1);
    assert_eq!(world.enter(2, "127.0.0.1:1002").unwrap(), None);
    assert_eq!(world.settings(), set_to("1002"));
    world.leave(2).unwrap();
    assert_eq!(world.settings(), texts(BEFORE));
}

#[test]
fn what_somebody_else_has_changed_stays_and_is_said() {
    for (changes, after, left) in [
        (vec![("exceptions", "theirs")], [BEFORE[0], BEFORE[1], Some("theirs"), BEFORE[3]], vec!["exceptions"]),
        (vec![("mode", "auto")], [BEFORE[0], BEFORE[1], None, Some("auto")], vec!["mode"]),
        // Whoever has chosen another proxy wants it used.
        (
            vec![("host", "other.example")],
            [Some("other.example"), BEFORE[1], None, Some("manual")],
            vec!["host", "mode"],
        ),
        (vec![("mode", "none"), ("port", "8080")], BEFORE, vec![]),
    ] {
        let world = World::with(BEFORE);
        world.enter(1, "127.0.0.1:3128").unwrap();
        changes.iter().for_each(|(name, text)| world.set(name, text));
        let Outcome::Restored { left: kept, source } = world.leave(1).unwrap() else { panic!("{changes:?}") };
        assert_eq!(source, "GNOME's network settings");
        assert_eq!(world.settings(), texts(after), "{changes:?}");
        assert_eq!(kept.iter().map(ToString::to_string).collect::<Vec<_>>(), left, "{changes:?}");
        assert!(world.leaves_no_trace());
    }
}

#[test]
fn whoever_joins_after_somebody_else_has_changed_settings_has_them_set_again_and_theirs_come_back() {
    let world = World::with(BEFORE);
    world.enter(1, "127.0.0.1:1001").unwrap();
    world.set("mode", "auto");
    world.enter(2, "127.0.0.1:1002").unwrap();
    assert_eq!(world.settings(), set_to("1001"));
    world.leave(1).unwrap();
    world.leave(2).unwrap();
    assert_eq!(world.settings(), texts([BEFORE[0], BEFORE[1], BEFORE[2], Some("auto")]));
}

#[test]
fn nothing_is_set_that_could_not_be_put_back() {
    let world = World::with(BEFORE);
    world.0.is_full.set(true);
    let error = world.enter(1, "127.0.0.1:3128").unwrap_err();
    assert!(matches!(error, ChangeError::Journal(_)), "{error}");
    assert_eq!(world.settings(), texts(BEFORE));
    assert!(world.leaves_no_trace());
}

#[test]
fn a_setting_that_takes_no_value_has_the_others_put_back() {
    let world = World::with(BEFORE);
    world.0.fixed.set(Some("mode"));
    let error = world.enter(1, "127.0.0.1:3128").unwrap_err();
    assert!(error.to_string().contains("mode did not take the value"), "{error}");
    assert_eq!(world.settings(), texts(BEFORE));
    assert!(world.leaves_no_trace());
}

#[test]
fn exceptions_that_are_fixed_are_no_reason_to_refuse() {
    let world = World::with(BEFORE);
    world.0.fixed.set(Some("exceptions"));
    world.enter(1, "127.0.0.1:3128").unwrap();
    assert_eq!(world.settings(), texts([Some("127.0.0.1"), Some("3128"), None, Some("manual")]));
    assert!(matches!(world.leave(1).unwrap(), Outcome::Restored { left, .. } if left.is_empty()));
    assert_eq!(world.settings(), texts(BEFORE));
    assert!(world.leaves_no_trace());
}

#[test]
fn a_journal_that_cannot_be_read_is_left_alone_and_said() {
    let world = World::with(BEFORE);
    for text in ["{}", "", r#"{"version":2,"desktop":"gnome","relay":"127.0.0.1:1","settings":[],"owners":[]}"#] {
        world.0.journal.replace(Some(text.into()));
        assert!(matches!(world.is_started(), Err(ChangeError::Unreadable)), "{text}");
        assert!(matches!(world.enter(1, "127.0.0.1:3128"), Err(ChangeError::Unreadable)), "{text}");
        assert_eq!(world.settings(), texts(BEFORE));
    }
}

/// What GNOME lists with this mode, and this host and port of both proxies.
fn listed(mode: &str, host: &str, port: u16) -> Found {
    let sections: String = ["http", "https"]
        .iter()
        .map(|name| format!("org.gnome.system.proxy.{name} host '{host}'\norg.gnome.system.proxy.{name} port {port}\n"))
        .collect();
    let text = format!(
        "org.gnome.system.proxy mode '{mode}'\norg.gnome.system.proxy autoconfig-url 'http://wpad.corp.example/p.pac'\n\
         org.gnome.system.proxy ignore-hosts ['*.corp.example']\n{sections}"
    );
    gnome::read(&text).unwrap()
}

#[test]
fn whoever_looks_for_a_proxy_meanwhile_finds_what_was_there_before() {
    let relay: SocketAddr = "127.0.0.1:3128".parse().unwrap();
    let changed = listed("manual", "127.0.0.1", 3128);
    for former in [listed("manual", "proxy.corp.example", 8080), listed("auto", "", 0), listed("none", "", 0)] {
        let mut journal = Journal::new(Desktop::Gnome, relay, Some(&former));
        journal.owners.push(owner(1, "127.0.0.1:3128"));
        let journal = Journal::read(&journal.bytes().unwrap()).unwrap();
        assert_eq!(journal.former(changed.clone()), Some(former.clone()));
        // Somebody else's proxy is nobody's former one.
        let other = listed("manual", "other.example", 8080);
        assert_eq!(journal.former(other.clone()), Some(other));
        let elsewhere = Found { source: "the environment variable https_proxy".into(), ..changed.clone() };
        assert_eq!(journal.former(elsewhere.clone()), Some(elsewhere));
    }
    let nothing = Journal::new(Desktop::Gnome, relay, None);
    assert_eq!(nothing.former(changed), None, "the next source is asked, as before");
}

#[test]
fn the_relay_that_the_variables_name_is_looked_up_as_ever_while_settings_are_changed() {
    let journal = Journal::new(Desktop::Gnome, "127.0.0.1:3128".parse().unwrap(), Some(&listed("none", "", 0)));
    let ourselves = Ourselves { listening: &[], is_own_address: &|_| false, changed: Some(&journal) };
    let variable = |name: &str| (name == "https_proxy").then(|| "http://proxy.corp.example:8080".to_string());
    let found = hallpass::system_proxy::discover(&variable, &ourselves);
    assert!(
        matches!(found.kind, Kind::Static { upstreams, .. } if upstreams[0].to_string() == "http://proxy.corp.example:8080")
    );
}
