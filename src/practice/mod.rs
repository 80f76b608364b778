//! A small corporate proxy and an origin behind it, in this process, on loopback ports from the kernel.
//!
//! They are what `hallpass demo` shows and what the scenario tests measure against, so they know nothing of
//! the relay: passwords are really verified here, by code that shares none with the side that proves them.
//!
//! ```text
//! client ──▶ (hallpass) ──▶ CorporateProxy ──────────────▶ Origin
//!                            gate: ntlm digest basic        hello echo digest sse big status ws ntlm
//!                            tunnel (CONNECT), forward
//! ```
//!
//! Both keep a [`Record`] of what reached them, for tests and for the transcript of the demo.

mod account;
mod basic;
mod body;
mod digest;
mod forward;
mod gate;
mod names;
mod ntlm;
mod ntlm_message;
mod origin;
mod origin_pages;
mod origin_websocket;
mod proxy;
mod record;
mod server;
mod tasks;
mod tunnel;

pub use account::{Account, Accounts};
pub use digest::DigestAlgorithm;
pub use gate::{Gate, Offer};
pub use names::{Names, Place};
pub use ntlm::{NtlmJudge, Verdict};
pub use origin::{Origin, OriginOptions};
pub use proxy::{CorporateProxy, ProxyOptions};
pub use record::{BodySeen, Logons, Record, Seen};
pub use server::Tls;
