//! Audit records: one JSON line per request or tunnel, at its end, to where the configuration says.
//!
//! Writing happens on a thread of its own behind a bounded queue: a sink that blocks never blocks traffic, it
//! loses records, and says how many.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use serde::Serialize;

/// Records that may wait for a slow sink.
const QUEUE: usize = 4096;

/// How a request or tunnel ended. A closed vocabulary: others count and alert on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Done,
    ClientClosed,
    ClientReset,
    UpstreamClosed,
    UpstreamReset,
    BadRequest,
    Denied,
    PeerDenied,
    Loop,
    Limit,
    NoCredential,
    CredentialRejected,
    BreakerOpen,
    UpstreamRefused,
    Unreachable,
    ConnectTimeout,
    HandshakeTimeout,
    HandshakeBroken,
    TlsFailed,
    IdleTimeout,
    Drained,
    Internal,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Why {
    pub kind: &'static str,
    pub text: String,
}

/// What is not known is absent. Never a path, a query, a header value, a user's name or a secret.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Record {
    pub time: String,
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The user behind it, where it is on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Why>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub bytes_up: u64,
    pub bytes_down: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_ms: Option<u64>,
    pub total_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    Off,
    Stderr,
    File { path: PathBuf, max_size: u64, keep: usize },
}

/// Where lines go.
type Output = Box<dyn FnMut(&str) -> io::Result<()> + Send>;

/// The way in; cheap to clone.
#[derive(Clone, Debug)]
pub struct Audit {
    queue: Option<SyncSender<String>>,
    lost: Arc<AtomicU64>,
}

/// Ends when the last [`Audit`] is dropped and everything is written.
pub struct Writer(Option<JoinHandle<()>>);

impl Writer {
    pub fn finish(self) {
        if let Some(thread) = self.0
            && thread.join().is_err()
        {
            tracing::error!("the audit writer failed");
        }
    }
}

impl Audit {
    pub fn start(sink: Sink) -> io::Result<(Self, Writer)> {
        let lost = Arc::new(AtomicU64::new(0));
        let mut output: Output = match sink {
            Sink::Off => return Ok((Self { queue: None, lost }, Writer(None))),
            Sink::Stderr => Box::new(|line| io::stderr().write_all(line.as_bytes())),
            Sink::File { path, max_size, keep } => {
                let mut file = Rotating::open(path, max_size, keep)?;
                Box::new(move |line| file.write(line))
            }
        };
        let (queue, lines) = sync_channel(QUEUE);
        let missed = lost.clone();
        let thread = std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || write_lines(&lines, &missed, &mut output))?;
        Ok((Self { queue: Some(queue), lost }, Writer(Some(thread))))
    }

    pub fn record(&self, record: &Record) {
        let Some(queue) = &self.queue else { return };
        let Ok(mut line) = serde_json::to_string(record) else { return };
        line.push('\n');
        if let Err(TrySendError::Full(_)) = queue.try_send(line) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write_lines(lines: &Receiver<String>, lost: &AtomicU64, output: &mut dyn FnMut(&str) -> io::Result<()>) {
    for line in lines {
        let missed = lost.swap(0, Ordering::Relaxed);
        if missed > 0 {
            tracing::error!(missed, "audit records lost: the sink is too slow");
        }
        if let Err(error) = output(&line) {
            tracing::error!(%error, "audit record not written");
        }
    }
}

/// `audit.log`, `audit.log.1` … `audit.log.<keep>`, the newest first.
struct Rotating {
    path: PathBuf,
    file: File,
    size: u64,
    max_size: u64,
    keep: usize,
}

impl Rotating {
    fn open(path: PathBuf, max_size: u64, keep: usize) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let size = file.metadata()?.len();
        Ok(Self { path, file, size, max_size, keep })
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        if self.size > 0 && self.size + line.len() as u64 > self.max_size {
            self.rotate()?;
        }
        self.file.write_all(line.as_bytes())?;
        self.size += line.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |n: usize| PathBuf::from(format!("{}.{n}", self.path.display()));
        for n in (1..self.keep).rev() {
            rename_if_there(&numbered(n), &numbered(n + 1))?;
        }
        if self.keep > 0 {
            rename_if_there(&self.path, &numbered(1))?;
        } else {
            fs::remove_file(&self.path)?;
        }
        *self = Self::open(self.path.clone(), self.max_size, self.keep)?;
        Ok(())
    }
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_json_line_without_what_is_not_known() {
        let record = Record { id: "7".into(), end: Some(End::HandshakeBroken), ..Record::default() };
        let line = serde_json::to_string(&record).unwrap();
        assert_eq!(line, r#"{"time":"","id":"7","bytes_up":0,"bytes_down":0,"total_ms":0,"end":"handshake_broken"}"#);
    }

    #[test]
    fn a_full_file_is_rotated_and_the_oldest_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let (audit, writer) = Audit::start(Sink::File { path: path.clone(), max_size: 200, keep: 2 }).unwrap();
        for n in 0..12 {
            audit.record(&Record { id: n.to_string(), ..Record::default() });
        }
        drop(audit);
        writer.finish();
        let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(std::fs::read_to_string(&path).unwrap().contains(r#""id":"11""#));
    }
}
