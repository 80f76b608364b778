//! The logged-in identity on macOS: the ticket of GSS.framework.

pub(super) use super::gss::start;
