//! What is fuzzed: functions that take any bytes and must not panic, hang or grow, and what must hold of their results.
//!
//! A new one: a function in a file here and its line in [`ALL`], a file of four lines in `fuzz_targets` and its
//! `[[bin]]`, and a directory of seeds. `cargo test --test fuzz` replays the seeds, `tests/run fuzz` looks for more.

pub mod bodies;
pub mod foreign;
pub mod heads;
pub mod http;
pub mod kerberos;
pub mod log_on;
pub mod routes;
pub mod settings;
pub mod socks;

pub type Function = fn(&[u8]);

/// By the names of their seeds and programs.
#[allow(dead_code, reason = "the fuzzers use one of them each")]
pub const ALL: &[(&str, Function)] = &[
    ("challenge", log_on::challenge),
    ("chunked", bodies::chunked),
    ("config", settings::config),
    ("digest", log_on::digest),
    ("exported", foreign::exported),
    ("import", foreign::import),
    ("kdc_reply", kerberos::kdc_reply),
    ("no_proxy", routes::no_proxy),
    ("ntlm", log_on::ntlm),
    ("pac_directive", routes::pac_directive),
    ("pac_script", routes::pac_script),
    ("patterns", routes::patterns),
    ("request_head", heads::request_head),
    ("response_head", heads::response_head),
    ("socks", socks::socks),
    ("spnego", log_on::spnego),
    ("tool_settings", foreign::tool_settings),
];
