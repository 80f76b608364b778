//! Systems whose tables of connections are not read.

use std::net::SocketAddr;

use super::OwnerError;
use crate::owner::Owner;

pub(super) const SUPPORTED: bool = false;
pub(super) const WAITS: bool = false;

#[derive(Debug)]
pub(super) struct Owners;

impl Owners {
    pub fn open() -> Result<Self, OwnerError> {
        Err(OwnerError::Unsupported)
    }

    pub fn of_listener(&self, _: SocketAddr) -> Result<Owner, OwnerError> {
        Err(OwnerError::Unsupported)
    }

    pub fn of(&self, _: SocketAddr, _: SocketAddr) -> Result<Owner, OwnerError> {
        Err(OwnerError::Unsupported)
    }
}
