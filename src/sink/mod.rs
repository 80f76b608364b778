//! Where lines go that are kept or read outside: audit records and the log.
//!
//! Writing happens on a thread of its own behind a bounded queue: a sink that blocks never blocks traffic, it
//! loses lines, and says how many.

mod file;
mod queue;
mod severity;

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(not(unix), path = "windows.rs")]
mod system;

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, mpsc};
use std::thread;
use std::time::Duration;

pub use severity::{Severity, severity};

use file::{Plain, Rotating};
use queue::{Batch, Inlet, Outlet, queue};

/// Lines are gathered for so long before they are written, the first after a silence aside: to wake the thread for each
/// of them costs a request more than to make it.
const GATHERED_FOR: Duration = Duration::from_millis(2);

/// Lines that may wait for a slow sink.
const QUEUE: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    Off,
    Stderr,
    System(SystemLog),
    File(Rotation),
}

/// What a system keeps for all its programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemLog {
    Journald,
    Syslog,
    EventLog,
}

impl SystemLog {
    pub const ALL: [Self; 3] = [Self::Journald, Self::Syslog, Self::EventLog];

    /// As it is called in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Journald => "journald",
            Self::Syslog => "syslog",
            Self::EventLog => "eventlog",
        }
    }

    /// Whether systems of this kind have it.
    pub fn is_here(self) -> bool {
        system::has(self)
    }
}

/// A file, and when the next one is begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    pub path: PathBuf,
    /// Bytes.
    pub max_size: u64,
    pub max_age: Option<Duration>,
    /// Former files that are kept.
    pub keep: usize,
}

/// Puts one line where it belongs. May block.
trait Output: Send {
    /// The line ends with a line feed.
    fn write(&mut self, line: &str) -> io::Result<()>;

    /// Somebody may have put another thing in the place of the one that is open.
    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The way in, for as long as the process lives, whatever the sink is at the moment.
#[derive(Debug)]
pub struct Lines {
    /// What they are, for the log.
    what: &'static str,
    lane: RwLock<Option<Lane>>,
    losses: Arc<Losses>,
}

#[derive(Debug, Default)]
struct Losses {
    all: AtomicU64,
    told: AtomicU64,
}

/// One sink with its queue and its thread.
#[derive(Debug)]
struct Lane {
    queue: Inlet,
    reopen: Arc<AtomicBool>,
    /// Hears the end of the thread.
    ended: Mutex<Receiver<()>>,
}

/// A sink that is open and gets no lines yet.
pub struct Prepared(Option<Lane>);

impl Lines {
    /// To nowhere.
    pub fn new(what: &'static str) -> Self {
        Self { what, lane: RwLock::new(None), losses: Arc::default() }
    }

    /// Opens the sink; nothing is changed.
    pub fn prepare(&self, sink: &Sink) -> io::Result<Prepared> {
        let output: Box<dyn Output> = match sink {
            Sink::Off => return Ok(Prepared(None)),
            Sink::Stderr => Box::new(Stderr),
            Sink::System(log) => system::open(*log)?,
            Sink::File(rotation) if file::may_block(&rotation.path) => Box::new(Plain::new(rotation.path.clone())),
            Sink::File(rotation) => Box::new(Rotating::open(rotation.clone())?),
        };
        self.start(output).map(|lane| Prepared(Some(lane)))
    }

    fn start(&self, output: Box<dyn Output>) -> io::Result<Lane> {
        let (inlet, lines) = queue(QUEUE);
        let (ending, ended) = mpsc::channel();
        let reopen = Arc::new(AtomicBool::new(false));
        let mut pen =
            Pen { what: self.what, output, reopen: reopen.clone(), losses: self.losses.clone(), broken: false };
        thread::Builder::new().name(self.what.into()).spawn(move || {
            pen.write_all(&lines);
            drop(ending);
        })?;
        Ok(Lane { queue: inlet, reopen, ended: Mutex::new(ended) })
    }

    /// Lines go there from now on. Those that wait are still written by the former sink.
    pub fn switch(&self, prepared: Prepared) {
        *self.lane.write().unwrap_or_else(PoisonError::into_inner) = prepared.0;
    }

    /// A file that was moved away is left for a new one in its place.
    pub fn reopen(&self) {
        if let Some(lane) = &*self.lane() {
            lane.reopen.store(true, Ordering::Release);
        }
    }

    /// Whether anybody wants lines.
    pub fn is_open(&self) -> bool {
        self.lane().is_some()
    }

