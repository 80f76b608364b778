//! A terminal with a person in front of it, and a command at work in it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::LocalModes;

/// Far more than anything here needs.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Terminal {
    person: File,
    screen: Receiver<Vec<u8>>,
    command: Child,
    pub shown: String,
    /// What was looked for and found stands before this.
    seen: usize,
}

impl Terminal {
    pub fn start(wanted: &Command) -> Self {
        let person = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        rustix::pty::grantpt(&person).unwrap();
        rustix::pty::unlockpt(&person).unwrap();
        let name = rustix::pty::ptsname(&person, Vec::new()).unwrap();
        let side =
            || -> OwnedFd { rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap() };
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(wanted.get_program()).args(wanted.get_args());
        command.env_clear().envs(wanted.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PATH", "/usr/bin:/bin");
        if let Some(directory) = wanted.get_current_dir() {
            command.current_dir(directory);
        }
        let command = command.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
        let person = File::from(person);
        let (mut reading, (shows, screen)) = (person.try_clone().unwrap(), channel());
        std::thread::spawn(move || {
            let mut bytes = [0; 1024];
            while let Ok(length @ 1..) = reading.read(&mut bytes) {
                if shows.send(bytes[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { person, screen, command, shown: String::new(), seen: 0 }
    }

    pub fn echoes(&self) -> bool {
        rustix::termios::tcgetattr(&self.person).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// Until these words are shown, behind those that were seen before.
    pub fn see(&mut self, words: &str) {
        loop {
            if let Some(at) = self.shown[self.seen..].find(words) {
                self.seen += at + words.len();
                return;
            }
            match self.screen.recv_timeout(PATIENCE) {
                Ok(piece) => self.shown += &String::from_utf8_lossy(&piece),
                Err(why) => panic!("the terminal does not show {words:?} ({why}): {}", self.shown),
            }
        }
    }

    pub fn wait_for_the_echo(&self, wanted: bool) {
        let began = Instant::now();
        while self.echoes() != wanted {
            assert!(began.elapsed() < PATIENCE, "the echo is not {wanted}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn press(&mut self, keys: &str) {
        self.person.write_all(keys.as_bytes()).unwrap();
    }

    /// What was typed and the key at its end; a password once it is not shown any more.
    pub fn answer(&mut self, question: &str, text: &str) {
        self.see(question);
        self.wait_for_the_echo(!question.contains("Password"));
        self.press(&format!("{text}\r"));
    }

    pub fn code(&mut self) -> Option<i32> {
        self.command.wait().unwrap().code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _it_may_have_ended = self.command.kill();
        let _reaped = self.command.wait();
    }
}
