//! Errors that say that we lack something, and nothing about anybody else.

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(not(unix), path = "other.rs")]
mod imp;

use std::io;

/// No descriptor was left for it, in this process or on the machine.
pub fn is_of_descriptors(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(imp::is_of_descriptors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_do_is_no_shortage() {
        for kind in [io::ErrorKind::ConnectionRefused, io::ErrorKind::TimedOut, io::ErrorKind::NotFound] {
            assert!(!is_of_descriptors(&kind.into()), "{kind}");
        }
        let error = std::net::TcpStream::connect("127.0.0.1:0").unwrap_err();
        assert!(!is_of_descriptors(&error), "{error}");
    }
}
