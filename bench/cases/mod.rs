//! What is compared, a file for each case.

mod connect;
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
    Case { name: "connect-no-auth", run: connect::no_auth },
    Case { name: "download", run: throughput::download },
];
