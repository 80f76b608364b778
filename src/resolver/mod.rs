//! Names → addresses and canonical names, asked of the operating system.

mod service_records;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};

use dns_lookup::{AddrInfoHints, getaddrinfo};

use crate::shortage::is_of_descriptors;
pub use service_records::service_records;

/// `AI_CANONNAME` of POSIX; the libraries we run on agree on its value.
const WANT_CANONICAL_NAME: i32 = 2;

/// All addresses, in the system's order (RFC 6724).
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((host, port)).await.map_err(|error| shortage().unwrap_or(error))?;
    let addresses: Vec<_> = found.collect();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses)
}

/// Without a descriptor to ask with, the system says that there is no such name.
fn shortage() -> Option<io::Error> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).err().filter(is_of_descriptors)
}

/// The addresses of a name, each once; none where it has none. Blocks.
pub fn addresses(name: &str) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for address in (name, 0).to_socket_addrs().into_iter().flatten() {
        if !found.contains(&address.ip()) {
            found.push(address.ip());
        }
    }
    found
}

/// What `name` is an alias of, in lower case and without a final dot. Blocks.
pub fn canonical_name(name: &str) -> Option<String> {
    let hints = AddrInfoHints { flags: WANT_CANONICAL_NAME, ..AddrInfoHints::default() };
    let found = getaddrinfo(Some(name), None, Some(hints)).ok()?;
    // Only the first result carries it.
    let canonical = found.flatten().find_map(|info| info.canonname)?;
    Some(canonical.trim_end_matches('.').to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_its_own_name() {
        assert_eq!(resolve("127.0.0.1", 80).await.unwrap(), ["127.0.0.1:80".parse().unwrap()]);
        assert_eq!(resolve("::1", 80).await.unwrap(), ["[::1]:80".parse().unwrap()]);
        assert_eq!(canonical_name("127.0.0.1").as_deref(), Some("127.0.0.1"));
    }

    #[tokio::test]
    async fn a_name_that_nobody_has_is_an_error() {
        assert!(resolve("nobody.invalid", 80).await.is_err());
        assert_eq!(canonical_name("nobody.invalid"), None);
    }
}
