//! The network of Linux: routes and suffixes from files, hints from a netlink route socket (rtnetlink(7)).

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use rustix::time::{ClockId, Timespec, clock_gettime};
use tokio::io::unix::AsyncFd;

use super::slept::Clocks;
use super::snapshot::Surroundings;
use crate::address::is_local_ip;

/// RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR and RTMGRP_IPV6_ROUTE.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

const RTF_UP: u32 = 0x1;
const RTF_GATEWAY: u32 = 0x2;
const RTF_REJECT: u32 = 0x200;
const RTF_LOCAL: u32 = 0x8000_0000;

/// A router of the whole Internet has more routes than this holds; then the first ones must do.
const LARGEST: u64 = 1 << 20;

/// systemd-resolved keeps the second where the first is not its own.
const RESOLVER_FILES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

pub(super) fn surroundings() -> Surroundings {
    let mut routes = ipv4_routes(&text_of("/proc/net/route"));
    routes.extend(ipv6_routes(&text_of("/proc/net/ipv6_route")));
    let dns_suffixes = RESOLVER_FILES.iter().flat_map(|file| search_list(&text_of(file))).collect();
    Surroundings { gateways: gateways(&routes), dns_suffixes, routes: digest(&routes) }
}

/// A file that is not there says nothing.
fn text_of(path: &str) -> String {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut text));
    read.map_or_else(|_| String::new(), |_| String::from_utf8_lossy(&text).into_owned())
}

/// The last `search` or `domain` counts (resolv.conf(5)).
fn search_list(text: &str) -> Vec<String> {
    let mut lists = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        matches!(words.next(), Some("search" | "domain")).then_some(words)
    });
    lists.next_back().map(|words| words.map(Into::into).collect()).unwrap_or_default()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Route {
    destination: IpAddr,
    prefix: u32,
    gateway: Option<IpAddr>,
    metric: u32,
    interface: String,
}

/// Iface Destination Gateway Flags RefCnt Use Metric Mask …; the numbers are in hexadecimal.
fn ipv4_routes(text: &str) -> Vec<Route> {
    let route = |line: &str| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        // An address is printed as the number it is in memory.
        let address =
            |at: usize| u32::from_str_radix(columns.get(at)?, 16).ok().map(|bits| Ipv4Addr::from(bits.to_ne_bytes()));
        let flags = u32::from_str_radix(columns.get(3)?, 16).ok()?;
        (flags & RTF_UP != 0 && flags & RTF_REJECT == 0).then_some(())?;
        Some(Route {
            destination: address(1)?.into(),
            prefix: address(7)?.to_bits().leading_ones(),
            gateway: (flags & RTF_GATEWAY != 0).then(|| address(2)).flatten().map(Into::into),
            metric: columns.get(6)?.parse().ok()?,
            interface: (*columns.first()?).into(),
        })
    };
    text.lines().skip(1).filter_map(route).collect()
}

/// destination prefix source prefix next-hop metric refcnt use flags interface; all of it in hexadecimal.
fn ipv6_routes(text: &str) -> Vec<Route> {
    let route = |line: &str| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let address = |at: usize| u128::from_str_radix(columns.get(at)?, 16).ok().map(Ipv6Addr::from);
        let number = |at: usize| u32::from_str_radix(columns.get(at)?, 16).ok();
        let (destination, flags) = (address(0)?, number(8)?);
        let wanted = flags & RTF_UP != 0 && flags & (RTF_REJECT | RTF_LOCAL) == 0;
        // Every link has these, those of containers too.
        let of_the_link = destination.is_multicast() || destination.is_unicast_link_local();
        (wanted && !of_the_link).then_some(Route {
            destination: destination.into(),
            prefix: number(1)?,
            gateway: (flags & RTF_GATEWAY != 0).then(|| address(4)).flatten().map(Into::into),
            metric: number(5)?,
            interface: (*columns.get(9)?).into(),
        })
    };
    text.lines().filter_map(route).collect()
}

fn gateways(routes: &[Route]) -> Vec<IpAddr> {
    let mut defaults: Vec<&Route> = routes.iter().filter(|route| route.prefix == 0).collect();
    defaults.sort_by_key(|route| route.metric);
    let mut found = Vec::new();
    for gateway in defaults.into_iter().filter_map(|route| route.gateway) {
        if !found.contains(&gateway) {
            found.push(gateway);
        }
    }
    found
}

/// The order says nothing, and loopback never changes.
fn digest(routes: &[Route]) -> u64 {
    let one = |route: &Route| {
        let mut hasher = DefaultHasher::new();
        route.hash(&mut hasher);
        hasher.finish()
    };
    let beyond = routes.iter().filter(|route| route.prefix == 0 || !is_local_ip(route.destination));
    beyond.map(one).fold(0, u64::wrapping_add)
}

