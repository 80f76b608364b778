//! The corporate proxy to practise on, by itself, for relays that run elsewhere (under Wine, in a container).
//!
//! `PRACTICE_PASSWORD=… cargo run --example practice -- 'CORP\alice' [ntlm|digest|basic]` prints its URL, and a line of
//! JSON for each line of stdin: how many logons were accepted and rejected so far. It ends with stdin. Behind it are
//! the pages of http://hello.practice.

use std::io::{self, BufRead, Write};

use hallpass::practice::{
    Account, Accounts, CorporateProxy, DigestAlgorithm, Gate, Names, Offer, Origin, OriginOptions, Place, ProxyOptions,
};

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut words = std::env::args().skip(1);
    let user = words.next().ok_or_else(|| io::Error::other("whose account? 'CORP\\alice'"))?;
    let (domain, name) = user.split_once('\\').unwrap_or(("", &user));
    let offer = match words.next().as_deref() {
        None | Some("ntlm") => Offer::Ntlm,
        Some("digest") => Offer::Digest(DigestAlgorithm::Sha256),
        Some("basic") => Offer::Basic,
        Some(other) => return Err(io::Error::other(format!("not one of ntlm, digest, basic: {other}"))),
    };
    let password = std::env::var("PRACTICE_PASSWORD").map_err(io::Error::other)?;
    let accounts = Accounts::new([Account::new(domain, name, &password)]);
    let origin = Origin::start(OriginOptions { accounts: accounts.clone(), tls: None }).await?;
    let proxy = CorporateProxy::start(ProxyOptions {
        gate: Gate::new([offer], accounts, domain),
        names: Names::none().with("*.practice", Place::At(origin.addr())),
        ..ProxyOptions::default()
    })
    .await?;
    let mut out = io::stdout();
    writeln!(out, "http://{}", proxy.addr())?;
    out.flush()?;
    let record = proxy.record().clone();
    tokio::task::spawn_blocking(move || {
        for line in io::stdin().lock().lines() {
            line?;
            let logons = record.logons();
            writeln!(out, r#"{{"accepted":{},"rejected":{}}}"#, logons.accepted, logons.rejected)?;
            out.flush()?;
        }
        Ok(())
    })
    .await?
}
