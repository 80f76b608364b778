//! What systemd hands over: sd_listen_fds(3).

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use socket2::Socket;

use super::InheritError;

/// Below are stdin, stdout and stderr.
const FIRST: RawFd = 3;

pub(super) fn handed_over() -> Result<Vec<(String, Socket)>, InheritError> {
    let variable = |name| std::env::var(name).ok();
    let (pid, count, names) = (variable("LISTEN_PID"), variable("LISTEN_FDS"), variable("LISTEN_FDNAMES"));
    let names = named(pid.as_deref(), count.as_deref(), names.as_deref(), std::process::id());
    (FIRST..).zip(names).map(|(number, name)| Ok((name.clone(), taken(number, name)?.into()))).collect()
}

pub(super) fn listens(socket: &Socket) -> bool {
    socket.is_listener().unwrap_or(false)
}

/// A name for each; none where they are meant for another process, such as the one that started us.
fn named(pid: Option<&str>, count: Option<&str>, names: Option<&str>, ourselves: u32) -> Vec<String> {
    let is_ours = pid.is_some_and(|pid| pid.parse() == Ok(ourselves));
    let count: usize = count.and_then(|count| count.parse().ok()).filter(|_| is_ours).unwrap_or(0);
    let names = names.unwrap_or_default().split(':').map(str::to_owned);
    names.chain(std::iter::repeat("unknown".into())).take(count).collect()
}

/// Programs that we start do not get it.
#[expect(unsafe_code, reason = "a descriptor that is ours by its number alone")]
fn taken(number: RawFd, name: String) -> Result<OwnedFd, InheritError> {
    // SAFETY: by the protocol these numbers are ours from our start on, nothing else in the process knows them, and each
    // is taken once; that it is open at all is checked below, before it is used.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    let kept = fcntl_getfd(&descriptor).and_then(|flags| fcntl_setfd(&descriptor, flags | FdFlags::CLOEXEC));
    match kept {
        Ok(()) => Ok(descriptor),
        Err(cause) => {
            // What is not open must not be closed: somebody else may get the number.
            std::mem::forget(descriptor);
            Err(InheritError::Unusable { name, cause: cause.into() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_taken_by_the_process_that_they_are_for() {
        for (pid, count, names, wanted) in [
            (Some("7"), Some("2"), Some("a:b"), &["a", "b"][..]),
            (Some("7"), Some("2"), Some("a"), &["a", "unknown"]),
            (Some("7"), Some("1"), None, &[""]),
            (Some("8"), Some("2"), Some("a:b"), &[]),
            (None, Some("2"), Some("a:b"), &[]),
            (Some("7"), Some("-1"), None, &[]),
            (Some("7"), None, None, &[]),
        ] {
            assert_eq!(named(pid, count, names, 7), wanted, "{pid:?} {count:?} {names:?}");
        }
    }
}
