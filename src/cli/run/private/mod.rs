//! A relay for one program: a process of its own beside us, so that it works on while the program is stopped at the
//! terminal, and what is typed there does not reach it. It hears from us by its stdin and answers by its stdout.

pub mod served;

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, anyhow};
use serde::{Deserialize, Serialize};

use crate::cli::output;
use crate::process::tree;

/// What makes a relay of us; see [`super::Arguments`].
pub const FLAG: &str = "--only-relay";

/// End as soon as nobody is connected any more. So does the end of the pipe.
const WHEN_DONE: u8 = b'd';
/// End.
const NOW: u8 = b'n';

/// The first line that the relay says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Begun {
    Listening { addr: SocketAddr, records: Option<PathBuf>, log: Option<PathBuf> },
    Failed { why: String },
}

#[derive(Debug)]
pub struct Private {
    process: Child,
    /// Hears how many requests failed; `None`: the relay did not come to say it.
    last_words: JoinHandle<Option<usize>>,
    pub addr: SocketAddr,
    records: Option<PathBuf>,
}

impl Private {
    /// `arguments`: our own, up to the program's.
    pub fn start(arguments: &[OsString]) -> anyhow::Result<Self> {
        let ourselves = std::env::current_exe().context("cannot find the program hallpass itself")?;
        let mut command = Command::new(ourselves);
        command.args(arguments).arg(FLAG).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        tree::set_apart(&mut command);
        let mut process = command.spawn().context("cannot start a relay")?;
        let stdout = process.stdout.take().context("the relay cannot be heard")?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line).context("the relay cannot be heard")?;
        match serde_json::from_str(&line) {
            Ok(Begun::Listening { addr, records, log }) => {
                let last_words = thread::spawn(move || last_words(stdout, log.as_deref()));
                Ok(Self { process, last_words, addr, records })
            }
            Ok(Begun::Failed { why }) => {
                process.wait().context("cannot wait for the relay")?;
                Err(anyhow!("no relay can be started: {why}"))
            }
            Err(_) => Err(anyhow!("the relay ended before it served ({})", process.wait()?)),
        }
    }

    pub fn finish_when_done(&mut self) {
        self.tell(WHEN_DONE);
    }

    pub fn finish_now(&mut self) {
        self.tell(NOW);
    }

    /// Who is gone needs not to be told.
    fn tell(&mut self, word: u8) {
        if let Some(stdin) = &mut self.process.stdin {
            let _gone = stdin.write_all(&[word]);
        }
    }

    /// It was of no use.
    pub fn end(mut self) -> anyhow::Result<()> {
        self.finish_now();
        self.process.wait().context("cannot wait for the relay").map(drop)
    }

    pub fn has_ended(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// What became of requests that failed, once the relay has ended.
    pub fn failures(self) -> Option<String> {
        let count = self.last_words.join().ok().flatten().filter(|count| *count > 0)?;
        let place = self.records.as_ref().map(|records| format!(": see {}", records.display())).unwrap_or_default();
        Some(match count {
            1 => format!("a request failed{place}"),
            _ => format!("{count} requests failed{place}"),
        })
    }
}

/// A relay says its last line when it was told to end. One that ends without it takes the program's way out with it, and
/// nobody would know why nothing works any more.
fn last_words(mut stdout: BufReader<ChildStdout>, log: Option<&Path>) -> Option<usize> {
    let mut line = String::new();
    let count = stdout.read_line(&mut line).ok().and_then(|_| line.trim().parse().ok());
    if count.is_none() {
        let place = log.map(|log| format!("; {} may say why", log.display())).unwrap_or_default();
        output::complain(format_args!(
            "hallpass: the relay of this program has ended by itself, so its requests fail from now on: end the program and \
             start it again with hallpass run{place}"
        ));
    }
    count
}
