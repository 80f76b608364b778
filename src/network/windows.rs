//! The network of Windows, from the IP Helper library.

use std::ffi::c_void;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use windows_registry::LOCAL_MACHINE;
use windows_sys::Win32::Foundation::{ERROR_BUFFER_OVERFLOW, HANDLE, NO_ERROR};
use windows_sys::Win32::NetworkManagement::IpHelper::{
    CancelMibChangeNotify2, FreeMibTable, GAA_FLAG_INCLUDE_GATEWAYS, GAA_FLAG_SKIP_ANYCAST, GAA_FLAG_SKIP_DNS_SERVER,
    GAA_FLAG_SKIP_MULTICAST, GetAdaptersAddresses, GetIpForwardTable2, IP_ADAPTER_ADDRESSES_LH, MIB_IPFORWARD_ROW2,
    MIB_IPFORWARD_TABLE2, MIB_IPINTERFACE_ROW, MIB_NOTIFICATION_TYPE, NotifyIpInterfaceChange, NotifyRouteChange2,
};
use windows_sys::Win32::NetworkManagement::Ndis::IfOperStatusUp;
use windows_sys::Win32::Networking::WinSock::{
    AF_INET, AF_INET6, AF_UNSPEC, SOCKADDR_IN, SOCKADDR_IN6, SOCKADDR_INET, SOCKET_ADDRESS,
};
use windows_sys::Win32::System::SystemInformation::GetTickCount64;
use windows_sys::Win32::System::WindowsProgramming::QueryUnbiasedInterruptTime;

use super::slept::Clocks;
use super::snapshot::Surroundings;
use crate::address::is_local_ip;

/// What the documentation of GetAdaptersAddresses advises to begin with.
const FIRST_SIZE: usize = 15 * 1024;

/// The list may grow between being measured and being read.
const ATTEMPTS: u32 = 3;

/// The domain that the machine belongs to and the search list of the administrator.
const TCPIP: &str = r"SYSTEM\CurrentControlSet\Services\Tcpip\Parameters";

pub(super) fn surroundings() -> Surroundings {
    let mut found = adapters();
    for name in ["SearchList", "Domain", "DhcpDomain"] {
        let list = LOCAL_MACHINE.open(TCPIP).and_then(|key| key.get_string(name)).unwrap_or_default();
        found.dns_suffixes.extend(list.split(',').map(Into::into));
    }
    found.routes = routes();
    found
}

/// Gateways by metric, and the suffix of each adapter in use.
fn adapters() -> Surroundings {
    let mut found = Surroundings::default();
    let Some(buffer) = adapter_list() else { return found };
    let mut gateways = Vec::new();
    let mut next = buffer.as_ptr().cast::<IP_ADAPTER_ADDRESSES_LH>();
    #[expect(unsafe_code, reason = "the list is chained by pointers")]
    // SAFETY: the call that filled the buffer made every pointer in it null or valid for as long as the buffer is.
    unsafe {
        while let Some(adapter) = next.as_ref() {
            next = adapter.Next;
            if adapter.OperStatus != IfOperStatusUp {
                continue;
            }
            found.dns_suffixes.extend(wide(adapter.DnsSuffix));
            let mut gateway = adapter.FirstGatewayAddress;
            while let Some(one) = gateway.as_ref() {
                gateway = one.Next;
                if let Some(ip) = address(&one.Address) {
                    gateways.push((if ip.is_ipv4() { adapter.Ipv4Metric } else { adapter.Ipv6Metric }, ip));
                }
            }
        }
    }
    gateways.sort_by_key(|(metric, _)| *metric);
    for (_, ip) in gateways {
        if !found.gateways.contains(&ip) {
            found.gateways.push(ip);
        }
    }
    found
}

