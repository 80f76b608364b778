//! Users by getpwnam_r(3) and getpwuid_r(3), which know those of directory services too.

use std::io;

use nix::unistd::{Uid, User};
use rustix::process::{geteuid, getppid};

pub(super) fn uid_of(name: &str) -> io::Result<Option<u32>> {
    Ok(User::from_name(name)?.map(|user| user.uid.as_raw()))
}

pub(super) fn name_of(uid: u32) -> Option<String> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
}

pub(super) fn own_uid() -> Option<u32> {
    Some(geteuid().as_raw())
}

pub(super) fn is_child_of_init() -> bool {
    getppid().is_some_and(rustix::process::Pid::is_init)
}
