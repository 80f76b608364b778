//! Questions about a host's name that need no DNS.

use std::net::Ipv6Addr;

use super::{Arg, Outcome, Thrown, Value, World, arg};

/// No dot, and no IPv6 address.
pub fn is_plain_host_name(args: &[Arg], _: &mut dyn World) -> Outcome {
    let host = arg(args, 0).needed("isPlainHostName", "host")?;
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    Ok(Value::Bool(!host.contains('.') && address.parse::<Ipv6Addr>().is_err()))
}

/// A comparison of ends, without labels and with case: `dnsDomainIs("evilcorp.example", "corp.example")` is true.
pub fn dns_domain_is(args: &[Arg], _: &mut dyn World) -> Outcome {
    let (host, domain) = (length_of(arg(args, 0), "host")?, length_of(arg(args, 1), "domain")?);
    Ok(Value::Bool(matches!((host, domain), (Some(host), Some(domain)) if host.ends_with(domain))))
}

/// What the library reads `.length` of: a number has none and compares as false.
fn length_of<'a>(argument: &'a Arg, what: &str) -> Result<Option<&'a str>, Thrown> {
    match argument {
        Arg::Undefined | Arg::Null => argument.needed("dnsDomainIs", what).map(Some),
        Arg::Bool(_) | Arg::Number(_) => Ok(None),
        Arg::Text(text) | Arg::Object(text) => Ok(Some(text)),
    }
}

/// The same name, or a plain one that begins the full one.
pub fn local_host_or_domain_is(args: &[Arg], _: &mut dyn World) -> Outcome {
    let host = arg(args, 0).text();
    if arg(args, 0) == arg(args, 1) {
        return Ok(Value::Bool(true));
    }
    let full = arg(args, 1).needed("localHostOrDomainIs", "full name")?;
    let rest = full.strip_prefix(&*host);
    Ok(Value::Bool(rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))))
}

pub fn dns_domain_levels(args: &[Arg], _: &mut dyn World) -> Outcome {
    let host = arg(args, 0).needed("dnsDomainLevels", "host")?;
    Ok(Value::Number(host.matches('.').count() as f64))
}