/// The list as the system wrote it; 64-bit words, so that it is aligned for what it holds.
fn adapter_list() -> Option<Vec<u64>> {
    let flags = GAA_FLAG_INCLUDE_GATEWAYS | GAA_FLAG_SKIP_ANYCAST | GAA_FLAG_SKIP_MULTICAST | GAA_FLAG_SKIP_DNS_SERVER;
    let mut size = u32::try_from(FIRST_SIZE).ok()?;
    for _ in 0..ATTEMPTS {
        let mut buffer = vec![0_u64; usize::try_from(size).ok()?.div_ceil(size_of::<u64>())];
        #[expect(unsafe_code, reason = "the system fills a buffer of ours")]
        // SAFETY: the buffer is as large as is said, and is written to during the call only.
        let status = unsafe {
            GetAdaptersAddresses(u32::from(AF_UNSPEC), flags, ptr::null(), buffer.as_mut_ptr().cast(), &raw mut size)
        };
        match status {
            NO_ERROR => return Some(buffer),
            ERROR_BUFFER_OVERFLOW => {}
            _ => return None,
        }
    }
    None
}

/// # Safety
/// The pointer is null, or to a text that ends in zero.
#[expect(unsafe_code, reason = "a text of the system ends where its zero is")]
unsafe fn wide(text: *const u16) -> Option<String> {
    if text.is_null() {
        return None;
    }
    let mut length = 0;
    // SAFETY: as promised, there is a zero, and nothing behind it is read.
    let units = unsafe {
        while *text.add(length) != 0 {
            length += 1;
        }
        slice::from_raw_parts(text, length)
    };
    Some(String::from_utf16_lossy(units)).filter(|text| !text.is_empty())
}

/// # Safety
/// The pointer in it is null or to an address of the family that it begins with.
#[expect(unsafe_code, reason = "the family says what stands behind the pointer")]
unsafe fn address(socket: &SOCKET_ADDRESS) -> Option<IpAddr> {
    // SAFETY: as promised.
    unsafe {
        match socket.lpSockaddr.as_ref()?.sa_family {
            AF_INET => Some(ipv4(&*socket.lpSockaddr.cast::<SOCKADDR_IN>())),
            AF_INET6 => Some(ipv6(&*socket.lpSockaddr.cast::<SOCKADDR_IN6>())),
            _ => None,
        }
    }
}

#[expect(unsafe_code, reason = "the address is a union of its spellings")]
fn ipv4(socket: &SOCKADDR_IN) -> IpAddr {
    // SAFETY: every spelling is the same four bytes.
    Ipv4Addr::from(unsafe { socket.sin_addr.S_un.S_addr }.to_ne_bytes()).into()
}

#[expect(unsafe_code, reason = "the address is a union of its spellings")]
fn ipv6(socket: &SOCKADDR_IN6) -> IpAddr {
    // SAFETY: every spelling is the same sixteen bytes.
    Ipv6Addr::from(unsafe { socket.sin6_addr.u.Byte }).into()
}

/// The order says nothing, and routes of the link and of loopback never lead anywhere else.
fn routes() -> u64 {
    let mut table: *mut MIB_IPFORWARD_TABLE2 = ptr::null_mut();
    #[expect(unsafe_code, reason = "the system makes the table and has it freed")]
    // SAFETY: on success the table has as many rows as it says, and it is freed once, after its last use.
    unsafe {
        if GetIpForwardTable2(AF_UNSPEC, &raw mut table) != NO_ERROR || table.is_null() {
            return 0;
        }
        let rows =
            slice::from_raw_parts(&raw const (*table).Table[0], usize::try_from((*table).NumEntries).unwrap_or(0));
        let sum = rows.iter().filter_map(route).fold(0, u64::wrapping_add);
        FreeMibTable(table.cast());
        sum
    }
}

fn route(row: &MIB_IPFORWARD_ROW2) -> Option<u64> {
    let destination = ip(&row.DestinationPrefix.Prefix)?;
    let far = row.DestinationPrefix.PrefixLength == 0 || !(is_local_ip(destination) || destination.is_multicast());
    far.then(|| {
        let mut hasher = DefaultHasher::new();
        (destination, row.DestinationPrefix.PrefixLength, ip(&row.NextHop), row.Metric, row.InterfaceIndex)
            .hash(&mut hasher);
        hasher.finish()
    })
}

