//! Users by their security identifiers, which are in the token of each of their processes.

use std::io;
use std::ptr;
use std::slice;

use windows_sys::Win32::Foundation::{CloseHandle, ERROR_NONE_MAPPED, HANDLE, LocalFree};
use windows_sys::Win32::Security::Authorization::{ConvertSidToStringSidW, ConvertStringSidToSidW};
use windows_sys::Win32::Security::{
    GetTokenInformation, LookupAccountNameW, LookupAccountSidW, PSID, SidTypeComputer, SidTypeUser,
    SidTypeWellKnownGroup, TOKEN_QUERY, TOKEN_USER, TokenUser,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

use super::numbers::{self, Numbers};
use crate::owner::Owner;

/// Nobody has a number here; those of a Linux beside it may be met.
pub(super) const NUMBERS: Numbers = numbers::LINUX;

pub(super) const HINT: &str = "'DOMAIN\\user' as whoami writes it, or an identifier as whoami /user does (S-1-5-21-…)";

/// SECURITY_MAX_SID_SIZE, and the structure before it; in words, so that it is aligned for what it holds.
const ROOM: usize = 32;

/// Longer than any name of a user or domain.
const MAX_NAME: u32 = 1024;

pub(super) fn find(written: &str) -> io::Result<Option<Owner>> {
    if written.starts_with("S-1-") {
        return Ok(identifier(written));
    }
    match looked_up(written) {
        Err(error) if error.raw_os_error() == Some(ERROR_NONE_MAPPED.cast_signed()) => Ok(None),
        found => found,
    }
}

/// In the system's own spelling.
#[expect(unsafe_code, reason = "the system makes the identifier and has it freed")]
fn identifier(written: &str) -> Option<Owner> {
    let mut sid: PSID = ptr::null_mut();
    // SAFETY: the text ends in zero, and the place is ours.
    if unsafe { ConvertStringSidToSidW(wide(written).as_ptr(), &raw mut sid) } == 0 {
        return None;
    }
    // SAFETY: the identifier was made by the call, and is freed once, after its last use.
    unsafe {
        let owner = owner_of_sid(sid).ok();
        LocalFree(sid);
        owner
    }
}

/// A group's name is none of a user: no process is a group's.
#[expect(unsafe_code, reason = "the system's call for names")]
fn looked_up(name: &str) -> io::Result<Option<Owner>> {
    let (mut sid, mut domain) = ([0_u64; ROOM], [0_u16; MAX_NAME as usize]);
    let (mut sid_length, mut domain_length) = (u32::try_from(size_of_val(&sid)).unwrap_or_default(), MAX_NAME);
    let mut kind = 0;
    // SAFETY: the name ends in zero, and both rooms are as large as is said.
    let found = unsafe {
        LookupAccountNameW(
            ptr::null(),
            wide(name).as_ptr(),
            sid.as_mut_ptr().cast(),
            &raw mut sid_length,
            domain.as_mut_ptr(),
            &raw mut domain_length,
            &raw mut kind,
        )
    };
    if found == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has written an identifier there.
    let found = unsafe { owner_of_sid(sid.as_mut_ptr().cast()) }?;
    let is_a_user = [SidTypeUser, SidTypeComputer].contains(&kind)
        // What Windows calls so are groups, and a few accounts.
        || (kind == SidTypeWellKnownGroup && found.sid().is_some_and(super::well_known::is_account));
    Ok(is_a_user.then_some(found))
}

#[expect(unsafe_code, reason = "the system's calls for names")]
pub(super) fn name_of(owner: &Owner) -> Option<String> {
    let mut sid: PSID = ptr::null_mut();
    let (mut name, mut domain) = ([0_u16; MAX_NAME as usize], [0_u16; MAX_NAME as usize]);
    let (mut name_length, mut domain_length, mut kind) = (MAX_NAME, MAX_NAME, 0);
    // SAFETY: the text ends in zero; the identifier was made by the first call and is freed once, after its last use;
    // both rooms are as large as is said.
    let found = unsafe {
        if ConvertStringSidToSidW(wide(owner.sid()?).as_ptr(), &raw mut sid) == 0 {
            return None;
        }
        let found = LookupAccountSidW(
            ptr::null(),
            sid,
            name.as_mut_ptr(),
            &raw mut name_length,
            domain.as_mut_ptr(),
            &raw mut domain_length,
            &raw mut kind,
        );
        LocalFree(sid);
        found
    };
    let text = |room: &[u16], length: u32| Some(String::from_utf16_lossy(room.get(..usize::try_from(length).ok()?)?));
    let (name, domain) = (text(&name, name_length)?, text(&domain, domain_length)?);
    (found != 0).then(|| if domain.is_empty() { name } else { format!("{domain}\\{name}") })
}

#[expect(unsafe_code, reason = "the handle of this process is a constant of the system")]
pub(super) fn own() -> Option<Owner> {
    // SAFETY: a call without pointers.
    owner_of(unsafe { GetCurrentProcess() }).ok()
}

pub(super) fn root() -> Owner {
    Owner::system()
}

/// The user whose a process is; the handle must be one that is open.
#[expect(unsafe_code, reason = "the system's calls for tokens")]
pub(in super::super) fn owner_of(process: HANDLE) -> io::Result<Owner> {
    let mut token: HANDLE = ptr::null_mut();
    // SAFETY: a handle that is none is refused, and the place is ours.
    if unsafe { OpenProcessToken(process, TOKEN_QUERY, &raw mut token) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let mut room = [0_u64; ROOM];
    let mut length = u32::try_from(size_of_val(&room)).unwrap_or_default();
    // SAFETY: the token is open, and the room is as large as is said.
    let told = unsafe { GetTokenInformation(token, TokenUser, room.as_mut_ptr().cast(), length, &raw mut length) };
    let error = io::Error::last_os_error();
    // SAFETY: the handle is open, and used no more.
    unsafe { CloseHandle(token) };
    if told == 0 {
        return Err(error);
    }
    // SAFETY: the room is aligned for the structure that the call has written there, whose identifier lies behind it.
    unsafe { owner_of_sid((*room.as_ptr().cast::<TOKEN_USER>()).User.Sid) }
}

/// # Safety
/// The identifier is null or a valid one.
#[expect(unsafe_code, reason = "the system's spelling of an identifier")]
pub(in super::super) unsafe fn owner_of_sid(sid: PSID) -> io::Result<Owner> {
    if sid.is_null() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut text: *mut u16 = ptr::null_mut();
    // SAFETY: as promised; on success the text ends in zero, and it is freed once, after its last use.
    unsafe {
        if ConvertSidToStringSidW(sid, &raw mut text) == 0 {
            return Err(io::Error::last_os_error());
        }
        let length = (0..).take_while(|at| *text.add(*at) != 0).count();
        let owner = Owner::Sid(String::from_utf16_lossy(slice::from_raw_parts(text, length)).into());
        LocalFree(text.cast());
        Ok(owner)
    }
}

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}
