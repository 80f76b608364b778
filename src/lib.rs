//! hallpass: a local relay that does the 407 talk with a corporate proxy.

pub mod address;
pub mod auth;
pub mod cli;
pub mod config;
pub mod credential;
pub mod route;
pub mod secret;