#[expect(unsafe_code, reason = "the family says what stands in the union")]
fn ip(socket: &SOCKADDR_INET) -> Option<IpAddr> {
    // SAFETY: the family is the first field of every variant.
    unsafe {
        match socket.si_family {
            AF_INET => Some(ipv4(&socket.Ipv4)),
            AF_INET6 => Some(ipv6(&socket.Ipv6)),
            _ => None,
        }
    }
}

/// The tick count runs through a sleep, in milliseconds; the unbiased interrupt time does not, in units of 100 ns.
pub(super) fn clocks() -> Clocks {
    let mut awake = 0;
    #[expect(unsafe_code, reason = "the system writes to a number of ours")]
    // SAFETY: it is written to during the call only, and the other call takes nothing.
    let all = unsafe {
        QueryUnbiasedInterruptTime(&raw mut awake);
        GetTickCount64()
    };
    Clocks { awake: Duration::from_nanos(awake.saturating_mul(100)), all: Duration::from_millis(all) }
}

/// Two registrations, whose callbacks the system makes on threads of its own.
pub(super) struct Hints {
    changed: Arc<Notify>,
    registrations: Vec<Registration>,
}

impl Hints {
    pub fn listen() -> io::Result<Self> {
        let mut hints = Self { changed: Arc::new(Notify::new()), registrations: Vec::new() };
        let context = Arc::as_ptr(&hints.changed).cast::<c_void>();
        for kind in [Kind::Interfaces, Kind::Routes] {
            hints.registrations.push(Registration::new(kind, context)?);
        }
        Ok(hints)
    }

    /// Waits for a notification; those that came before count as one.
    pub async fn next(&mut self) -> io::Result<()> {
        self.changed.notified().await;
        Ok(())
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        // Before what the callbacks use.
        self.registrations.clear();
    }
}

enum Kind {
    Interfaces,
    /// Addresses too: each brings routes with it.
    Routes,
}

/// A handle, as a number so that it may go to another thread.
struct Registration(usize);

impl Registration {
    /// The context is the `Notify` of the hints, which outlives its registrations.
    fn new(kind: Kind, context: *const c_void) -> io::Result<Self> {
        let mut handle: HANDLE = ptr::null_mut();
        #[expect(unsafe_code, reason = "the system calls back with the context")]
        // SAFETY: the context lives until the registration is cancelled, which waits for callbacks under way.
        let status = unsafe {
            match kind {
                Kind::Interfaces => {
                    NotifyIpInterfaceChange(AF_UNSPEC, Some(on_interface), context, false, &raw mut handle)
                }
                Kind::Routes => NotifyRouteChange2(AF_UNSPEC, Some(on_route), context, false, &raw mut handle),
            }
        };
        match status {
            NO_ERROR => Ok(Self(handle.addr())),
            error => Err(io::Error::from_raw_os_error(error.cast_signed())),
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "a handle of the system is given back")]
        // SAFETY: it came from the registration and is cancelled once, not from within a callback.
        let _nothing_to_do_about_it = unsafe { CancelMibChangeNotify2(ptr::without_provenance_mut(self.0)) };
    }
}

#[expect(unsafe_code, reason = "called by the system")]
unsafe extern "system" fn on_interface(
    context: *const c_void,
    _: *const MIB_IPINTERFACE_ROW,
    _: MIB_NOTIFICATION_TYPE,
) {
    // SAFETY: it is the context of the registration.
    unsafe { notify(context) };
}

#[expect(unsafe_code, reason = "called by the system")]
unsafe extern "system" fn on_route(context: *const c_void, _: *const MIB_IPFORWARD_ROW2, _: MIB_NOTIFICATION_TYPE) {
    // SAFETY: it is the context of the registration.
    unsafe { notify(context) };
}

/// # Safety
/// The context is the `Notify` of living hints.
#[expect(unsafe_code, reason = "the context is a pointer")]
unsafe fn notify(context: *const c_void) {
    // SAFETY: as promised.
    if let Some(changed) = unsafe { context.cast::<Notify>().as_ref() } {
        changed.notify_one();
    }
}