/// CLOCK_MONOTONIC stands still in a sleep, CLOCK_BOOTTIME does not (clock_gettime(2)).
pub(super) fn clocks() -> Clocks {
    let read = |clock| {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
        Duration::new(u64::try_from(tv_sec).unwrap_or_default(), u32::try_from(tv_nsec).unwrap_or_default())
    };
    Clocks { awake: read(ClockId::Monotonic), all: read(ClockId::Boottime) }
}

/// A socket that the kernel writes to when links, addresses or routes change.
pub(super) struct Hints(AsyncFd<OwnedFd>);

impl Hints {
    pub fn listen() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // The protocol is NETLINK_ROUTE, which is zero.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        #[expect(unsafe_code, reason = "the runtime cannot know that a descriptor stays what it was")]
        // SAFETY: the descriptor is owned by the AsyncFd, never replaced, and closed with it.
        let registered = unsafe { AsyncFd::register(socket) };
        Ok(Self(registered?))
    }

    /// Waits for messages and takes all there are: what they say is seen by looking.
    pub async fn next(&mut self) -> io::Result<()> {
        let mut ready = self.0.readable().await?;
        let mut message = [0; 8192];
        loop {
            match recv(self.0.get_ref(), &mut message, RecvFlags::DONTWAIT) {
                // Too many at once were thrown away, which says that there were some.
                Ok(_) | Err(Errno::NOBUFS | Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    ready.clear_ready();
                    return Ok(());
                }
                Err(cause) => return Err(cause.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IPV4: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t0100010A\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t0000010A\t00000000\t0001\t0\t0\t100\t0000FFFF\t0\t0\t0
tun0\t0000A00A\t00000000\t0001\t0\t0\t0\t0000F0FF\t0\t0\t0
eth0\t0000000A\t00000000\t0200\t0\t0\t0\t000000FF\t0\t0\t0
";
    const IPV6: &str = "\
20010db8000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000005 00000000 00450003     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
20010db8000000000000000000000002 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000003 00000000 80200001     eth0
ff000000000000000000000000000000 08 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000004 00000000 00000001     eth0
";

    #[test]
    #[cfg(target_endian = "little")]
    fn routes_are_read_and_the_gateways_come_in_the_order_of_their_metric() {
        let mut routes = ipv4_routes(IPV4);
        let shown = |route: &Route| format!("{}/{} {}", route.destination, route.prefix, route.interface);
        assert_eq!(
            routes.iter().map(shown).collect::<Vec<_>>(),
            ["0.0.0.0/0 wlan0", "0.0.0.0/0 eth0", "10.1.0.0/16 eth0", "10.160.0.0/12 tun0"]
        );
        routes.extend(ipv6_routes(IPV6));
        assert_eq!(routes[4..].iter().map(shown).collect::<Vec<_>>(), ["2001:db8::/64 eth0", "::/0 eth0"]);
        let shown: Vec<String> = gateways(&routes).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.1.0.1", "192.168.1.1", "fe80::1"]);
    }

    #[test]
    fn a_digest_tells_another_route_and_not_another_order_or_counter() {
        let reversed = |text: &str| {
            let lines: Vec<&str> = text.lines().collect();
            [&lines[..1], &lines[1..].iter().rev().copied().collect::<Vec<_>>()].concat().join("\n")
        };
        let of = |text: &str| digest(&ipv4_routes(text));
        assert_eq!(of(IPV4), of(&reversed(IPV4)));
        assert_eq!(of(IPV4), of(&IPV4.replace("\t0\t0\t100\t", "\t7\t9\t100\t")));
        assert_ne!(of(IPV4), of(&IPV4.replace("0101A8C0", "0201A8C0")));
        assert_ne!(of(IPV4), of(&IPV4.replace("tun0\t0000A00A", "tun0\t0000B00A")));
        let of = |text: &str| digest(&ipv6_routes(text));
        assert_eq!(
            of(IPV6),
            of(&IPV6.replace("00450003", "00050003").replace("00000005 00000000", "00000009 00000007"))
        );
    }

    #[test]
    fn the_last_list_of_suffixes_counts() {
        for (text, suffixes) in [
            ("nameserver 10.0.0.1\nsearch corp.example emea.corp.example\n", vec!["corp.example", "emea.corp.example"]),
            ("domain a.example\nsearch\tb.example\n", vec!["b.example"]),
            ("search a.example\ndomain b.example", vec!["b.example"]),
            ("#search a.example\n; search b.example\noptions search\n", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(search_list(text), suffixes, "{text:?}");
        }
    }

    #[test]
    fn the_clocks_run_and_never_count_more_awake_than_at_all() {
        let (first, second) = (clocks(), clocks());
        assert!(second.awake >= first.awake && second.all >= first.all);
        assert!(first.all + Duration::from_secs(1) > first.awake, "{first:?}");
    }
}
