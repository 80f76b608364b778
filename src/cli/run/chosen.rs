//! Which relay a program is given: the one that runs, where it is meant, or one of its own.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::super::flags::Flags;
use super::super::relay;

/// A relay of this machine answers at once; what does not is none.
const PATIENCE: Duration = Duration::from_secs(3);

/// The relay that runs and serves us; `None` where there is none, or where another configuration is asked for.
pub fn running(flags: &Flags) -> Option<SocketAddr> {
    if asks_for_another(flags) {
        return None;
    }
    let stream = relay::find(flags).ok()?;
    let addr = stream.peer_addr().ok()?;
    serves(stream).then_some(addr)
}

/// All flags but the one that says where a relay is to be found.
fn asks_for_another(flags: &Flags) -> bool {
    flags.config.is_some() || flags.no_config || flags.layer().entries.iter().any(|entry| entry.path != ["listen"])
}

/// It is hallpass, it takes requests, and it takes ours.
fn serves(stream: TcpStream) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return false };
    let asked = runtime.block_on(async { timeout(PATIENCE, relay::page(stream, "/status")).await });
    let Ok(Ok((200, body))) = asked else { return false };
    let page: Value = serde_json::from_slice(&body).unwrap_or_default();
    page["phase"] == "serving" && page["listen"].is_array()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    #[test]
    fn flags_that_change_what_a_relay_does_ask_for_another_one() {
        for (line, another) in [
            ("run", false),
            ("run --listen 127.0.0.1:3128", false),
            ("run --profile office", true),
            ("run --upstream http://a.test:1", true),
            ("run --no-config", true),
            ("run --config f.toml", true),
        ] {
            assert_eq!(asks_for_another(&Line::parse_from(line.split(' ')).flags), another, "{line}");
        }
    }
}
