//! Audit records: one JSON line per request or tunnel, at its end, to where the configuration says.

use std::sync::Arc;

use serde::Serialize;

/// How a request or tunnel ended. A closed vocabulary: others count and alert on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Done,
    ClientClosed,
    ClientReset,
    UpstreamClosed,
    UpstreamReset,
    BadRequest,
    Denied,
    PeerDenied,
    Loop,
    Limit,
    NoCredential,
    CredentialRejected,
    BreakerOpen,
    UpstreamRefused,
    Unreachable,
    ConnectTimeout,
    HandshakeTimeout,
    HandshakeBroken,
    TlsFailed,
    IdleTimeout,
    Drained,
    Internal,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Why {
    pub kind: &'static str,
    pub text: String,
}

/// What is not known is absent. Never a path, a query, a header value, a user's name or a secret.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Record {
    pub time: String,
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The user behind it, where it is on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Why>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub bytes_up: u64,
    pub bytes_down: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_ms: Option<u64>,
    pub total_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

/// Takes lines and never blocks.
pub trait Keeper: Send + Sync {
    /// Whether anybody wants them.
    fn is_open(&self) -> bool;
    fn keep(&self, line: String);
}

/// The way in; cheap to clone.
#[derive(Clone)]
pub struct Audit(Option<Arc<dyn Keeper>>);

impl Audit {
    pub fn off() -> Self {
        Self(None)
    }

    pub fn to(keeper: Arc<dyn Keeper>) -> Self {
        Self(Some(keeper))
    }

    pub fn record(&self, record: &Record) {
        let Some(keeper) = self.0.as_ref().filter(|keeper| keeper.is_open()) else { return };
        let Ok(mut line) = serde_json::to_string(record) else { return };
        line.push('\n');
        keeper.keep(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_json_line_without_what_is_not_known() {
        let record = Record { id: "7".into(), end: Some(End::HandshakeBroken), ..Record::default() };
        let line = serde_json::to_string(&record).unwrap();
        assert_eq!(line, r#"{"time":"","id":"7","bytes_up":0,"bytes_down":0,"total_ms":0,"end":"handshake_broken"}"#);
    }
}
