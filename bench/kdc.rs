//! A Kerberos realm of one user and one service: MIT's KDC on a loopback port, all its files in a directory that goes
//! with it.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::upstream::{KEYTAB, PASSWORD, USER};

const REALM: &str = "BENCH.TEST";
/// What the played upstream is called in it.
pub const SERVICE: &str = "HTTP/proxy.bench.test";
const START: Duration = Duration::from_secs(10);

pub struct Kdc {
    home: TempDir,
    process: Child,
}

impl Kdc {
    /// With a ticket of the user in hand.
    pub fn start() -> Result<Self> {
        let home = tempfile::Builder::new().prefix("bench-kdc-").tempdir()?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        configure(home.path(), port)?;
        run(home.path(), "kdb5_util", &["-r", REALM, "create", "-s", "-P", "of the bench"], None)?;
        let keytab = home.path().join("keytab");
        for order in [
            format!("addprinc -pw {PASSWORD} {USER}"),
            format!("addprinc -randkey {SERVICE}"),
            format!("ktadd -k {} {SERVICE}", keytab.display()),
        ] {
            run(home.path(), "kadmin.local", &["-r", REALM, "-q", &order], None)?;
        }
        ensure!(keytab.exists(), "kadmin.local made no keytab");
        let mut command = command(home.path(), "krb5kdc")?;
        let process =
            command.args(["-n", "-r", REALM]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut kdc = Self { process: process.spawn().context("krb5kdc")?, home };
        kdc.wait(port)?;
        run(kdc.home.path(), "kinit", &[USER], Some(&format!("{PASSWORD}\n")))?;
        Ok(kdc)
    }

    fn wait(&mut self, port: u16) -> Result<()> {
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = self.process.try_wait()? {
                bail!("krb5kdc ended with {status}");
            }
            ensure!(begun.elapsed() < START, "krb5kdc does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// For whoever shows the ticket.
    pub fn for_client(&self) -> Vec<(String, String)> {
        environment(self.home.path())
    }

    /// For whoever checks it; replayed tickets are not looked for, because each is written to disk for that.
    pub fn for_service(&self) -> Vec<String> {
        let keytab = (KEYTAB.into(), self.home.path().join("keytab").display().to_string());
        let words = self.for_client().into_iter().chain([keytab, ("KRB5RCACHENAME".into(), "none:".into())]);
        words.map(|(name, value)| format!("{name}={value}")).collect()
    }
}

impl Drop for Kdc {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configure(home: &Path, port: u16) -> Result<()> {
    let directory = home.display();
    let client = format!(
        "[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n \
         dns_canonicalize_hostname = false\n rdns = false\n udp_preference_limit = 1\n\
         [realms]\n {REALM} = {{\n  kdc = 127.0.0.1:{port}\n }}\n"
    );
    let server = format!(
        "[kdcdefaults]\n kdc_listen = 127.0.0.1:{port}\n kdc_tcp_listen = 127.0.0.1:{port}\n\
         [realms]\n {REALM} = {{\n  database_name = {directory}/principal\n  key_stash_file = {directory}/stash\n  \
         supported_enctypes = aes256-cts:normal\n }}\n[logging]\n kdc = FILE:{directory}/kdc.log\n"
    );
    fs::write(home.join("krb5.conf"), client)?;
    Ok(fs::write(home.join("kdc.conf"), server)?)
}

fn environment(home: &Path) -> Vec<(String, String)> {
    let file = |name: &str| home.join(name).display().to_string();
    vec![("KRB5_CONFIG".into(), file("krb5.conf")), ("KRB5CCNAME".into(), format!("FILE:{}", file("tickets")))]
}

/// Wherever it stands: the server's programs are not on every user's path.
fn command(home: &Path, name: &str) -> Result<Command> {
    let directories = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/usr/lib/mit/sbin"];
    let programs = directories.map(|directory| PathBuf::from(directory).join(name));
    let program =
        programs.into_iter().find(|file| file.is_file()).with_context(|| format!("{name} is not installed"))?;
    let mut command = Command::new(program);
    command.envs(environment(home)).env("KRB5_KDC_PROFILE", home.join("kdc.conf")).current_dir(home);
    Ok(command)
}

fn run(home: &Path, name: &str, words: &[&str], input: Option<&str>) -> Result<()> {
    let mut command = command(home, name)?;
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context(name.to_owned())?;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
