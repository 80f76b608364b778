//! hallpass: a local relay that does the 407 talk with a corporate proxy.

pub mod address;
pub mod audit;
pub mod auth;
pub mod cli;
pub mod config;
pub mod credential;
pub mod daemon;
pub mod http1;
pub mod listener;
pub mod mechanism;
pub mod network;
pub mod practice;
pub mod process;
pub mod proxy;
pub mod relay;
pub mod resolver;
pub mod route;
pub mod secret;
pub mod trace;
pub mod upstream;
