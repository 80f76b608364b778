//! Users by getpwnam_r(3) and getpwuid_r(3), which know those of directory services too.

use std::io;

use nix::unistd::{Uid, User};
use rustix::process::geteuid;

use super::numbers::{self, Numbers};
use crate::owner::Owner;

pub(super) const NUMBERS: Numbers = if cfg!(target_os = "macos") { numbers::MACOS } else { numbers::LINUX };

pub(super) const HINT: &str = "a name as `id NAME` knows it, or a number";

/// A number need not be anybody's yet.
pub(super) fn find(written: &str) -> io::Result<Option<Owner>> {
    if !written.is_empty() && written.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(written.parse().ok().map(Owner::Uid));
    }
    Ok(User::from_name(written)?.map(|user| Owner::Uid(user.uid.as_raw())))
}

pub(super) fn name_of(owner: &Owner) -> Option<String> {
    User::from_uid(Uid::from_raw(owner.uid()?)).ok().flatten().map(|user| user.name)
}

pub(super) fn own() -> Option<Owner> {
    Some(Owner::Uid(geteuid().as_raw()))
}

pub(super) fn root() -> Owner {
    Owner::ROOT
}
