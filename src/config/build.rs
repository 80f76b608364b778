//! From the merged layers to a `Config`: types, limits, defaults, and what keys mean together.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::layer::Value;
use super::mistake::Problem;
use super::reader::Reader;
use super::{
    Audit, AuditTo, Config, ConnectPort80, DEFAULT_AUDIT_KEEP, DEFAULT_AUDIT_MAX_AGE, DEFAULT_AUDIT_MAX_SIZE,
    DEFAULT_CONNECT_TIMEOUT, DEFAULT_DRAIN_DELAY, DEFAULT_GRACE, DEFAULT_HALF_CLOSE_TIMEOUT, DEFAULT_HANDSHAKE_TIMEOUT,
    DEFAULT_HEAD_TIMEOUT, DEFAULT_IDLE_TIMEOUT, DEFAULT_KEEPALIVE, DEFAULT_LISTEN, DEFAULT_MAX_CLIENTS,
    DEFAULT_MAX_HEAD, DEFAULT_WARM_HANDSHAKES, HOME_OF_STATE, Level, Log, LogFormat, Profile, ProfileChoice, Routing,
    Upstream, admission, auto_port, credentials, keys, listeners, no_proxy, pac, profiles, rules, tunnels, upstreams,
    value,
};
use crate::address::Host;
use crate::route::DirectFallback;
use crate::sink::SystemLog;
use crate::upstream::lockout::DEFAULT_MAX_LOGONS;

/// Bytes: smaller heads would not hold a Kerberos token of a user in many groups.
const MIN_MAX_HEAD: u64 = 4 * 1024;
/// Bytes: a head is held in memory, once per client.
const MAX_MAX_HEAD: u64 = 16 * 1024 * 1024;
/// More clients than a machine has ports for.
const MAX_MAX_CLIENTS: usize = 1_000_000;
/// A password that was changed may cost as many bad logons at once.
const MAX_MAX_LOGONS: usize = 1000;
const MAX_AUDIT_KEEP: usize = 1000;
/// Bytes: smaller files would rotate with every few records.
const MIN_AUDIT_MAX_SIZE: u64 = 4 * 1024;

pub(super) const LEVELS: [(&str, Level); 6] = [
    ("off", Level::Off),
    ("error", Level::Error),
    ("warn", Level::Warn),
    ("info", Level::Info),
    ("debug", Level::Debug),
    ("trace", Level::Trace),
];
pub(super) const PORT_80: [(&str, ConnectPort80); 2] =
    [("tunnel", ConnectPort80::Tunnel), ("absolute-form", ConnectPort80::AbsoluteForm)];

pub(super) const DIRECT_FALLBACKS: [(&str, DirectFallback); 3] = [
    ("never", DirectFallback::Never),
    ("pac-unreachable", DirectFallback::PacUnreachable),
    ("always", DirectFallback::Always),
];
pub(super) const FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

/// What is wrong is left at its default and noted in the reader.
pub fn build(reader: &mut Reader<'_>, files: Vec<PathBuf>, state_directory: Option<PathBuf>) -> Config {
    let access = admission::read(reader);
    let listen_auto = wants_auto(reader);
    let listen = match listen_auto {
        true => auto(reader, state_directory.as_deref()),
        false => listen(reader, &access.allow),
    };
    let credentials = credentials::read(reader);
    let mut taken = listen.clone();
    let listeners = listeners::read(reader, &mut taken);
    let tunnels = tunnels::read(reader, &access.allow, &mut taken);
    let upstreams = upstreams::read(reader, &credentials, &taken);
    let routing = routing(reader, &upstreams);
    let profiles = profiles::read(reader, &upstreams, &routing);
    let timeout = value::positive_duration;
    let or_off = value::duration_or_off;
    Config {
        listen,
        listen_auto,
        access,
        listeners,
        tunnels,
        upstreams,
        credentials,
        routing,
        profile: profile(reader, &profiles),
        profiles,
        never_direct: no_proxy::never_direct(reader),
        direct_fallback: reader
            .parsed(&["direct_fallback"], |text| value::choice(text, &DIRECT_FALLBACKS))
            .unwrap_or(DirectFallback::PacUnreachable),
        pac: pac::settings(reader),
        grace: reader.parsed(&["grace"], value::duration).unwrap_or(DEFAULT_GRACE),
        drain_delay: reader.parsed(&["drain_delay"], value::duration).unwrap_or(DEFAULT_DRAIN_DELAY),
        connect_timeout: reader.parsed(&["connect_timeout"], timeout).unwrap_or(DEFAULT_CONNECT_TIMEOUT),
        handshake_timeout: reader.parsed(&["handshake_timeout"], timeout).unwrap_or(DEFAULT_HANDSHAKE_TIMEOUT),
        head_timeout: reader.parsed(&["head_timeout"], timeout).unwrap_or(DEFAULT_HEAD_TIMEOUT),
        idle_timeout: reader.parsed(&["idle_timeout"], or_off).unwrap_or(DEFAULT_IDLE_TIMEOUT),
        half_close_timeout: reader.parsed(&["half_close_timeout"], timeout).unwrap_or(DEFAULT_HALF_CLOSE_TIMEOUT),
        keepalive: reader.parsed(&["keepalive"], keepalive).unwrap_or(DEFAULT_KEEPALIVE),
        splices: true,
        max_clients: reader.parsed(&["max_clients"], max_clients).unwrap_or(DEFAULT_MAX_CLIENTS),
        max_logons: reader.parsed(&["max_logons"], max_logons).unwrap_or(DEFAULT_MAX_LOGONS),
        warm_handshakes: reader.parsed(&["warm_handshakes"], warm_handshakes).unwrap_or(DEFAULT_WARM_HANDSHAKES),
        max_head: reader.parsed(&["max_head"], max_head).unwrap_or(DEFAULT_MAX_HEAD),
        connect_ports: connect_ports(reader),
        connect_port_80: reader
            .parsed(&["connect_port_80"], |text| value::choice(text, &PORT_80))
            .unwrap_or(ConnectPort80::Tunnel),
        user_agent: reader.parsed(&["user_agent"], user_agent).flatten(),
        local_hosts: reader.list(&["local_hosts"], local_host).unwrap_or_default(),
        audit: audit(reader),
        log: log(reader),
        files,
        environment: reader.environment.of_others(),
        state_directory,
    }
}

