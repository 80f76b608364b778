//! A configuration that is ready to run and cannot be wrong, and the way there:
//!
//! ```text
//! files ─▶ file ──────┐
//! HALLPASS_* ─▶ environment ─▶ layer (the higher replaces whole keys) ─▶ shortcut ─▶ build ─▶ Config
//! flags ──────────────┘                       all mistakes at once ◀──────────────────┘
//! ```
//!
//! Managed policy (`policy`) stands above the flags where it locks, and below the user's file where it recommends.

mod admission;
pub mod auto_port;
mod build;
mod credentials;
mod draft;
mod environment;
mod expand;
pub mod export;
mod file;
pub mod import;
mod keys;
mod layer;
mod listeners;
mod load;
mod mistake;
mod names;
mod no_proxy;
mod pac;
mod policy;
mod profiles;
mod reader;
mod rules;
mod schema;
mod shortcut;
mod show;
mod stamps;
#[cfg(test)]
mod tests;
mod text;
mod tunnels;
mod upstreams;
mod value;

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(target_os = "macos", path = "macos.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod places;

#[cfg(unix)]
#[path = "unix.rs"]
mod access;
#[cfg(windows)]
use places as access;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

pub use draft::write_private;
pub use environment::Environment;
pub use layer::{Layer, Value};
pub use load::{Examined, Files, Inputs, Loaded, Shown, examine, load};
pub use mistake::{Mistake, Mistakes, Origin, Problem};
pub use names::{is_name, named_files, names, place_for, places_of};
pub use places::{state_directory, user_file};
pub use policy::{FoundPolicy, Key as RegistryKey, PolicyPlace, RegistryValue, Statement};
pub use schema::schema;
pub use stamps::{Stamps, version};

use access::{OWNERS, closing, create_private, others_may_write, others_than_root_may_write};
use places::{HOME_OF_STATE, machine_file};

use crate::address::{Endpoint, Host, Target};
use crate::auth::{Scheme, User};
use crate::credential::Source;
use crate::owner::Owner;
use crate::route::DirectFallback;
use crate::route::no_proxy::NoProxy;
use crate::route::pattern::Pattern;
use crate::route::profile::Conditions;
use crate::route::rules::Rule;
use crate::sink::SystemLog;

/// Squid's port, which people expect a local proxy on.
pub const DEFAULT_PORT: u16 = 3128;
/// One address of each family, because `localhost` may be either.
pub const DEFAULT_LISTEN: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), DEFAULT_PORT),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), DEFAULT_PORT),
];
/// How long tunnels may live on after SIGTERM.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(5);
/// How long, after SIGTERM, clients are still let in while `/readyz` says that they should go elsewhere.
pub const DEFAULT_DRAIN_DELAY: Duration = Duration::ZERO;
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// All legs with one upstream.
pub const DEFAULT_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);
/// A client may take this long to send a request head.
pub const DEFAULT_HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Tunnels are never cut for being silent: an event stream may be.
pub const DEFAULT_IDLE_TIMEOUT: Option<Duration> = None;
/// After one side's FIN, the other may stay silent this long.
pub const DEFAULT_HALF_CLOSE_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// Shorter than the time after which common firewalls forget a silent connection.
pub const DEFAULT_KEEPALIVE: Option<Duration> = Some(Duration::from_secs(30));
/// Clients at a time.
pub const DEFAULT_MAX_CLIENTS: usize = 10_000;
pub const DEFAULT_WARM_HANDSHAKES: usize = 0;
/// Bytes of a request or response head.
pub const DEFAULT_MAX_HEAD: usize = 64 * 1024;
/// Bytes of an audit file before the next one is begun.
pub const DEFAULT_AUDIT_MAX_SIZE: u64 = 16 * 1024 * 1024;
/// A file that few records fill is not written for ever.
pub const DEFAULT_AUDIT_MAX_AGE: Option<Duration> = Some(Duration::from_secs(30 * 24 * 60 * 60));
/// Audit files that are kept besides the one being written.
pub const DEFAULT_AUDIT_KEEP: usize = 5;
pub const DEFAULT_KDC_PORT: u16 = 88;
/// A PAC script is asked for anew this often.
pub const DEFAULT_PAC_REFRESH: Duration = Duration::from_secs(60 * 60);
/// One evaluation of a PAC script.
pub const DEFAULT_PAC_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes that one evaluation of a PAC script may take.
pub const DEFAULT_PAC_MEMORY: usize = 32 * 1024 * 1024;

