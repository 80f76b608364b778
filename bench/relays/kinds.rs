//! What is compared, and how each is configured: as its documentation says, with nothing tuned that users would not.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::{Contender, Wish};
use crate::crowd;
use crate::upstream::{Auth, DOMAIN, PASSWORD, USER};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub enum Kind {
    Hallpass,
    Cntlm,
    Px,
    Haproxy,
    #[value(name = "ha-splice", alias = "haproxy-splice")]
    HaproxySplice,
    Squid,
    Tinyproxy,
    Straight,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Hallpass => "hallpass",
            Self::Cntlm => "cntlm",
            Self::Px => "px",
            Self::Haproxy => "haproxy",
            Self::HaproxySplice => "ha-splice",
            Self::Squid => "squid",
            Self::Tinyproxy => "tinyproxy",
            Self::Straight => "straight",
        }
    }

    /// Whether it passes an upstream of this kind. In TCP mode the client does what is needed by itself, so that is no
    /// case of a relay that authenticates.
    pub fn can(self, auth: Auth) -> bool {
        match self {
            Self::Hallpass => true,
            Self::Px => auth != Auth::Negotiate,
            Self::Cntlm => auth == Auth::Ntlm,
            Self::Haproxy | Self::HaproxySplice | Self::Straight => auth == Auth::None,
            Self::Squid | Self::Tinyproxy => matches!(auth, Auth::None | Auth::Basic),
        }
    }

    /// Its program, wherever it stands.
    pub fn program(self) -> Option<PathBuf> {
        match self {
            Self::Hallpass => Some(env!("CARGO_BIN_EXE_hallpass").into()),
            Self::Straight => Some(PathBuf::new()),
            Self::Cntlm | Self::Squid | Self::Tinyproxy => find(self.name()),
            Self::Haproxy | Self::HaproxySplice => find("haproxy"),
            Self::Px => {
                std::env::var_os("BENCH_PX").map(PathBuf::from).filter(|path| path.exists()).or_else(|| find("px"))
            }
        }
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|directory| directory.join(name)).find(|file| file.is_file())
}

/// The upstream's address as this kind of relay is to know it: who cannot authenticate meets one that does not ask.
fn upstream(kind: Kind, wish: &Wish) -> SocketAddr {
    wish.upstream.of(if kind.can(wish.auth) { wish.auth } else { Auth::None })
}

