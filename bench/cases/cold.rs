//! The first requests of a relay that has just started and knows nothing of its upstream.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::compare::{Bench, measured};
use crate::load;
use crate::relays::{Kind, Relay, Wish};
use crate::results::{Measured, Unit};
use crate::upstream::Auth;

const CLIENTS: [usize; 2] = [1, 16];

pub fn ntlm(bench: &Bench) -> Result<()> {
    run(bench, "cold-ntlm", Auth::Ntlm, &[Kind::Hallpass, Kind::Cntlm, Kind::Px])
}

fn run(bench: &Bench, case: &str, auth: Auth, kinds: &[Kind]) -> Result<()> {
    let contenders: Vec<_> = bench.contenders(kinds).collect();
    let wish = Wish::new(auth, bench.upstream.addresses);
    for clients in CLIENTS {
        bench.alternate(case, &contenders, |contender| {
            let relay = Relay::start(contender, &wish)?;
            let mut figures = bench.block_on(first(&relay, clients))?;
            figures.push(measured("start to listening", Unit::Milliseconds, relay.started_in.as_secs_f64() * 1e3));
            Ok(figures)
        });
    }
    Ok(())
}

/// All clients come at once; the last answer counts.
async fn first(relay: &Relay, clients: usize) -> Result<Vec<Measured>> {
    let begun = Instant::now();
    let address = relay.address;
    let tasks: Vec<_> = (0..clients)
        .map(|_| tokio::task::spawn_local(async move { load::tunnel(address, "echo.bench").await }))
        .collect();
    let mut tunnels = Vec::new();
    for task in tasks {
        tunnels.push(task.await??);
    }
    let took = begun.elapsed();
    for tunnel in &mut tunnels {
        load::echo(tunnel, b"the first bytes").await?;
    }
    ensure!(tunnels.len() == clients, "{} tunnels of {clients}", tunnels.len());
    let name = if clients == 1 { "first CONNECT".to_owned() } else { format!("first CONNECT, {clients} at once") };
    Ok(vec![measured(name, Unit::Milliseconds, took.as_secs_f64() * 1e3)])
}
