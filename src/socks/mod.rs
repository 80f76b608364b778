//! SOCKS as bytes (RFC 1928, and versions 4 and 4a of it): no socket, no waiting.

pub mod server;

pub const VERSION_4: u8 = 4;
pub const VERSION_5: u8 = 5;

/// The method of RFC 1928 §3 that asks for nothing.
pub const NO_AUTHENTICATION: u8 = 0;
/// None of the methods that were offered.
pub const NO_METHOD: u8 = 0xff;

pub const CONNECT: u8 = 1;

pub const ADDRESS_V4: u8 = 1;
pub const ADDRESS_NAME: u8 = 3;
pub const ADDRESS_V6: u8 = 4;

/// RFC 1928 §6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reply {
    Succeeded = 0,
    Failed = 1,
    NotAllowed = 2,
    NetworkUnreachable = 3,
    HostUnreachable = 4,
    Refused = 5,
    /// "TTL expired", which clients take for nobody having answered in time.
    TimedOut = 6,
    CommandNotSupported = 7,
    AddressNotSupported = 8,
}
