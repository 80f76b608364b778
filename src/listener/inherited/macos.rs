//! What launchd hands over: launch_activate_socket(3), for the entry of `Sockets` in the property list.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::slice;

use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};
use socket2::Socket;

use super::InheritError;

/// As our property lists call it.
const NAME: &CStr = c"Listeners";

#[expect(unsafe_code, reason = "no crate that we use declares them")]
// SAFETY: as <launch.h> and <stdlib.h> of the system declare them.
unsafe extern "C" {
    fn launch_activate_socket(name: *const c_char, fds: *mut *mut c_int, count: *mut usize) -> c_int;
    fn free(memory: *mut c_void);
}

pub(super) fn handed_over() -> Result<Vec<(String, Socket)>, InheritError> {
    let name = || NAME.to_string_lossy().into_owned();
    let numbers = numbers().map_err(|cause| InheritError::Unusable { name: name(), cause })?;
    numbers.into_iter().map(|number| Ok((name(), taken(number, name())?.into()))).collect()
}

/// launchd listens on what it opens, unless the property list says otherwise, and ours does not.
pub(super) fn listens(_: &Socket) -> bool {
    true
}

/// None where launchd did not start us, or has no sockets for us.
#[expect(unsafe_code, reason = "there is no other way to ask launchd")]
fn numbers() -> io::Result<Vec<c_int>> {
    let (mut numbers, mut count) = (std::ptr::null_mut::<c_int>(), 0);
    // SAFETY: the name ends with a zero, and both places live until the call returns, which fills them where it succeeds.
    let error = unsafe { launch_activate_socket(NAME.as_ptr(), &raw mut numbers, &raw mut count) };
    match Errno::from_raw_os_error(error) {
        _ if error == 0 && numbers.is_null() => Ok(Vec::new()),
        _ if error == 0 => {
            // SAFETY: it has put that many numbers there, which are ours to free, and nothing else knows them.
            let copy = unsafe { slice::from_raw_parts(numbers, count) }.to_vec();
            // SAFETY: by malloc, as the manual says, and not used any more.
            unsafe { free(numbers.cast()) };
            Ok(copy)
        }
        Errno::NOENT | Errno::SRCH => Ok(Vec::new()),
        cause => Err(cause.into()),
    }
}

/// Programs that we start do not get it.
#[expect(unsafe_code, reason = "a descriptor that is ours by its number alone")]
fn taken(number: c_int, name: String) -> Result<OwnedFd, InheritError> {
    // SAFETY: launchd opened it for us with the call above, which gives each away once.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    let kept = fcntl_getfd(&descriptor).and_then(|flags| fcntl_setfd(&descriptor, flags | FdFlags::CLOEXEC));
    kept.map_err(|cause| InheritError::Unusable { name, cause: cause.into() })?;
    Ok(descriptor)
}
