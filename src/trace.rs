//! The log, for the person who runs the relay. Levels by reader:
//!
//! * `error` something is broken and stays so until somebody acts;
//! * `warn` something is wrong that may pass by itself;
//! * `info` what a person wants to see once: start, reload, a hop that failed, stop;
//! * `debug` one request's way, host names included; `trace` each leg's shape, never its content.
//!
//! Only our own events are shown: libraries below may log what they were given, secrets included.

use std::io;

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

/// `None` is off.
pub fn start(level: Option<Level>, format: Format, colours: bool) {
    let filter = Targets::new().with_default(LevelFilter::OFF).with_target("hallpass", LevelFilter::from(level));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false);
    let started = match format {
        Format::Text => registry.with(layer.with_ansi(colours)).try_init(),
        Format::Json => registry.with(layer.json()).try_init(),
    };
    // In tests many relays share one process and its first log.
    drop(started);
}
