//! The log, for the person who runs the relay. Levels by reader:
//!
//! * `error` something is broken and stays so until somebody acts;
//! * `warn` something is wrong that may pass by itself;
//! * `info` what a person wants to see once: start, reload, a hop that failed, stop;
//! * `debug` one request's way, host names included; `trace` each leg's shape, never its content.
//!
//! Only our own events are shown: libraries below may log what they were given, secrets included.

use std::io::{self, Write};
use std::sync::Arc;

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, Layered, SubscriberExt as _};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

/// What is shown, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// `None` is off.
    pub level: Option<Level>,
    pub format: Format,
    pub colours: bool,
}

/// Takes lines, and never blocks: whoever logs has other things to do.
pub type Keep = Arc<dyn Fn(String) + Send + Sync>;

type Filter = reload::Layer<Targets, Registry>;
type Lines = Box<dyn Layer<Layered<Filter, Registry>> + Send + Sync>;

/// The log of this process.
pub struct Log {
    filter: reload::Handle<Targets, Registry>,
    lines: reload::Handle<Lines, Layered<Filter, Registry>>,
    keep: Keep,
}

impl Log {
    /// In tests many relays share one process and its first log.
    pub fn start(view: View, keep: Keep) -> Self {
        let (filter, shown) = reload::Layer::new(filter(view.level));
        let (lines, formatted) = reload::Layer::new(lines(view, &keep));
        drop(tracing_subscriber::registry().with(filter).with(lines).try_init());
        Self { filter: shown, lines: formatted, keep }
    }

    pub fn show(&self, view: View) {
        let filtered = self.filter.reload(filter(view.level));
        if let Err(error) = filtered.and_then(|()| self.lines.reload(lines(view, &self.keep))) {
            tracing::error!(%error, "the log stays as it is");
        }
    }
}

fn filter(level: Option<Level>) -> Targets {
    Targets::new().with_default(LevelFilter::OFF).with_target("hallpass", LevelFilter::from(level))
}

fn lines(view: View, keep: &Keep) -> Lines {
    let keep = keep.clone();
    let lines = tracing_subscriber::fmt::layer().with_writer(move || Line(keep.clone())).with_target(false);
    match view.format {
        Format::Text => lines.with_ansi(view.colours).boxed(),
        Format::Json => lines.json().boxed(),
    }
}

/// A mistake of ours in one task ends what that task did, and is told by its place alone: what a panic says may be made
/// of what a client or an upstream sent.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        tracing::error!(place, thread = thread.name(), "a mistake in hallpass itself: please report this line");
    }));
}

/// Gets one event as one piece.
struct Line(Keep);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        (self.0)(String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
