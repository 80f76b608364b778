//! How systemd hears of us: sd_notify(3), sd_watchdog_enabled(3).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr as Place, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::State;

/// Beyond the grace: what is written and closed at the end.
const LAST_WORK: Duration = Duration::from_secs(5);

pub(super) fn notify(state: State) -> io::Result<()> {
    say(&text(state))
}

/// A line each, so that nothing in it can be taken for another message.
pub(super) fn describe(text: &str) -> io::Result<()> {
    say(&format!("STATUS={}", text.replace('\n', " ")))
}

pub(super) fn alive() -> io::Result<()> {
    say("WATCHDOG=1")
}

pub(super) fn watchdog() -> Option<Duration> {
    let variable = |name| std::env::var(name).ok();
    interval(variable("WATCHDOG_USEC").as_deref(), variable("WATCHDOG_PID").as_deref(), std::process::id())
}

/// Without a process's number it is meant for whoever was started.
fn interval(micros: Option<&str>, pid: Option<&str>, ourselves: u32) -> Option<Duration> {
    let is_ours = pid.is_none_or(|pid| pid.parse() == Ok(ourselves));
    let micros = micros?.parse().ok().filter(|micros| *micros > 0);
    micros.filter(|_| is_ours).map(Duration::from_micros)
}

fn text(state: State) -> String {
    match state {
        State::Ready => "READY=1".into(),
        State::Reloading => {
            let now = clock_gettime(ClockId::Monotonic);
            format!("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1000)
        }
        State::Stopping(grace) => format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", (grace + LAST_WORK).as_micros()),
    }
}

fn say(text: &str) -> io::Result<()> {
    match std::env::var_os("NOTIFY_SOCKET") {
        Some(place) if !place.is_empty() => tell(&place, text),
        Some(_) | None => Ok(()),
    }
}

fn tell(place: &OsStr, text: &str) -> io::Result<()> {
    let place = match place.as_bytes().strip_prefix(b"@") {
        Some(name) => Place::from_abstract_name(name)?,
        None => Place::from_pathname(place)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not listen must not hold us up.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(text.as_bytes(), &place).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_hears_of_each_state_by_either_kind_of_socket() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let name = format!("hallpass-test-{}", std::process::id());
        let abstract_place = Place::from_abstract_name(&name).unwrap();
        for (socket, place) in [
            (UnixDatagram::bind(&path).unwrap(), path.clone().into_os_string()),
            (UnixDatagram::bind_addr(&abstract_place).unwrap(), format!("@{name}").into()),
        ] {
            let heard = |state| {
                tell(&place, &text(state)).unwrap();
                let mut room = [0; 100];
                let count = socket.recv(&mut room).unwrap();
                String::from_utf8(room[..count].to_vec()).unwrap()
            };
            assert_eq!(heard(State::Ready), "READY=1");
            let reloading = heard(State::Reloading);
            let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
            assert!(time.parse::<u64>().unwrap() > 0, "{reloading}");
            let stopping = heard(State::Stopping(Duration::from_secs(7)));
            assert_eq!(stopping, "STOPPING=1\nEXTEND_TIMEOUT_USEC=12000000");
        }
        assert!(tell(OsStr::new("/nowhere/at/all"), "READY=1").is_err());
    }

    #[test]
    fn a_watchdog_waits_for_the_process_that_it_names() {
        let second = Some(Duration::from_secs(1));
        for (micros, pid, wanted) in [
            (Some("1000000"), Some("7"), second),
            (Some("1000000"), None, second),
            (Some("1000000"), Some("8"), None),
            (Some("0"), None, None),
            (Some("soon"), None, None),
            (None, Some("7"), None),
        ] {
            assert_eq!(interval(micros, pid, 7), wanted, "{micros:?} {pid:?}");
        }
    }
}
