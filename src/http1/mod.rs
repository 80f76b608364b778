//! HTTP/1.x messages as bytes (RFC 9112): heads, framing, hop-by-hop fields.
//!
//! Strict with what clients send, lenient with what old proxies answer; either way a message leaves in one
//! unambiguous form, written anew. Reads from any [`tokio::io::AsyncRead`]; owns no socket and no clock.

pub mod body;
mod fields;
pub mod head;
mod reader;

pub use body::{Body, Piece};
pub use fields::Fields;
pub use head::{RequestHead, ResponseHead, Version};
pub use reader::{ReadError, Reader, Wire};

use thiserror::Error;

/// Why bytes are no HTTP message that we forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HttpError {
    #[error("the request line or a field is malformed")]
    Malformed,
    #[error("this is not HTTP/1.0 or HTTP/1.1")]
    Version,
    #[error("the head is larger than allowed")]
    HeadTooLarge,
    #[error("the request target is longer than allowed")]
    TargetTooLong,
    #[error("Content-Length and Transfer-Encoding both claim to frame the body")]
    TwoFramings,
    #[error("Content-Length is not one number")]
    ContentLength,
    #[error("Transfer-Encoding is not exactly \"chunked\"")]
    TransferEncoding,
    #[error("Host is missing or there is more than one")]
    Host,
    #[error("101 Switching Protocols was not asked for")]
    UnaskedUpgrade,
    #[error("a chunk is malformed")]
    Chunk,
}
