//! The logged-in identity on Linux: the cache that `KRB5CCNAME` or `krb5.conf` names.

pub(super) use super::gss::start;
