//! Signals to us while a program runs in our place: which they are, and whether somebody typed them.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use std::ptr;
use std::time::Duration;

use nix::libc::{self, siginfo_t};
use rustix::process::Signal;

use super::kin::is_by_process;

/// What programs and people send to a process that they mean.
const MEANT: [Signal; 8] =
    [Signal::INT, Signal::QUIT, Signal::TERM, Signal::HUP, Signal::USR1, Signal::USR2, Signal::WINCH, Signal::TSTP];

/// Added to a number on its way: a process sent it, not the terminal.
const BY_PROCESS: u8 = 0x80;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    pub number: i32,
    by_process: bool,
}

impl Heard {
    /// At the terminal, whose whole process group hears it.
    pub fn is_typed(self) -> bool {
        let of_terminal = [Signal::INT, Signal::QUIT, Signal::WINCH, Signal::TSTP];
        of_terminal.iter().any(|signal| signal.as_raw() == self.number) && !self.by_process
    }

    /// Whether it asks us to stop until we are continued.
    pub fn stops(self) -> bool {
        self.number == Signal::TSTP.as_raw()
    }

    /// Whether it asks us to end.
    pub fn ends(self) -> bool {
        [Signal::INT, Signal::QUIT, Signal::TERM, Signal::HUP].iter().any(|signal| signal.as_raw() == self.number)
    }
}

#[derive(Debug)]
pub struct Signals {
    wire: UnixStream,
    /// Taken off the wire already.
    kept: VecDeque<Heard>,
}

impl Signals {
    /// From now on none of them ends us. Those that were ignored when we began are ignored further, by the program too.
    pub fn listen() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        // A signal must not be held up by those before it: one that is lost among so many changes nothing.
        write.set_nonblocking(true)?;
        for signal in MEANT.into_iter().filter(|signal| !is_ignored(*signal)).chain([Signal::CHILD]) {
            hear(signal, write.try_clone()?)?;
        }
        Ok(Self { wire: read, kept: VecDeque::new() })
    }

    pub fn next(&mut self, patience: Option<Duration>) -> io::Result<Option<Heard>> {
        match self.kept.pop_front() {
            Some(heard) => Ok(Some(heard)),
            None => self.receive(patience),
        }
    }

    /// What was typed while the program ran was for the program alone, also where we come to hear of it when it has ended.
    pub fn forget_typed(&mut self) -> io::Result<()> {
        while let Some(heard) = self.receive(Some(Duration::ZERO))? {
            if !heard.is_typed() {
                self.kept.push_back(heard);
            }
        }
        Ok(())
    }

    fn receive(&mut self, patience: Option<Duration>) -> io::Result<Option<Heard>> {
        // Zero would be no limit at all.
        self.wire.set_read_timeout(patience.map(|patience| patience.max(Duration::from_millis(1))))?;
        let mut byte = [0];
        match self.wire.read_exact(&mut byte) {
            Ok(()) => {
                let [byte] = byte;
                Ok(Some(Heard { number: i32::from(byte & !BY_PROCESS), by_process: byte & BY_PROCESS != 0 }))
            }
            Err(error) if [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].contains(&error.kind()) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[expect(unsafe_code, reason = "a handler of signals, which alone is told who sent them")]
fn hear(signal: Signal, to: UnixStream) -> io::Result<()> {
    let Ok(number) = u8::try_from(signal.as_raw()) else { return Err(io::ErrorKind::InvalidInput.into()) };
    let handler = move |info: &siginfo_t| {
        let sent = is_by_process(info.si_code);
        let _room_or_not = rustix::io::write(&to, &[if sent { number | BY_PROCESS } else { number }]);
    };
    // SAFETY: the handler reads a field and calls write(2), which signal-safety(7) allows, and nothing else.
    unsafe { signal_hook_registry::register_sigaction(signal.as_raw(), handler) }.map(drop)
}

#[expect(unsafe_code, reason = "there is no other way to ask how a signal is dealt with")]
fn is_ignored(signal: Signal) -> bool {
    let mut found = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null pointer in the second place changes nothing, and the third is room for the answer.
    let asked = unsafe { libc::sigaction(signal.as_raw(), ptr::null(), found.as_mut_ptr()) };
    // SAFETY: on success the system has filled it.
    asked == 0 && unsafe { found.assume_init() }.sa_sigaction == libc::SIG_IGN
}
