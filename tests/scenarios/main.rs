//! The relay as a whole, one file per story: raw clients on one side, practice or scripted servers on the other.
//!
//! Nothing here sleeps and hopes: a test waits for a fact, and a time-out only says that the fact never came.

#![allow(clippy::unwrap_used, reason = "a test says by failing what went wrong")]

mod access;
mod answers;
mod bodies;
mod client_heads;
mod crowds;
mod dead_hops;
mod desync;
mod endings;
mod events;
mod explained;
mod faults;
mod fetch;
mod footing;
mod forbidden;
mod forwarding;
mod full;
mod heads;
mod hyper_or_http1;
mod lockout;
mod mechanisms;
mod metrics;
mod mistakes;
mod pac;
mod pinned;
mod places;
mod port_80;
mod refusals;
mod reuse;
mod rotation;
mod routes;
mod rules;
mod secrets;
mod several_upstreams;
mod smuggling;
mod socks_upstream;
mod spares;
mod status;
mod support;
mod tls_upstream;
mod tunnels;
mod unlisted;
mod vocabulary;
mod warm;
mod ways_in;
