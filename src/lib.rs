//! hallpass: a local relay that does the 407 talk with a corporate proxy.

pub mod address;
pub mod auth;
pub mod http1;
pub mod mechanism;
pub mod resolver;
pub mod secret;
