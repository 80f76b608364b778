//! Microsoft's additions for IPv6, with the failures that Internet Explorer 8 and Chromium return.

use std::net::{IpAddr, Ipv6Addr};

use super::addresses::resolve;
use super::{Arg, Outcome, Value, World, arg};

pub fn is_resolvable_ex(args: &[Arg], world: &mut dyn World) -> Outcome {
    Ok(Value::Bool(!resolve(arg(args, 0), world).is_empty()))
}

/// All addresses, IPv4 and IPv6, joined by `;`; nothing found is an empty text.
pub fn dns_resolve_ex(args: &[Arg], world: &mut dyn World) -> Outcome {
    match arg(args, 0).string() {
        None => Ok(Value::Undefined),
        Some(_) => Ok(Value::Text(joined(&resolve(arg(args, 0), world)))),
    }
}

pub fn my_ip_address_ex(_: &[Arg], world: &mut dyn World) -> Outcome {
    Ok(Value::Text(joined(&world.my_addresses())))
}

fn joined(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(";")
}

/// IPv6 before IPv4, each ascending, as they were written; `false` when one of them is no address.
pub fn sort_ip_address_list(args: &[Arg], _: &mut dyn World) -> Outcome {
    let Some(list) = arg(args, 0).string().filter(|list| list.is_ascii()) else { return Ok(Value::Null) };
    let cleaned: String = list.chars().filter(|c| *c != ' ' && *c != '\t').collect();
    let mut entries = Vec::new();
    for written in cleaned.split(';').filter(|written| !written.is_empty()) {
        let Some(ip) = parse(written) else { return Ok(Value::Bool(false)) };
        entries.push((ip.is_ipv4(), ip, written));
    }
    if entries.is_empty() {
        return Ok(Value::Bool(false));
    }
    entries.sort_by_key(|(is_v4, ip, _)| (*is_v4, *ip));
    Ok(Value::Text(entries.iter().map(|(_, _, written)| *written).collect::<Vec<_>>().join(";")))
}

/// `isInNetEx(address, "prefix/bits")`; no name is resolved. IPv4 and IPv6 meet in the mapped form.
pub fn is_in_net_ex(args: &[Arg], _: &mut dyn World) -> Outcome {
    let (Some(address), Some(prefix)) = (arg(args, 0).string(), arg(args, 1).string()) else {
        return Ok(Value::Null);
    };
    Ok(Value::Bool(within(address, prefix).unwrap_or(false)))
}

fn within(address: &str, prefix: &str) -> Option<bool> {
    let (network, bits) = prefix.split_once('/')?;
    let (address, network) = (parse(address)?, parse(network)?);
    let most = if network.is_ipv4() { 32 } else { 128 };
    if bits.is_empty() || !bits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let bits = bits.parse::<u32>().ok().filter(|bits| *bits <= most)? + (128 - most);
    let differing = mapped(address).to_bits() ^ mapped(network).to_bits();
    Some(differing.leading_zeros() >= bits)
}

fn parse(text: &str) -> Option<IpAddr> {
    text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text).parse().ok()
}

fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// The version of the PAC engine that Windows reports.
pub fn get_client_version(_: &[Arg], _: &mut dyn World) -> Outcome {
    Ok(Value::Text("1.0".into()))
}