const AUTO: &str = "auto";

fn wants_auto(reader: &Reader<'_>) -> bool {
    let is_auto = |value: &Value| *value == Value::Text(AUTO.into());
    reader.layer.get(&["listen"]).is_some_and(|entry| {
        let alone = |value: &Value| matches!(value, Value::List(items) if items.len() == 1 && is_auto(&items[0].value));
        is_auto(&entry.value) || alone(&entry.value)
    })
}

/// One address of each family, because `localhost` may be either.
fn auto(reader: &mut Reader<'_>, state_directory: Option<&Path>) -> Vec<SocketAddr> {
    let Some(directory) = state_directory else {
        let problem = Problem::new("there is no state directory to keep the port in");
        reader.wrong(&["listen"], problem.hint(format!("set {HOME_OF_STATE}, or name a port")));
        return DEFAULT_LISTEN.into();
    };
    let port = auto_port::port(directory);
    DEFAULT_LISTEN.map(|addr| SocketAddr::new(addr.ip(), port)).into()
}

fn listen(reader: &mut Reader<'_>, allow: &[IpNet]) -> Vec<SocketAddr> {
    let Some(items) = reader.items(&["listen"]) else { return DEFAULT_LISTEN.into() };
    if items.is_empty() && reader.mistakes.is_empty() {
        reader.wrong(&["listen"], Problem::new("there is nowhere to listen").hint("leave the key out for the default"));
    }
    let mut listen: Vec<SocketAddr> = Vec::new();
    for (text, origin) in items {
        for address in reader.checked(&["listen"], origin.clone(), value::listen(&text)).unwrap_or_default() {
            reader.checked(&["listen"], origin.clone(), admission::reach(&address, allow));
            // Port 0 is another port each time.
            if address.port() != 0 && listen.contains(&address) {
                reader.wrong_at(origin.clone(), &["listen"], Problem::new(format!("{address} stands here twice")));
            }
            listen.push(address);
        }
    }
    listen
}

/// Above all profiles: every upstream there is, in the order written.
fn routing(reader: &mut Reader<'_>, upstreams: &[Upstream]) -> Routing {
    Routing {
        upstreams: upstreams.iter().map(|upstream| upstream.name.clone()).collect(),
        pac: pac::source(reader, &["pac", "url"]),
        rules: rules::read(reader, &["rules"], upstreams),
        no_proxy: no_proxy::read(reader, &["no_proxy"]),
    }
}

fn profile(reader: &mut Reader<'_>, profiles: &[Profile]) -> ProfileChoice {
    let choice = reader.parsed(&["profile"], |wanted| match wanted {
        "auto" => Ok(ProfileChoice::Auto),
        name if profiles.iter().any(|profile| profile.name == name) => Ok(ProfileChoice::Named(name.into())),
        name => {
            let near = keys::nearest(name, profiles.iter().map(|profile| profile.name.as_str()));
            let hint = near.map_or_else(|| format!("add [profiles.{name}]"), |near| format!("did you mean {near}?"));
            Err(Problem::new(format!("there is no profile {name:?}")).hint(hint))
        }
    });
    choice.unwrap_or_default()
}

fn keepalive(text: &str) -> Result<Option<std::time::Duration>, Problem> {
    match value::duration_or_off(text)? {
        Some(time) if time.subsec_millis() != 0 => Err(Problem::new("the kernel counts keepalive in whole seconds")),
        time => Ok(time),
    }
}

