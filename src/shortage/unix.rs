//! EMFILE and ENFILE (open(2)).

use rustix::io::Errno;

pub(super) fn is_of_descriptors(code: i32) -> bool {
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| errno.raw_os_error() == code)
}
