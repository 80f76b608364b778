//! What was found out about the place where the machine is.

use std::sync::Arc;

use super::system::System;
use crate::address::Endpoint;
use crate::proxy::PacStatus;
use crate::route::PacState;
use crate::route::profile::Choice;

#[derive(Clone, Default)]
pub(super) struct Situation {
    /// It was found out for another configuration, or not at all yet.
    pub provisional: bool,
    pub choice: Choice,
    pub pac: PacState,
    pub pac_status: Option<PacStatus>,
    pub pac_text: Option<Arc<str>>,
    pub system: Option<System>,
}

impl Situation {
    /// The upstreams that the system names.
    pub fn found(&self) -> &[Endpoint] {
        self.system.as_ref().map(|system| system.upstreams.as_slice()).unwrap_or_default()
    }
}