fn max_clients(text: &str) -> Result<usize, Problem> {
    value::number(text, 1, MAX_MAX_CLIENTS)
}

fn max_logons(text: &str) -> Result<usize, Problem> {
    value::number(text, 1, MAX_MAX_LOGONS)
}

/// More would take from an upstream what others need, and one is enough for one after the other.
fn warm_handshakes(text: &str) -> Result<usize, Problem> {
    value::number(text, 0, 1)
}

fn max_head(text: &str) -> Result<usize, Problem> {
    let bytes = value::size(text)?;
    let fits = (MIN_MAX_HEAD..=MAX_MAX_HEAD).contains(&bytes);
    usize::try_from(bytes).ok().filter(|_| fits).ok_or_else(|| {
        let limits = (value::show_size(MIN_MAX_HEAD), value::show_size(MAX_MAX_HEAD));
        Problem::new(format!("max_head is from {} to {}", limits.0, limits.1))
    })
}

fn connect_ports(reader: &mut Reader<'_>) -> Option<Vec<u16>> {
    let items = reader.items(&["connect_ports"])?;
    if items.iter().map(|(text, _)| text.as_str()).eq(["any"]) {
        return None;
    }
    let port = |text: &str| {
        let port = value::number(text, 1, usize::from(u16::MAX)).ok().and_then(|port| u16::try_from(port).ok());
        port.ok_or_else(|| Problem::new(format!("{text:?} is no port")).hint("\"any\" or [443, 8443]"))
    };
    let checked = items.into_iter().map(|(text, origin)| reader.checked(&["connect_ports"], origin, port(&text)));
    Some(checked.collect::<Vec<_>>().into_iter().flatten().collect())
}

/// Empty: none.
fn user_agent(text: &str) -> Result<Option<String>, Problem> {
    match text.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        true => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        false => Err(Problem::new("a header value is plain ASCII on one line")),
    }
}

fn local_host(text: &str) -> Result<Host, Problem> {
    Host::parse(text).map_err(|error| Problem::new(error).hint("a host as in the Host field, without a port"))
}

fn audit(reader: &mut Reader<'_>) -> Audit {
    Audit {
        to: audit_to(reader).unwrap_or(AuditTo::Stderr),
        max_size: reader.parsed(&["audit", "max_size"], audit_max_size).unwrap_or(DEFAULT_AUDIT_MAX_SIZE),
        max_age: reader.parsed(&["audit", "max_age"], value::duration_or_off).unwrap_or(DEFAULT_AUDIT_MAX_AGE),
        keep: reader
            .parsed(&["audit", "keep"], |text| value::number(text, 0, MAX_AUDIT_KEEP))
            .unwrap_or(DEFAULT_AUDIT_KEEP),
    }
}

fn audit_to(reader: &mut Reader<'_>) -> Option<AuditTo> {
    reader.parsed(&["audit", "to"], |text| match text {
        name if SystemLog::ALL.iter().any(|log| log.name() == name) => system_log(name),
        "off" => Ok(AuditTo::Off),
        "stderr" => Ok(AuditTo::Stderr),
        // A service has no useful current directory, and "stdout" is no file name.
        path if value::is_whole(path) => Ok(AuditTo::File(path.into())),
        _ => Err(Problem::new(format!("{text:?} is no place for records"))
            .hint(format!("\"off\", \"stderr\", {} or the full path of a file", system_logs()))),
    })
}

fn system_log(name: &str) -> Result<AuditTo, Problem> {
    let here = SystemLog::ALL.into_iter().find(|log| log.is_here() && log.name() == name);
    here.map(AuditTo::System).ok_or_else(|| {
        let system = std::env::consts::OS;
        Problem::new(format!("there is no {name} on {system}")).hint(format!("{}, \"stderr\" or a file", system_logs()))
    })
}

/// Those of this system, as they are written.
fn system_logs() -> String {
    let here = SystemLog::ALL.into_iter().filter(|log| log.is_here());
    here.map(|log| format!("{:?}", log.name())).collect::<Vec<_>>().join(", ")
}

fn audit_max_size(text: &str) -> Result<u64, Problem> {
    match value::size(text)? {
        bytes if bytes >= MIN_AUDIT_MAX_SIZE => Ok(bytes),
        _ => Err(Problem::new(format!("max_size is at least {}", value::show_size(MIN_AUDIT_MAX_SIZE)))),
    }
}

fn log(reader: &mut Reader<'_>) -> Log {
    Log {
        level: reader.parsed(&["log", "level"], |text| value::choice(text, &LEVELS)).unwrap_or(Level::Info),
        format: reader.parsed(&["log", "format"], |text| value::choice(text, &FORMATS)).unwrap_or(LogFormat::Text),
    }
}
