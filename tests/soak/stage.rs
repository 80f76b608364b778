//! The corporate proxy and what lies behind it; the proxy is restarted now and then.

use std::net::SocketAddr;
use std::sync::{Arc, RwLock};

use hallpass::practice::{
    Account, Accounts, CorporateProxy, Gate, Names, Offer, Origin, OriginOptions, Place, ProxyOptions,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::relay::PASSWORD;
use crate::strikes::Strikes;

pub struct Stage {
    echo: SocketAddr,
    running: (CorporateProxy, Origin),
    /// Where the proxy is now.
    pub proxy: Arc<RwLock<SocketAddr>>,
    /// Of the proxies that are gone.
    rejected: u64,
    logons: u64,
}

impl Stage {
    pub async fn build() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let echo = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(echo_all(stream));
                }
            }
        });
        let running = open(echo).await;
        let proxy = Arc::new(RwLock::new(running.0.addr()));
        Self { echo, running, proxy, rejected: 0, logons: 0 }
    }

    /// Everybody's connections end.
    pub async fn restart(&mut self, strikes: &Strikes) {
        let next = open(self.echo).await;
        *self.proxy.write().unwrap() = next.0.addr();
        strikes.hit_all("restart");
        let old = std::mem::replace(&mut self.running, next);
        let logons = old.0.record().logons();
        self.rejected += logons.rejected;
        self.logons += logons.attempted;
        drop(old);
        strikes.hit_all("end of a restart");
    }

    /// Log-ons in all, and those that were refused.
    pub fn logons(&self) -> (u64, u64) {
        let now = self.running.0.record().logons();
        (self.logons + now.attempted, self.rejected + now.rejected)
    }
}

async fn open(echo: SocketAddr) -> (CorporateProxy, Origin) {
    let accounts = Accounts::new([Account::new("PRACTICE", "alice", PASSWORD)]);
    let origin = Origin::start(OriginOptions { accounts: accounts.clone(), tls: None }).await.unwrap();
    let names = Names::none().with("*.web.practice", Place::At(origin.addr())).with("*.raw.practice", Place::At(echo));
    let options = ProxyOptions {
        gate: Gate::new([Offer::Ntlm], accounts, "PRACTICE"),
        names: names.with("*.denied.practice", Place::At(echo)),
        denied: vec!["*.denied.practice".into()],
        ..ProxyOptions::default()
    };
    (CorporateProxy::start(options).await.unwrap(), origin)
}

async fn echo_all(mut stream: TcpStream) {
    let mut room = vec![0; 32 << 10];
    while let Ok(read @ 1..) = stream.read(&mut room).await {
        if stream.write_all(&room[..read]).await.is_err() {
            return;
        }
    }
    let _ = stream.shutdown().await;
}
