//! Systems whose settings are looked at when something else gives cause.

use std::future::pending;

pub(super) struct Hints;

impl Hints {
    pub fn listen() -> Self {
        Self
    }

    pub async fn next(&mut self) {
        pending().await
    }
}

#[derive(PartialEq)]
pub(super) struct Settings;

pub(super) fn settings() -> Settings {
    Settings
}
