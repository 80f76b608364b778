//! How systemd hears of us (sd_notify(3)).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr as Place, UnixDatagram};

use rustix::time::{ClockId, clock_gettime};

use super::State;

pub(super) fn notify(state: State) -> io::Result<()> {
    match std::env::var_os("NOTIFY_SOCKET") {
        Some(place) if !place.is_empty() => tell(&place, state),
        Some(_) | None => Ok(()),
    }
}

fn tell(place: &OsStr, state: State) -> io::Result<()> {
    let place = match place.as_bytes().strip_prefix(b"@") {
        Some(name) => Place::from_abstract_name(name)?,
        None => Place::from_pathname(place)?,
    };
    let text = match state {
        State::Ready => "READY=1".into(),
        State::Reloading => {
            let now = clock_gettime(ClockId::Monotonic);
            format!("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1000)
        }
        State::Stopping => "STOPPING=1".into(),
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
                tell(&place, state).unwrap();
                let mut room = [0; 100];
                let count = socket.recv(&mut room).unwrap();
                String::from_utf8(room[..count].to_vec()).unwrap()
            };
            assert_eq!(heard(State::Ready), "READY=1");
            let reloading = heard(State::Reloading);
            let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
            assert!(time.parse::<u64>().unwrap() > 0, "{reloading}");
            assert_eq!(heard(State::Stopping), "STOPPING=1");
        }
        assert!(tell(OsStr::new("/nowhere/at/all"), State::Ready).is_err());
    }
}
