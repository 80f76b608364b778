//! The relay on ports from the kernel, alone or with the practice proxy and origin behind it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hallpass::config::{Config, Environment, Files, Inputs, Layer, PolicyPlace, load};
use hallpass::daemon::{Daemon, StartError};
use hallpass::practice::{
    Account, Accounts, CorporateProxy, Gate, Logons, Names, Offer, Origin, OriginOptions, Place, ProxyOptions, Tls,
};
use serde_json::Value;
use tempfile::TempDir;

use super::{Answer, Peer, until};

pub const PASSWORD: &str = "corr\u{e9}ct horse: battery";

/// A relay that is not yet started.
#[derive(Clone, Default)]
pub struct RelayPlan {
    keys: String,
    tables: String,
    variables: Vec<(String, String)>,
    listen: Option<SocketAddr>,
    upstreams: Vec<(String, String)>,
    password: Option<String>,
    copies: bool,
}

impl RelayPlan {
    /// A line above all tables.
    pub fn key(mut self, line: &str) -> Self {
        self.keys += &format!("{line}\n");
        self
    }

    /// Whole tables.
    pub fn tables(mut self, text: &str) -> Self {
        self.tables += &format!("{text}\n");
        self
    }

    /// In the place of a port from the kernel.
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.listen = Some(addr);
        self
    }

    /// What outlives the process is kept here.
    pub fn state(self, directory: &Path) -> Self {
        self.variable("XDG_STATE_HOME", directory.to_str().unwrap())
    }

    /// The relay's environment has nothing but these.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    pub fn upstream(self, address: SocketAddr) -> Self {
        self.upstream_with(address, "")
    }

    /// `lines` are further keys of the upstream.
    pub fn upstream_with(mut self, address: SocketAddr, lines: &str) -> Self {
        self.upstreams.push((format!("http://{address}"), lines.into()));
        self
    }

    pub fn upstream_at(mut self, url: &str, lines: &str) -> Self {
        self.upstreams.push((url.into(), lines.into()));
        self
    }

    pub fn without_upstreams(mut self) -> Self {
        self.upstreams.clear();
        self
    }

    /// For all upstreams named so far.
    pub fn upstream_schemes(mut self, schemes: &str) -> Self {
        self.upstreams.iter_mut().for_each(|(_, lines)| *lines += &format!("schemes = {schemes}\n"));
        self
    }

    /// Tunnels without splice(2), as on other systems.
    pub fn copying(mut self) -> Self {
        self.copies = true;
        self
    }

    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.into());
        self
    }

    pub fn start(self) -> Relay {
        let directory = tempfile::tempdir().unwrap();
        let config = self.config(&directory);
        Relay { daemon: Daemon::start(&config).unwrap(), plan: self, directory }
    }

    fn config(&self, directory: &TempDir) -> Config {
        let listen = self.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        // All of it must hold with log-ins begun ahead as well.
        let warm = std::env::var("HALLPASS_WARM").is_ok_and(|value| value == "1");
        let warm = if warm && !self.keys.contains("warm_handshakes") { "warm_handshakes = 1\n" } else { "" };
        let mut text = format!("listen = [\"{listen}\"]\n{warm}{}", self.keys);
        for (number, (url, lines)) in self.upstreams.iter().enumerate() {
            text += &format!("[upstreams.u{number}]\nurl = \"{url}\"\n{lines}\n");
        }
        let password = self.password.as_deref().unwrap_or(PASSWORD);
        text += &format!("[credentials.alice]\nuser = 'PRACTICE\\alice'\npassword = '{password}'\n");
        text += &self.tables;
        text += &format!("[audit]\nto = \"{}\"\n", audit(directory).display());
        let path = directory.path().join("hallpass.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let variables = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let environment = Environment::from_pairs(variables);
        let inputs =
            Inputs { files: Files::Only(path), environment, flags: Layer::default(), policy: PolicyPlace::Nowhere };
        let mut config = load(&inputs).unwrap_or_else(|mistakes| panic!("{:?}", mistakes.0)).config;
        config.splices = !self.copies && std::env::var_os("HALLPASS_SPLICE").is_none_or(|splice| splice != "off");
        config
    }
}

fn audit(directory: &TempDir) -> PathBuf {
    directory.path().join("audit.log")
}

pub struct Relay {
    pub daemon: Daemon,
    plan: RelayPlan,
    directory: TempDir,
}

impl Relay {
    /// In front of nothing: everything goes direct.
    pub fn direct() -> Self {
        RelayPlan::default().start()
    }

    pub fn before(upstream: SocketAddr) -> RelayPlan {
        RelayPlan::default().upstream(upstream)
    }

    /// What it was started with.
    pub fn config(&self) -> Config {
        self.plan.config(&self.directory)
    }

    /// For another relay like this one.
    pub fn plan(&self) -> RelayPlan {
        self.plan.clone()
    }

