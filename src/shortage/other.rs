//! Windows has no limit but memory; what Winsock says then.

/// WSAEMFILE and WSAENOBUFS.
const CODES: [i32; 2] = [10024, 10055];

pub(super) fn is_of_descriptors(code: i32) -> bool {
    CODES.contains(&code)
}
