//! The relays side by side: each started on a port of the kernel's choice, waited for, and ended by its pid.

mod kinds;

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::process;
use crate::upstream::{Addresses, Auth};

pub use kinds::Kind;

/// The slowest to start is an interpreter with a cold disk.
const START: Duration = Duration::from_secs(20);

/// What a case wants of the relays it starts.
#[derive(Debug, Clone)]
pub struct Wish {
    pub auth: Auth,
    pub upstream: Addresses,
    /// What hallpass is told besides, as a file of keys.
    pub keys: String,
    /// Set for hallpass alone, for a ticket.
    pub environment: Vec<(String, String)>,
}

impl Wish {
    pub fn new(auth: Auth, upstream: Addresses) -> Self {
        Self { auth, upstream, keys: String::new(), environment: Vec::new() }
    }
}

/// One of those compared: a kind, a name for the table, and its program.
#[derive(Debug, Clone)]
pub struct Contender {
    pub kind: Kind,
    pub name: String,
    pub program: PathBuf,
}

/// One that runs.
pub struct Relay {
    pub kind: Kind,
    pub name: String,
    pub address: SocketAddr,
    /// From the start of its process to the first connection it took.
    pub started_in: Duration,
    process: Option<Process>,
}

struct Process {
    child: Child,
    /// Its configuration, state and output.
    home: TempDir,
}

impl Relay {
    pub fn start(contender: &Contender, wish: &Wish) -> Result<Self> {
        if contender.kind == Kind::Straight {
            return Ok(Self::straight(wish));
        }
        let home = tempfile::Builder::new().prefix("bench-").tempdir()?;
        let address = free_port()?;
        let command = kinds::command(contender, wish, address, home.path())
            .with_context(|| format!("{} cannot be configured", contender.name))?;
        let begun = Instant::now();
        let child = spawn(command, home.path()).with_context(|| format!("{} does not start", contender.name))?;
        let mut process = Process { child, home };
        wait_for(&mut process, address).with_context(|| contender.name.clone())?;
        Ok(Self {
            kind: contender.kind,
            name: contender.name.clone(),
            address,
            started_in: begun.elapsed(),
            process: Some(process),
        })
    }

    /// No relay at all: the client talks with an upstream that asks nobody.
    fn straight(wish: &Wish) -> Self {
        Self {
            kind: Kind::Straight,
            name: Kind::Straight.name().into(),
            address: wish.upstream.none,
            started_in: Duration::ZERO,
            process: None,
        }
    }

    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.child.id())
    }

    /// The processor time it has used so far, with all it started.
    pub fn cpu(&self) -> Duration {
        self.pid().map(process::cpu).unwrap_or_default()
    }
}

impl Process {
    fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.home.path().join("output")).unwrap_or_default()).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // None of them has anything to save, and some take seconds to say goodbye.
        for pid in process::tree(self.child.id()).into_iter().filter_map(|pid| Pid::from_raw(i32::try_from(pid).ok()?))
        {
            // One that is gone already is what is wanted.
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Nobody listens there now; that nobody will in the next moments is as good as certain.
fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

fn spawn(mut command: Command, home: &Path) -> Result<Child> {
    let output = File::create(home.join("output"))?;
    let child = command.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output).current_dir(home).spawn();
    child.with_context(|| format!("{:?}", command.get_program()))
}

fn wait_for(process: &mut Process, address: SocketAddr) -> Result<()> {
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        if let Some(status) = process.child.try_wait()? {
            bail!("ended with {status}: {}", process.output());
        }
        if begun.elapsed() > START {
            bail!("does not listen after {} s: {}", START.as_secs(), process.output());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
