//! Windows' log-on session, with NTLM by the system's own package.

use std::ptr;

use windows_sys::Win32::Foundation::{CloseHandle, HANDLE, LUID};
use windows_sys::Win32::Security::Authentication::Identity::{
    GetUserNameExW, LsaFreeReturnBuffer, LsaGetLogonSessionData, NameSamCompatible, SECURITY_LOGON_SESSION_DATA,
};
use windows_sys::Win32::Security::{GetTokenInformation, TOKEN_QUERY, TOKEN_STATISTICS, TokenStatistics};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};
use zeroize::Zeroizing;

use super::super::ntlm::Messages;
use super::super::packages::{Context, Credentials, Package};
use crate::auth::account::User;
use crate::auth::lockout::{AccountName, Proof};
use crate::auth::{ChannelBinding, Lacking, MechanismError};

pub(super) const KEEPS_SECRET: bool = true;

pub(super) const NO_USER: &str = "no user is named, and only Negotiate and NTLM can do without";

/// Longer than any `DOMAIN\user`.
const MAX_NAME: usize = 1024;

#[expect(unsafe_code, reason = "the system's call for who is logged in")]
pub(super) fn name() -> Option<AccountName> {
    let mut room = [0_u16; MAX_NAME];
    let mut length = u32::try_from(room.len()).ok()?;
    // SAFETY: the room is as large as is said, and is written to during the call only.
    let told = unsafe { GetUserNameExW(NameSamCompatible, room.as_mut_ptr(), &raw mut length) };
    let written = room.get(..usize::try_from(length).ok()?)?;
    let user: User = String::from_utf16_lossy(written).trim_end_matches('\0').parse().ok()?;
    told.then(|| AccountName::of_user(&user, None))
}

/// The number of a log-on may come again after the machine was started anew, its time does not.
pub(super) fn proof() -> Result<Proof, String> {
    let number = log_on().ok_or("Windows does not say by which log-on this process runs")?;
    let (began, password_set) = times(&number).unwrap_or_default();
    let which = format!("{:x}:{:08x} {began:x} {password_set:x}", number.HighPart, number.LowPart);
    Ok(Proof::LogOn(which.into()))
}

#[expect(unsafe_code, reason = "the system's calls for what a process runs by")]
fn log_on() -> Option<LUID> {
    let mut token: HANDLE = ptr::null_mut();
    // SAFETY: the handle of this process is a constant, and the place is ours.
    if unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) } == 0 {
        return None;
    }
    let mut found = TOKEN_STATISTICS::default();
    let mut length = u32::try_from(size_of::<TOKEN_STATISTICS>()).unwrap_or_default();
    // SAFETY: the token is open, and the room is a structure of the kind that is asked for.
    let told = unsafe { GetTokenInformation(token, TokenStatistics, (&raw mut found).cast(), length, &raw mut length) };
    // SAFETY: the handle is open, and used no more.
    unsafe { CloseHandle(token) };
    (told != 0).then_some(found.AuthenticationId)
}

/// When it began, and when its password had been set then; in the system's own units.
#[expect(unsafe_code, reason = "the system's calls for log-ons")]
fn times(number: &LUID) -> Option<(i64, i64)> {
    let mut data: *mut SECURITY_LOGON_SESSION_DATA = ptr::null_mut();
    // SAFETY: both places are ours; on success the second one points to what is ours to free.
    let status = unsafe { LsaGetLogonSessionData(number, &raw mut data) };
    if data.is_null() {
        return None;
    }
    // SAFETY: the call has made it, and the size is its beginning, whatever else of it is there.
    let size = unsafe { (*data).Size };
    let is_whole = usize::try_from(size).is_ok_and(|size| size >= size_of::<SECURITY_LOGON_SESSION_DATA>());
    // SAFETY: all of it is there.
    let times = (status == 0 && is_whole).then(|| unsafe { ((*data).LogonTime, (*data).PasswordLastSet) });
    // SAFETY: it is the system's, and used no more.
    unsafe { LsaFreeReturnBuffer(data.cast()) };
    times
}

/// The first message is made at once: without one, another scheme can be tried.
pub(super) fn ntlm(spn: &str, binding: Option<&ChannelBinding>) -> Result<Box<dyn Messages>, Lacking> {
    let explain = |status| Package::Ntlm.explain(status, spn);
    let credentials = Credentials::of_the_logged_in(Package::Ntlm).map_err(explain)?;
    let mut context = Context::new(credentials, spn, binding.map(|end_point| crate::auth::binding_data(end_point)));
    let first = context.step(None).map_err(explain)?;
    Ok(Box::new(OfTheSystem { first: first.to_vec(), context, spn: spn.into() }))
}

struct OfTheSystem {
    first: Vec<u8>,
    context: Context,
    spn: String,
}

impl Messages for OfTheSystem {
    fn negotiate(&mut self) -> Result<Vec<u8>, MechanismError> {
        Ok(self.first.clone())
    }

    fn authenticate(&mut self, challenge: &[u8]) -> Result<Zeroizing<Vec<u8>>, MechanismError> {
        let unavailable = |status| MechanismError::Unavailable(Package::Ntlm.explain(status, &self.spn));
        self.context.step(Some(challenge)).map_err(unavailable)
    }
}
