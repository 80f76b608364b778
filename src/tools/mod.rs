//! The programs of others, and how each is told its proxy.

pub mod variables;
