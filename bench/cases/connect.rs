//! CONNECT: how many a second, and how long one takes from the client's own connect to the answer.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::compare::Bench;
use crate::load::{self, Window};
use crate::pattern;
use crate::relays::{Kind, Relay, Wish};
use crate::results::Measured;
use crate::upstream::Auth;

const CLIENTS: [usize; 3] = [1, 16, 256];
const MOST_SHORT: usize = 16;
/// One in so many tunnels carries bytes, which must come back right.
const CHECKED: usize = 8;

pub fn ntlm(bench: &Bench) -> Result<()> {
    run(bench, "connect-ntlm", Auth::Ntlm, &[Kind::Hallpass, Kind::Cntlm, Kind::Px], &CLIENTS)
}

pub fn no_auth(bench: &Bench) -> Result<()> {
    let kinds = [Kind::Hallpass, Kind::Px, Kind::Haproxy, Kind::Squid, Kind::Tinyproxy, Kind::Straight];
    run(bench, "connect-no-auth", Auth::None, &kinds, &CLIENTS)
}

/// Logging on is one more field of the request.
pub fn basic(bench: &Bench) -> Result<()> {
    let kinds = [Kind::Hallpass, Kind::Px, Kind::Squid, Kind::Tinyproxy];
    run(bench, "connect-basic", Auth::Basic, &kinds, &[16])
}

fn run(bench: &Bench, case: &str, auth: Auth, kinds: &[Kind], clients: &[usize]) -> Result<()> {
    let relays = bench.start(case, kinds, &Wish::new(auth, bench.upstream.addresses));
    let window = bench.window(Duration::from_millis(150), Duration::from_millis(500));
    let most = if bench.options.short { MOST_SHORT } else { usize::MAX };
    for clients in clients.iter().filter(|clients| **clients <= most) {
        bench.alternate(case, &relays, |relay| bench.block_on(connects(relay, *clients, window)));
    }
    Ok(())
}

async fn connects(relay: &Relay, clients: usize, window: Window) -> Result<Vec<Measured>> {
    let address = relay.address;
    // What a first request costs is another case.
    load::echo(&mut load::tunnel(address, "echo.bench").await?, b"awake").await?;
    let meter = load::Meter::start(relay);
    let loops = load::repeat(clients, window, async move |number: usize, done: &mut usize| {
        let begun = Instant::now();
        let mut tunnel = load::tunnel(address, "echo.bench").await?;
        let took = begun.elapsed();
        if (number + *done).is_multiple_of(CHECKED) {
            load::echo(&mut tunnel, pattern::at(*done as u64, 64)).await?;
        }
        *done += 1;
        Ok(took)
    })
    .await;
    loops.figures(clients, meter.each(relay, &loops))
}
