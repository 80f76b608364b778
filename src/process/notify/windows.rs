//! The service control manager knows whether we run; it asks for no signs of life and for no words.

use std::io;
use std::time::Duration;

pub(super) use super::super::control::notify;

pub(super) fn describe(_: &str) -> io::Result<()> {
    Ok(())
}

pub(super) fn watchdog() -> Option<Duration> {
    None
}

pub(super) fn alive() -> io::Result<()> {
    Ok(())
}
