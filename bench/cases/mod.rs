//! What is compared, a file for each case.

mod cold;
mod connect;
mod delay;
mod events;
mod forward;
mod growth;
mod idle;
mod many;
mod start;
mod throughput;

use anyhow::Result;

use crate::compare::Bench;

/// One case. It starts the relays it needs, alternates between them, and notes figures and failures in the bench.
pub struct Case {
    pub name: &'static str,
    pub run: fn(&Bench) -> Result<()>,
}

/// In the order of the table.
pub const ALL: &[Case] = &[
    Case { name: "connect-ntlm", run: connect::ntlm },
    Case { name: "connect-basic", run: connect::basic },
    Case { name: "connect-no-auth", run: connect::no_auth },
    Case { name: "cold-ntlm", run: cold::ntlm },
    Case { name: "get", run: forward::get },
    Case { name: "post", run: forward::post },
    Case { name: "download", run: throughput::download },
    Case { name: "upload", run: throughput::upload },
    Case { name: "sse", run: events::run },
    Case { name: "delay-answers", run: delay::answers },
    Case { name: "delay-line", run: delay::line },
    Case { name: "idle", run: idle::run },
    Case { name: "many", run: many::run },
    Case { name: "growth", run: growth::run },
    Case { name: "start", run: start::run },
];
