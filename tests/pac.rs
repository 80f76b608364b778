//! PAC scripts run by the engine: limits, caches, many threads, and the corpus.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

#[path = "pac/support.rs"]
mod support;

#[path = "pac/corpus.rs"]
mod corpus;
#[path = "pac/decisions.rs"]
mod decisions;
#[path = "pac/limits.rs"]
mod limits;
#[path = "pac/scripts.rs"]
mod scripts;
