//! Sinks of Unix: files that others cannot read, and the sockets of journald and syslog.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use jiff::Zoned;

use super::{Output, SystemLog};

const ONLY_OWNER: u32 = 0o600;

/// The facility "daemon" with the severity "informational" (RFC 3164 §4.1.1).
const PRIORITY: u8 = 3 * 8 + INFORMATIONAL;
const INFORMATIONAL: u8 = 6;

/// From a line to a datagram.
type Format = fn(&str) -> Vec<u8>;

/// Records say where somebody went: they are for the owner alone.
pub fn append_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(ONLY_OWNER).open(path)
}

pub fn has(log: SystemLog) -> bool {
    place(log).is_some()
}

pub fn open(log: SystemLog) -> io::Result<Box<dyn Output>> {
    let (path, format) = place(log).ok_or(io::ErrorKind::Unsupported)?;
    Ok(Box::new(Datagrams::to(path.into(), format)?))
}

fn place(log: SystemLog) -> Option<(&'static str, Format)> {
    match log {
        SystemLog::Journald => cfg!(target_os = "linux").then_some(("/run/systemd/journal/socket", for_journald)),
        SystemLog::Syslog if cfg!(target_os = "macos") => Some(("/var/run/syslog", for_syslog)),
        SystemLog::Syslog => Some(("/dev/log", for_syslog)),
        SystemLog::EventLog => None,
    }
}

/// One datagram a line.
struct Datagrams {
    path: PathBuf,
    socket: UnixDatagram,
    format: Format,
}

impl Datagrams {
    fn to(path: PathBuf, format: Format) -> io::Result<Self> {
        Ok(Self { socket: connect(&path)?, path, format })
    }
}

impl Output for Datagrams {
    fn write(&mut self, line: &str) -> io::Result<()> {
        let datagram = (self.format)(line.trim_end_matches('\n'));
        if self.socket.send(&datagram).is_err() {
            // Whoever reads was started anew, with another socket.
            self.socket = connect(&self.path)?;
            self.socket.send(&datagram)?;
        }
        Ok(())
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}

/// Fields as in systemd.journal-fields(7). A line has no line feed within.
fn for_journald(line: &str) -> Vec<u8> {
    format!("PRIORITY={INFORMATIONAL}\nSYSLOG_IDENTIFIER=hallpass\nMESSAGE={line}\n").into()
}

/// As programs write it to the daemon of their own machine: RFC 3164 without the machine's name.
fn for_syslog(line: &str) -> Vec<u8> {
    let time = Zoned::now().strftime("%b %e %H:%M:%S").to_string();
    format!("<{PRIORITY}>{time} hallpass[{}]: {line}", std::process::id()).into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut room = [0; 4096];
        let count = socket.recv(&mut room).unwrap();
        String::from_utf8(room[..count].to_vec()).unwrap()
    }

    #[test]
    fn journald_gets_fields_and_syslog_a_line() {
        let dir = tempfile::tempdir().unwrap();
        for (format, begin, end) in [
            (for_journald as Format, "PRIORITY=6\nSYSLOG_IDENTIFIER=hallpass\n", "\nMESSAGE={\"id\":1}\n"),
            (for_syslog, "<30>", "]: {\"id\":1}"),
        ] {
            let path = dir.path().join("socket");
            let socket = UnixDatagram::bind(&path).unwrap();
            let mut output = Datagrams::to(path.clone(), format).unwrap();
            output.write("{\"id\":1}\n").unwrap();
            let heard = heard(&socket);
            assert!(heard.starts_with(begin) && heard.ends_with(end), "{heard}");
            std::fs::remove_file(path).unwrap();
        }
        let line = String::from_utf8(for_syslog("x")).unwrap();
        let tag = format!(" hallpass[{}]: x", std::process::id());
        // "<30>", and "Nov 21 17:30:00" has 15 characters.
        assert!(line.len() == 4 + 15 + tag.len() && line.ends_with(&tag), "{line}");
    }

    #[test]
    fn a_reader_that_was_started_anew_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let first = UnixDatagram::bind(&path).unwrap();
        let mut output = Datagrams::to(path.clone(), for_journald).unwrap();
        output.write("one\n").unwrap();
        assert!(heard(&first).contains("MESSAGE=one\n"));
        drop(first);
        std::fs::remove_file(&path).unwrap();
        assert!(output.write("lost\n").is_err());
        let second = UnixDatagram::bind(&path).unwrap();
        output.write("two\n").unwrap();
        assert!(heard(&second).contains("MESSAGE=two\n"));
    }

    #[test]
    fn a_file_of_records_is_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = append_private(&dir.path().join("f")).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, ONLY_OWNER);
    }
}
