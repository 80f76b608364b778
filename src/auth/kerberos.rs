//! How Kerberos stands for an upstream, as far as can be told without showing a secret.

use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KerberosView {
    /// The ticket that whoever is logged in has, or why there is none.
    pub ticket: Result<OwnTicket, String>,
    /// `user@REALM` where it is known whose ticket is wanted.
    pub principal: Result<String, String>,
    /// What the KDC of that realm says of that user, or why nobody was asked or answered.
    pub kdc: Result<KdcView, String>,
    /// The names under which the directory may know the upstream, or why there is none.
    pub services: Result<Vec<String>, String>,
    pub token: Token,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnTicket {
    pub owner: String,
    pub left: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KdcView {
    /// The one that answered.
    pub server: String,
    /// Seconds by which its clock is ahead of ours, where it has told its time.
    pub ahead: Option<i64>,
    pub account: AccountView,
}

/// What a KDC tells of an account to whoever shows it nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountView {
    Known,
    Unknown,
    Locked,
    Expired,
    /// It says something else.
    Unsaid(String),
}

/// Whether there is something to send to the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    Made,
    /// A ticket has to be got with the account's secret first.
    NeedsSecret,
    Missing(String),
}