pub fn command(contender: &Contender, wish: &Wish, listen: SocketAddr, home: &Path) -> Result<Command> {
    let mut command = Command::new(&contender.program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", home);
    let upstream = upstream(contender.kind, wish);
    match contender.kind {
        Kind::Hallpass => hallpass(&mut command, wish, upstream, listen, home)?,
        Kind::Cntlm => cntlm(&mut command, upstream, listen, home)?,
        Kind::Px => px(&mut command, wish.auth, upstream, listen)?,
        Kind::Haproxy => {
            haproxy(&mut command, &format!("maxconn {}", crowd::room_for(11_000) + 400), "", upstream, listen, home)?
        }
        // It counts the pipes as well, which limits on descriptors do not allow for as many.
        Kind::HaproxySplice => haproxy(&mut command, "maxconn 2000", "option splice-auto", upstream, listen, home)?,
        Kind::Squid => squid(&mut command, wish.auth, upstream, listen, home)?,
        Kind::Tinyproxy => tinyproxy(&mut command, wish.auth, upstream, listen, home)?,
        Kind::Straight => bail!("nothing to start"),
    }
    Ok(command)
}

fn write(home: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let file = home.join(name);
    fs::write(&file, text).with_context(|| file.display().to_string())?;
    Ok(file)
}

fn hallpass(command: &mut Command, wish: &Wish, upstream: SocketAddr, listen: SocketAddr, home: &Path) -> Result<()> {
    let file = write(home, "hallpass.toml", &wish.keys)?;
    command.arg("--config").arg(file).args(["--listen", &listen.to_string()]);
    if !wish.keys.contains("[upstreams.") {
        command.args(["--upstream", &format!("http://{upstream}")]);
    }
    match wish.auth {
        Auth::None => {}
        Auth::Negotiate => {
            command.args(["--scheme", "negotiate"]);
        }
        Auth::Basic => {
            command.args(["--user", USER, "--scheme", "basic"]).env("HALLPASS_PASSWORD", PASSWORD);
        }
        Auth::Ntlm => {
            command.args(["--user", &format!("{DOMAIN}\\{USER}")]).env("HALLPASS_PASSWORD", PASSWORD);
        }
    }
    command.env("XDG_RUNTIME_DIR", home).envs(wish.environment.iter().cloned());
    Ok(())
}

fn cntlm(command: &mut Command, upstream: SocketAddr, listen: SocketAddr, home: &Path) -> Result<()> {
    let file = write(
        home,
        "cntlm.conf",
        &format!(
            "Username {USER}\nDomain {DOMAIN}\nPassword {PASSWORD}\nAuth NTLMv2\nProxy {upstream}\nListen {listen}\n"
        ),
    )?;
    command.arg("-f").arg("-c").arg(file);
    Ok(())
}

fn px(command: &mut Command, auth: Auth, upstream: SocketAddr, listen: SocketAddr) -> Result<()> {
    let auth = match auth {
        Auth::None => "NONE",
        Auth::Basic => "BASIC",
        Auth::Ntlm => "NTLM",
        Auth::Negotiate => bail!("not of px"),
    };
    let user = if auth == "BASIC" { USER.to_owned() } else { format!("{DOMAIN}\\{USER}") };
    command
        .args([format!("--proxy={upstream}"), format!("--listen={}", listen.ip()), format!("--port={}", listen.port())])
        .args([format!("--auth={auth}"), format!("--username={user}")])
        .env("PX_PASSWORD", PASSWORD);
    Ok(())
}

fn haproxy(
    command: &mut Command,
    limit: &str,
    option: &str,
    upstream: SocketAddr,
    listen: SocketAddr,
    home: &Path,
) -> Result<()> {
    let file = write(
        home,
        "haproxy.cfg",
        &format!(
            "global\n  {limit}\ndefaults\n  mode tcp\n  {option}\n  timeout connect 10s\n  timeout client 1h\n  \
             timeout server 1h\nlisten relay\n  bind {listen}\n  server upstream {upstream}\n"
        ),
    )?;
    command.arg("-db").arg("-f").arg(file);
    Ok(())
}

fn squid(command: &mut Command, auth: Auth, upstream: SocketAddr, listen: SocketAddr, home: &Path) -> Result<()> {
    let login = if auth == Auth::Basic { format!("login={USER}:{PASSWORD}") } else { String::new() };
    let (ip, port) = (upstream.ip(), upstream.port());
    let file = write(
        home,
        "squid.conf",
        &format!(
            "http_port {listen}\ncache_peer {ip} parent {port} 0 no-query default {login}\nnever_direct allow all\n\
             http_access allow all\ncache deny all\naccess_log none\ncache_log /dev/null\n\
             pid_filename none\npinger_enable off\nnetdb_filename none\nshutdown_lifetime 0 seconds\n\
             visible_hostname bench.invalid\ncache_effective_user proxy\n"
        ),
    )?;
    command.args(["-N", "-n", &format!("bench{}", listen.port()), "-f"]).arg(file);
    Ok(())
}

fn tinyproxy(command: &mut Command, auth: Auth, upstream: SocketAddr, listen: SocketAddr, home: &Path) -> Result<()> {
    let login = if auth == Auth::Basic { format!("{USER}:{PASSWORD}@") } else { String::new() };
    let file = write(
        home,
        "tinyproxy.conf",
        &format!(
            "Port {}\nListen {}\nTimeout 3600\nMaxClients 2000\nLogLevel Error\nLogFile \"{}/tinyproxy.log\"\n\
             Upstream http {login}{upstream}\n",
            listen.port(),
            listen.ip(),
            home.display()
        ),
    )?;
    command.args(["-d", "-c"]).arg(file);
    Ok(())
}