/// The credential of upstreams when none is configured: whoever is logged in.
pub const LOGGED_IN: &str = "logged-in";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Port 0 lets the kernel pick.
    pub listen: Vec<SocketAddr>,
    /// The port in `listen` is this user's own, and another one may stand in for it.
    pub listen_auto: bool,
    pub access: Access,
    /// Further ports on which programs find the relay.
    pub listeners: Vec<Listener>,
    pub tunnels: Vec<Tunnel>,
    /// In the order in which they are tried.
    pub upstreams: Vec<Upstream>,
    /// As configured, whether an upstream uses them or not.
    pub credentials: Vec<Arc<Credential>>,
    /// What holds while no profile does.
    pub routing: Routing,
    pub profiles: Vec<Profile>,
    pub profile: ProfileChoice,
    /// Never dialled directly, whatever else says so.
    pub never_direct: Vec<Pattern>,
    pub direct_fallback: DirectFallback,
    pub pac: PacSettings,
    pub grace: Duration,
    /// What a balancer needs to notice that we are leaving.
    pub drain_delay: Duration,
    pub connect_timeout: Duration,
    pub handshake_timeout: Duration,
    pub head_timeout: Duration,
    pub idle_timeout: Option<Duration>,
    pub half_close_timeout: Duration,
    pub keepalive: Option<Duration>,
    /// No key: tests alone do without.
    pub splices: bool,
    pub max_clients: usize,
    /// Logons of one account in flight.
    pub max_logons: usize,
    /// Log-ins by NTLM that are begun ahead at one upstream: none or one.
    pub warm_handshakes: usize,
    /// Bytes.
    pub max_head: usize,
    /// `None`: any.
    pub connect_ports: Option<Vec<u16>>,
    pub connect_port_80: ConnectPort80,
    /// Fills an absent User-Agent on upstream CONNECTs.
    pub user_agent: Option<String>,
    /// Further `Host` values under which our own pages answer.
    pub local_hosts: Vec<Host>,
    pub audit: Audit,
    pub log: Log,
    /// The files that were read, lowest first.
    pub files: Vec<PathBuf>,
    /// What the process was started with, secrets of ours left out: the system may name proxies there.
    pub environment: Environment,
    /// For what outlives the process. `None`: nowhere.
    pub state_directory: Option<PathBuf>,
}

impl Config {
    /// From the order to end until the last tunnel is cut.
    pub fn longest_end(&self) -> Duration {
        self.drain_delay.saturating_add(self.grace)
    }

    /// Of the profile at this place in the list, or of none.
    pub fn routing(&self, profile: Option<usize>) -> &Routing {
        profile.and_then(|at| self.profiles.get(at)).map_or(&self.routing, |profile| &profile.routing)
    }

    /// Nobody said where anything should go, so whatever the system says may count.
    pub fn says_nothing_of_routes(&self) -> bool {
        let Routing { upstreams, pac, rules, no_proxy: _ } = &self.routing;
        self.profiles.is_empty() && upstreams.is_empty() && pac.is_none() && rules.is_empty()
    }

    pub fn upstream(&self, name: &str) -> Option<&Upstream> {
        self.upstreams.iter().find(|upstream| upstream.name == name)
    }
}

/// Which way requests go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routing {
    /// Names, in the order in which they are tried.
    pub upstreams: Vec<String>,
    pub pac: Option<PacSource>,
    pub rules: Vec<Rule>,
    pub no_proxy: NoProxy,
}

