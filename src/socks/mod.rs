//! SOCKS 5 (RFC 1928, RFC 1929) and SOCKS 4 with names (4a), as bytes: no socket, no waiting.

pub mod client;
pub mod server;

use std::fmt;

pub const VERSION_5: u8 = 5;
pub const VERSION_4: u8 = 4;
/// Of the talk about user and password (RFC 1929 §2).
pub const LOGIN_VERSION: u8 = 1;
pub const CONNECT: u8 = 1;

/// Ways to log in (RFC 1928 §3).
pub const NO_LOGIN: u8 = 0;
pub const USER_PASSWORD: u8 = 2;
pub const NO_METHOD: u8 = 0xff;

/// Kinds of addresses (RFC 1928 §5).
pub const IPV4: u8 = 1;
pub const NAME: u8 = 3;
pub const IPV6: u8 = 4;

/// What a server says to a request, but for yes (RFC 1928 §6; SOCKS 4 has codes of its own).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply(pub u8);

impl Reply {
    pub const SUCCEEDED: Self = Self(0);
    pub const FAILURE: Self = Self(1);
    pub const NOT_ALLOWED: Self = Self(2);
    pub const NETWORK_UNREACHABLE: Self = Self(3);
    pub const HOST_UNREACHABLE: Self = Self(4);
    pub const CONNECTION_REFUSED: Self = Self(5);
    pub const TTL_EXPIRED: Self = Self(6);
    pub const COMMAND_NOT_SUPPORTED: Self = Self(7);
    pub const ADDRESS_NOT_SUPPORTED: Self = Self(8);
    /// SOCKS 4.
    pub const GRANTED: Self = Self(90);
    pub const REJECTED: Self = Self(91);
    pub const NO_IDENTD: Self = Self(92);
    pub const OTHER_IDENTD: Self = Self(93);
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match *self {
            Self::SUCCEEDED => "succeeded",
            Self::FAILURE => "general failure",
            Self::NOT_ALLOWED => "not allowed by its rules",
            Self::NETWORK_UNREACHABLE => "network unreachable",
            Self::HOST_UNREACHABLE => "host unreachable",
            Self::CONNECTION_REFUSED => "connection refused",
            Self::TTL_EXPIRED => "no answer in time",
            Self::COMMAND_NOT_SUPPORTED => "command not supported",
            Self::ADDRESS_NOT_SUPPORTED => "address type not supported",
            Self::GRANTED => "granted",
            Self::REJECTED => "rejected or failed",
            Self::NO_IDENTD => "it cannot reach identd here",
            Self::OTHER_IDENTD => "identd here names another user",
            Self(_) => "unknown",
        };
        write!(f, "{words} (SOCKS reply {})", self.0)
    }
}
