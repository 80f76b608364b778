//! Where a request goes. No sockets, no clock, no files.

pub mod no_proxy;