/// What holds in one place, such as the office or at home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub name: String,
    pub when: Conditions,
    /// With what it leaves as it is outside.
    pub routing: Routing,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ProfileChoice {
    /// The first whose conditions hold.
    #[default]
    Auto,
    Named(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacSource {
    /// As the user wrote it.
    pub written: String,
    pub place: PacPlace,
}

impl PacSource {
    /// As somebody else names it than the user.
    pub fn parse(written: &str) -> Result<Self, Problem> {
        Ok(Self { written: written.into(), place: pac::place(written, &Origin::Default)? })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PacPlace {
    /// `http://` or `https://`.
    Url(String),
    File(PathBuf),
    /// It stood in the URL itself.
    Data(Arc<[u8]>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacSettings {
    pub refresh: Duration,
    /// One evaluation.
    pub timeout: Duration,
    /// Bytes, of one evaluation.
    pub memory: usize,
    /// Whether `http://wpad.SUFFIX/wpad.dat` may be looked for.
    pub wpad: bool,
}

/// Who may use the relay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    pub users: Users,
    /// To be shown by clients of `listen`.
    pub token: Option<Source>,
    /// Networks whose clients may come by addresses of `listen` and of tunnels beyond loopback.
    pub allow: Vec<IpNet>,
    /// Networks that may read `/metrics` there, whether their clients may use the relay or not.
    pub metrics: Vec<IpNet>,
}

/// Users of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Users {
    /// As the user wrote them.
    pub written: Vec<String>,
    /// `None`: all of them.
    pub owners: Option<Vec<Owner>>,
}

/// A further way in, on one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// `lo`, or one that need not be there yet.
    pub interface: String,
    /// 0 lets the kernel pick, one for each family.
    pub port: u16,
    pub allow: Allow,
    pub token: Option<Source>,
    /// SOCKS5 instead of HTTP.
    pub socks5: bool,
}

/// Whose clients may come by an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allow {
    /// Those in the networks of the interface's own addresses.
    InterfaceSubnet,
    Networks(Vec<IpNet>),
}

/// A local port that is always one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// Port 0 lets the kernel pick.
    pub listen: Vec<SocketAddr>,
    pub target: Target,
}

/// What becomes of a CONNECT to port 80 that an upstream refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectPort80 {
    /// The client gets the refusal.
    Tunnel,
    /// Plain HTTP inside is forwarded request by request.
    AbsoluteForm,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    pub name: String,
    pub endpoint: Endpoint,
    /// In order of preference.
    pub schemes: Vec<Scheme>,
    pub credential: Arc<Credential>,
    /// `HTTP/host`, where it is not made from the upstream's name.
    pub spn: Option<String>,
    pub canonicalize: Canonicalize,
    /// Sent to `https://` upstreams unless switched off.
    pub channel_bindings: bool,
    pub ca_file: Option<PathBuf>,
    pub client: Option<ClientCertificate>,
}

/// How the host in the SPN is made from the upstream's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Canonicalize {
    /// As written.
    Never,
    /// The name that DNS gives for the address.
    Always,
    /// As written, then the name that DNS gives.
    Fallback,
}

/// What we show to an upstream that asks for a certificate: PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    pub name: String,
    /// `None`: the logged-in identity.
    pub user: Option<User>,
    /// The password.
    pub secret: Option<Source>,
    /// Stands for the password with NTLM.
    pub nt_hash: Option<Source>,
    pub keytab: Option<PathBuf>,
    /// The key `realm`; see [`Credential::realm`].
    pub realm: Option<String>,
    /// Empty: krb5.conf, then DNS, know.
    pub kdc: Vec<Target>,
    /// Not an account of the directory: counted apart when logons fail.
    pub separate_account: bool,
    /// Patterns of upstreams that are named elsewhere than here and may receive it.
    pub for_upstreams: Vec<String>,
}

impl Credential {
    /// The identity of whoever is logged in: a ticket.
    pub fn logged_in() -> Self {
        Self {
            name: LOGGED_IN.into(),
            user: None,
            secret: None,
            nt_hash: None,
            keytab: None,
            realm: None,
            kdc: Vec::new(),
            separate_account: false,
            for_upstreams: Vec::new(),
        }
    }

    /// The Kerberos realm: the key, else the user's.
    pub fn realm(&self) -> Option<&str> {
        self.realm.as_deref().or_else(|| self.user.as_ref().and_then(|user| user.realm.as_deref()))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    pub to: AuditTo,
    /// Bytes.
    pub max_size: u64,
    pub max_age: Option<Duration>,
    pub keep: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditTo {
    Off,
    Stderr,
    System(SystemLog),
    File(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    pub level: Level,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}
