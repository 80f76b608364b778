//! Audit records: one JSON line per request or tunnel, at its end, to where the configuration says.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::auth::Scheme;
use crate::owner::Owner;
use crate::route::Reason;

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

/// One request among all, by what tells this relay from others and by its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id {
    pub relay: Arc<str>,
    pub number: u64,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.relay, self.number)
    }
}

/// What is not known is absent. Never a path, a query, a header value, a user's name or a secret. A tunnel's is kept
/// for as long as the tunnel is open, so it consists of values that are put in words at its end.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    #[serde(serialize_with = "to_the_millisecond")]
    pub time: Timestamp,
    #[serde(serialize_with = "displayed")]
    pub id: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<SocketAddr>,
    /// The user behind it, where it is on this machine.
    #[serde(flatten)]
    pub owner: Option<Owner>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "displayed_if_known")]
    pub target: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "displayed_if_known")]
    pub profile: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "displayed_if_known")]
    pub hop: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "displayed_if_known")]
    pub scheme: Option<Scheme>,
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

impl Record {
    /// Of something that has just begun.
    pub fn new(time: Timestamp, id: Id) -> Self {
        Self {
            time,
            id,
            client: None,
            owner: None,
            listener: None,
            method: None,
            target: None,
            profile: None,
            reason: None,
            hop: None,
            scheme: None,
            status: None,
            bytes_up: 0,
            bytes_down: 0,
            first_ms: None,
            total_ms: 0,
            end: None,
        }
    }
}

fn to_the_millisecond<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{time:.3}"))
}

fn displayed<S: Serializer>(value: &impl fmt::Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

fn displayed_if_known<S: Serializer>(value: &Option<impl fmt::Display>, to: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => to.collect_str(value),
        None => to.serialize_none(),
    }
}

/// Takes lines and never blocks.
pub trait Keeper: Send + Sync {
    /// Whether anybody wants them.
    fn is_open(&self) -> bool;
    fn keep(&self, line: &str);
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
        keeper.keep(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::ReasonKind;

    #[test]
    fn a_record_is_one_json_line_without_what_is_not_known() {
        let record = Record { end: Some(End::HandshakeBroken), ..bare() };
        let line = serde_json::to_string(&record).unwrap();
        let expected = r#"{"time":"2026-01-02T03:04:05.678Z","id":"r-7","bytes_up":0,"bytes_down":0,"total_ms":0,"end":"handshake_broken"}"#;
        assert_eq!(line, expected);
    }

    #[test]
    fn every_value_of_a_record_is_put_in_words_at_its_end() {
        let record = Record {
            client: Some("[2001:db8::1]:5".parse().unwrap()),
            owner: Some(Owner::Uid(1000)),
            listener: Some("127.0.0.1:3128".parse().unwrap()),
            method: Some("CONNECT".into()),
            target: Some("a\"b:443".into()),
            profile: Some("office".into()),
            reason: Some(Reason { kind: ReasonKind::Upstream, text: "the configured upstreams".into() }),
            hop: Some("proxy:8080".into()),
            scheme: Some(Scheme::Ntlm),
            status: Some(200),
            first_ms: Some(3),
            ..bare()
        };
        let line = serde_json::to_string(&record).unwrap();
        let expected = concat!(
            r#"{"time":"2026-01-02T03:04:05.678Z","id":"r-7","client":"[2001:db8::1]:5","uid":1000,"#,
            r#""listener":"127.0.0.1:3128","method":"CONNECT","target":"a\"b:443","profile":"office","#,
            r#""reason":{"kind":"upstream","text":"the configured upstreams"},"hop":"proxy:8080","scheme":"NTLM","#,
            r#""status":200,"bytes_up":0,"bytes_down":0,"first_ms":3,"total_ms":0}"#
        );
        assert_eq!(line, expected);
    }

    fn bare() -> Record {
        Record::new("2026-01-02T03:04:05.6789Z".parse().unwrap(), Id { relay: "r".into(), number: 7 })
    }
}
