//! The corporate proxy and the origin behind it, played by a process of their own: raw bytes, no more than is needed.

mod gate;
mod origin;
mod serve;

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde::{Deserialize, Serialize};

pub use gate::{Auth, DOMAIN, KEYTAB, PASSWORD, USER};
pub use origin::{EVENT, SMALL, STRIDE, sent};
pub use serve::serve;

/// The first argument of the process that plays.
pub const COMMAND: &str = "upstream";

/// How it is to be played.
#[derive(Debug, Clone, Args)]
pub struct Play {
    /// The address to listen at, one port for each kind of authentication.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub listen: IpAddr,
    /// How late each answer of the proxy comes, in milliseconds; the tunnel's bytes come at once.
    #[arg(long, default_value_t = 0)]
    pub delay: u64,
}

impl Default for Play {
    fn default() -> Self {
        Self { listen: IpAddr::V4(Ipv4Addr::LOCALHOST), delay: 0 }
    }
}

impl Play {
    fn delay(&self) -> Duration {
        Duration::from_millis(self.delay)
    }
}

/// Where it listens: one port for each kind of authentication.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Addresses {
    pub none: SocketAddr,
    pub basic: SocketAddr,
    pub ntlm: SocketAddr,
    pub negotiate: SocketAddr,
}

impl Addresses {
    pub fn of(&self, auth: Auth) -> SocketAddr {
        match auth {
            Auth::None => self.none,
            Auth::Basic => self.basic,
            Auth::Ntlm => self.ntlm,
            Auth::Negotiate => self.negotiate,
        }
    }
}

/// What has happened at it since it began.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub struct Counts {
    pub connections: u64,
    pub open: u64,
    pub requests: u64,
    pub challenges: u64,
    pub logons: u64,
    /// Proofs that were judged and found wrong.
    pub refused: u64,
}

/// The process that plays; it ends with this value, or with its parent.
pub struct Upstream {
    pub addresses: Addresses,
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Upstream {
    pub fn start(play: &Play) -> Result<Self> {
        Self::start_with(play, &[])
    }

    /// `before` stands in front of the command, as `ip netns exec NAME` does.
    pub fn start_with(play: &Play, before: &[&str]) -> Result<Self> {
        let own = std::env::current_exe()?;
        let words = before.iter().map(Into::into).chain([own.into_os_string()]).collect::<Vec<std::ffi::OsString>>();
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .args([COMMAND, "--listen", &play.listen.to_string(), "--delay", &play.delay.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the played upstream does not start")?;
        let orders = child.stdin.take().context("no stdin")?;
        let mut answers = BufReader::new(child.stdout.take().context("no stdout")?);
        let mut line = String::new();
        answers.read_line(&mut line)?;
        let addresses = serde_json::from_str(&line).with_context(|| format!("the played upstream said {line:?}"))?;
        Ok(Self { addresses, child, orders, answers })
    }

    pub fn counts(&mut self) -> Result<Counts> {
        self.orders.write_all(b"counts\n")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("the played upstream said {line:?}"))
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
