//! The stage: an office (corporate proxy, origin, relay in front), and peers that say and hear exact bytes.

mod faulty;
mod office;
mod peer;
mod scripted;
mod socks;
mod watched;
mod ways;

pub use faulty::{Fault, Faulty, Kind, Leg};
pub use office::{Office, OfficePlan, PASSWORD, Relay, RelayPlan};
pub use peer::{Answer, Head, Peer, soon, until};
pub use scripted::{BlackHole, Closed, Guard, Heard, Say, Scripted, Upstream};
pub use socks::{SocksPlan, SocksServer};
pub use watched::{Order, Watched};
pub use ways::{hop, lease, route, tunnel, ways};