    pub fn addr(&self) -> SocketAddr {
        self.daemon.addrs()[0]
    }

    /// As if so much time had passed for the lock-out breaker.
    pub fn skip(&self, time: Duration) {
        self.daemon.live().lockout().skip(time);
    }

    pub async fn client(&self) -> Peer {
        Peer::connect(self.addr()).await
    }

    /// With a configuration changed by `change`.
    pub fn reload(&mut self, change: impl FnOnce(RelayPlan) -> RelayPlan) {
        self.try_reload(change).unwrap();
    }

    pub fn try_reload(&mut self, change: impl FnOnce(RelayPlan) -> RelayPlan) -> Result<(), StartError> {
        self.plan = change(self.plan.clone());
        self.daemon.reload(&self.plan.config(&self.directory))
    }

    /// The audit records, once there are this many.
    pub async fn records(&self, count: usize) -> Vec<Value> {
        records(&self.directory, count).await
    }

    /// Ends the relay and gives what was recorded.
    pub async fn stop(self) -> Vec<Value> {
        self.daemon.stop(std::future::pending()).await;
        read_records(&self.directory)
    }
}

async fn records(directory: &TempDir, count: usize) -> Vec<Value> {
    let mut found = Vec::new();
    until("the audit records", || {
        found = read_records(directory);
        found.len() >= count
    })
    .await;
    found
}

fn read_records(directory: &TempDir) -> Vec<Value> {
    let text = fs::read_to_string(audit(directory)).unwrap_or_default();
    // A record that is being written has no end of line yet.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A corporate proxy with an origin behind it, and the relay in front of it.
pub struct Office {
    pub origin: Origin,
    pub proxy: CorporateProxy,
    /// Whom the proxy knows; to be changed under it.
    pub accounts: Accounts,
    pub relay: Relay,
}

pub struct OfficePlan {
    gate: Gate,
    accounts: Accounts,
    upstream: String,
    relay: RelayPlan,
    close_bare_refusals: bool,
    tls: Option<Tls>,
}

impl Office {
    /// Names under `.practice` lead to the origin, those under `.denied.practice` are refused.
    pub fn with(offers: impl IntoIterator<Item = Offer>) -> OfficePlan {
        let accounts =
            Accounts::new([Account::new("PRACTICE", "alice", PASSWORD), Account::new("PRACTICE", "bob", "bob's")]);
        let gate = Gate::new(offers, accounts.clone(), "PRACTICE");
        OfficePlan {
            gate,
            accounts,
            upstream: String::new(),
            relay: RelayPlan::default(),
            close_bare_refusals: false,
            tls: None,
        }
    }

    /// A CONNECT that is answered, and nothing sent yet.
    pub async fn tunnel(&self) -> Peer {
        let mut client = self.relay.client().await;
        client.send("CONNECT origin.practice:80 HTTP/1.1\r\nHost: origin.practice:80\r\n\r\n").await;
        assert_eq!(client.head().await.status(), 200);
        client
    }

    /// One request on a connection of its own.
    pub async fn get(&self, path: &str) -> Answer {
        self.relay.client().await.ask(format!("GET http://origin.practice{path} HTTP/1.1\r\nHost: x\r\n\r\n")).await
    }

    pub fn logons(&self) -> Logons {
        self.proxy.record().logons()
    }
}

impl OfficePlan {
    pub fn gate(mut self, change: impl FnOnce(Gate) -> Gate) -> Self {
        self.gate = change(self.gate);
        self
    }

    pub fn relay(mut self, change: impl FnOnce(RelayPlan) -> RelayPlan) -> Self {
        self.relay = change(self.relay);
        self
    }

    pub fn password(self, password: &str) -> Self {
        let password = password.to_string();
        self.relay(|relay| relay.password(&password))
    }

    /// Further keys of the upstream, such as `schemes`.
    pub fn upstream(mut self, lines: &str) -> Self {
        self.upstream = lines.into();
        self
    }

    pub fn close_bare_refusals(mut self) -> Self {
        self.close_bare_refusals = true;
        self
    }

    /// The proxy is `https://localhost`, with this certificate.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    pub async fn start(self) -> Office {
        let accounts = self.accounts.clone();
        let origin = Origin::start(OriginOptions { accounts: self.accounts, tls: None }).await.unwrap();
        let proxy = CorporateProxy::start(ProxyOptions {
            gate: self.gate,
            names: Names::none().with("*.practice", Place::At(origin.addr())),
            denied: vec!["*.denied.practice".into()],
            tls: self.tls.clone(),
            close_bare_refusals: self.close_bare_refusals,
        })
        .await
        .unwrap();
        let url = match self.tls {
            Some(_) => format!("https://localhost:{}", proxy.addr().port()),
            None => format!("http://{}", proxy.addr()),
        };
        let relay = self.relay.upstream_at(&url, &self.upstream).start();
        Office { origin, proxy, accounts, relay }
    }
}
