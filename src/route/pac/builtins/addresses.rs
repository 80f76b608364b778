//! Netscape's questions about addresses.

use std::net::{IpAddr, Ipv4Addr};

use super::number::to_int32;
use super::{Arg, Outcome, Value, World, arg};
use crate::address::Host;

pub fn dns_resolve(args: &[Arg], world: &mut dyn World) -> Outcome {
    Ok(first(&resolve(arg(args, 0), world)).map_or(Value::Null, |ip| Value::Text(ip.to_string())))
}

pub fn is_resolvable(args: &[Arg], world: &mut dyn World) -> Outcome {
    Ok(Value::Bool(!resolve(arg(args, 0), world).is_empty()))
}

/// The library's rule: a name is resolved, and what is no dotted quad is in no network.
pub fn is_in_net(args: &[Arg], world: &mut dyn World) -> Outcome {
    let (Some(network), Some(mask)) = (quad(&arg(args, 1).text()), quad(&arg(args, 2).text())) else {
        return Ok(Value::Bool(false));
    };
    let address = match quad(&arg(args, 0).text()) {
        Some(address) => Some(address),
        None => match first(&resolve(arg(args, 0), world)) {
            Some(IpAddr::V4(address)) => Some(address.to_bits()),
            Some(IpAddr::V6(_)) | None => None,
        },
    };
    Ok(Value::Bool(address.is_some_and(|address| address & mask == network & mask)))
}

/// A signed number, as the library's `<< 24` makes it; parts that are missing or no numbers count as 0.
pub fn convert_addr(args: &[Arg], _: &mut dyn World) -> Outcome {
    let text = arg(args, 0).needed("convert_addr", "address")?;
    let parts: Vec<u8> = text.split('.').take(4).map(|part| to_int32(part).to_le_bytes()[0]).collect();
    let byte = |at: usize| parts.get(at).copied().unwrap_or(0);
    Ok(Value::Number(f64::from(i32::from_be_bytes([byte(0), byte(1), byte(2), byte(3)]))))
}

pub fn my_ip_address(_: &[Arg], world: &mut dyn World) -> Outcome {
    let address = first(&world.my_addresses()).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    Ok(Value::Text(address.to_string()))
}

/// The addresses of a host; an address in any spelling is its own, and no one is asked.
pub fn resolve(host: &Arg, world: &mut dyn World) -> Vec<IpAddr> {
    match host.string().map(Host::parse) {
        Some(Ok(Host::Ip(ip))) => vec![ip],
        Some(Ok(Host::Name(name))) => world.resolve(&name),
        Some(Err(_)) | None => Vec::new(),
    }
}

/// IPv4 before IPv6, otherwise in the order of the resolver.
fn first(addresses: &[IpAddr]) -> Option<IpAddr> {
    addresses.iter().find(|ip| ip.is_ipv4()).or(addresses.first()).copied()
}

/// Four decimal numbers up to 255; leading zeros do not make them octal.
fn quad(text: &str) -> Option<u32> {
    let mut parts = text.split('.');
    let mut bits = 0;
    for _ in 0..4 {
        let part = parts.next().filter(|part| (1..=3).contains(&part.len()))?;
        if !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        bits = bits << 8 | u32::from(part.parse::<u8>().ok()?);
    }
    parts.next().is_none().then_some(bits)
}