    /// With its line feed. Never blocks.
    pub fn push(&self, line: &str) {
        if let Some(lane) = &*self.lane()
            && !lane.queue.send(line)
        {
            self.losses.all.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many lines could not be kept so far.
    pub fn lost(&self) -> u64 {
        self.losses.all.load(Ordering::Relaxed)
    }

    /// Waits until all is written, but not for longer than `patience`: a sink that blocks may do so for ever.
    pub fn finish(&self, patience: Duration) {
        let lane = self.lane.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Lane { queue, ended, .. }) = lane {
            drop(queue);
            // It sends nothing: either way there is nothing more to wait for.
            let _ = ended.into_inner().unwrap_or_else(PoisonError::into_inner).recv_timeout(patience);
        }
    }

    fn lane(&self) -> RwLockReadGuard<'_, Option<Lane>> {
        self.lane.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread of a lane has in its hands.
struct Pen {
    what: &'static str,
    output: Box<dyn Output>,
    reopen: Arc<AtomicBool>,
    losses: Arc<Losses>,
    /// The last line could not be written, which was said.
    broken: bool,
}

impl Pen {
    fn write_all(&mut self, lines: &Outlet) {
        let mut batch = Batch::default();
        while lines.take(&mut batch) {
            for line in batch.lines() {
                self.write(line);
                lines.done_with_one();
            }
            if batch.is_empty() {
                self.tell_losses();
                thread::sleep(GATHERED_FOR);
                lines.wait();
            }
        }
    }

    /// A mistake of ours costs a line, not all that follow.
    fn write(&mut self, line: &str) {
        let output = &mut self.output;
        if self.reopen.swap(false, Ordering::AcqRel)
            && let Err(error) = output.reopen()
        {
            tracing::error!(%error, "cannot open the file for {} anew: the one that is open is written on", self.what);
        }
        let written = catch_unwind(AssertUnwindSafe(|| output.write(line)));
        match written.unwrap_or_else(|_| Err(io::Error::other("the writer failed"))) {
            Ok(()) => self.broken = false,
            Err(error) => {
                self.losses.all.fetch_add(1, Ordering::Relaxed);
                if !std::mem::replace(&mut self.broken, true) {
                    tracing::error!(%error, "{} are lost: they cannot be written", self.what);
                }
            }
        }
    }

    /// Once it is over.
    fn tell_losses(&self) {
        let all = self.losses.all.load(Ordering::Relaxed);
        if !self.broken {
            let told = self.losses.told.swap(all, Ordering::Relaxed);
            if all > told {
                tracing::warn!(lost = all - told, "{} were lost: where they go was slow or not there", self.what);
            }
        }
    }
}

/// May be a pipe that nobody reads.
struct Stderr;

impl Output for Stderr {
    fn write(&mut self, line: &str) -> io::Result<()> {
        io::stderr().write_all(line.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps lines, and fails or blocks as it is told.
    #[derive(Clone, Default)]
    struct Told {
        lines: Arc<Mutex<Vec<String>>>,
        gate: Arc<Mutex<()>>,
    }

    impl Output for Told {
        fn write(&mut self, line: &str) -> io::Result<()> {
            let _open = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
            match line {
                "fail\n" => Err(io::Error::other("told to")),
                "panic\n" => panic!("told to"),
                _ => {
                    self.lines.lock().unwrap().push(line.into());
                    Ok(())
                }
            }
        }
    }

    fn lines_to(told: &Told) -> Lines {
        let lines = Lines::new("lines");
        let lane = lines.start(Box::new(told.clone())).unwrap();
        lines.switch(Prepared(Some(lane)));
        lines
    }

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_line_that_cannot_be_written_costs_itself_alone() {
        let told = Told::default();
        let lines = lines_to(&told);
        for line in ["one\n", "fail\n", "panic\n", "two\n"] {
            lines.push(line);
        }
        lines.finish(PATIENCE);
        assert_eq!(*told.lines.lock().unwrap(), ["one\n", "two\n"]);
        assert_eq!(lines.lost(), 2);
    }

    #[test]
    fn a_sink_that_blocks_holds_nobody_up_and_what_is_lost_is_counted() {
        let told = Told::default();
        let lines = lines_to(&told);
        let closed = told.gate.lock().unwrap();
        for n in 0..QUEUE + 100 {
            lines.push(&format!("{n}\n"));
        }
        // One may be in the hands of the thread.
        assert!((99..=100).contains(&lines.lost()), "{}", lines.lost());
        lines.finish(Duration::from_millis(10));
        drop(closed);
    }

    #[test]
    fn a_blocked_sink_is_left_for_another_one() {
        let (blocked, next) = (Told::default(), Told::default());
        let lines = lines_to(&blocked);
        let closed = blocked.gate.lock().unwrap();
        lines.push("waits\n");
        let lane = lines.start(Box::new(next.clone())).unwrap();
        lines.switch(Prepared(Some(lane)));
        lines.push("goes on\n");
        lines.finish(PATIENCE);
        assert_eq!(*next.lines.lock().unwrap(), ["goes on\n"]);
        drop(closed);
    }

    #[test]
    fn nothing_is_changed_by_a_sink_that_cannot_be_opened() {
        let told = Told::default();
        let lines = lines_to(&told);
        let rotation = Rotation { path: "/nowhere/at/all".into(), max_size: 4096, max_age: None, keep: 1 };
        assert!(lines.prepare(&Sink::File(rotation)).is_err());
        lines.push("still here\n");
        lines.finish(PATIENCE);
        assert_eq!(*told.lines.lock().unwrap(), ["still here\n"]);
    }
}
