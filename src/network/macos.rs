//! The network of macOS, from the dynamic store that configd keeps (SCDynamicStore).

use std::io;
use std::net::IpAddr;
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use system_configuration::core_foundation::array::CFArray;
use system_configuration::core_foundation::base::{CFType, TCFType};
use system_configuration::core_foundation::dictionary::CFDictionary;
use system_configuration::core_foundation::runloop::{CFRunLoop, kCFRunLoopCommonModes};
use system_configuration::core_foundation::string::CFString;
use system_configuration::dynamic_store::{SCDynamicStore, SCDynamicStoreBuilder, SCDynamicStoreCallBackContext};
use tokio::sync::Notify;

use super::slept::Clocks;
use super::snapshot::Surroundings;

/// What is shown to users as the one that asks.
const NAME: &str = "hallpass";

/// The primary service's routes and names, and whatever an interface has or loses.
const WATCHED: [&str; 2] =
    ["State:/Network/Global/(IPv4|IPv6|DNS)", "State:/Network/(Interface|Service)/[^/]+/(IPv4|IPv6|Link)"];

/// The routes themselves are not in the store; a tunnel shows as an interface with an address.
pub(super) fn surroundings() -> Surroundings {
    let Some(store) = SCDynamicStoreBuilder::new(NAME).build() else { return Surroundings::default() };
    let routers = ["State:/Network/Global/IPv4", "State:/Network/Global/IPv6"].map(|key| text(&store, key, "Router"));
    let names = "State:/Network/Global/DNS";
    let dns_suffixes = texts(&store, names, "SearchDomains").into_iter().chain(text(&store, names, "DomainName"));
    Surroundings {
        gateways: routers.into_iter().flatten().filter_map(|router| address(&router)).collect(),
        dns_suffixes: dns_suffixes.collect(),
        routes: 0,
    }
}

/// `fe80::1%en0` is that router on this interface.
fn address(text: &str) -> Option<IpAddr> {
    text.split('%').next()?.parse().ok()
}

fn value(store: &SCDynamicStore, entry: &str, key: &str) -> Option<CFType> {
    let dictionary = store.get(entry)?.downcast_into::<CFDictionary>()?;
    let key = CFString::new(key);
    let found = *dictionary.find(key.as_CFTypeRef())?;
    #[expect(unsafe_code, reason = "a dictionary of the store is not typed")]
    // SAFETY: it holds CoreFoundation objects only, and the get rule retains the one that is taken out.
    Some(unsafe { CFType::wrap_under_get_rule(found) })
}

fn text(store: &SCDynamicStore, entry: &str, key: &str) -> Option<String> {
    Some(value(store, entry, key)?.downcast_into::<CFString>()?.to_string())
}

fn texts(store: &SCDynamicStore, entry: &str, key: &str) -> Vec<String> {
    let array = value(store, entry, key).and_then(|found| found.downcast_into::<CFArray>());
    let items = array.iter().flat_map(|array| array.get_all_values());
    #[expect(unsafe_code, reason = "an array of the store is not typed")]
    // SAFETY: it holds CoreFoundation objects only, and the get rule retains each that is taken out.
    let typed = items.map(|item| unsafe { CFType::wrap_under_get_rule(item) });
    typed.filter_map(|item| item.downcast_into::<CFString>()).map(|text| text.to_string()).collect()
}

/// `Instant` is the uptime clock here, which stands still in a sleep; CLOCK_MONOTONIC goes on (clock_gettime(3)).
pub(super) fn clocks() -> Clocks {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let all = clock_gettime(ClockId::Monotonic);
    Clocks {
        awake: FIRST.get_or_init(Instant::now).elapsed(),
        all: Duration::new(
            u64::try_from(all.tv_sec).unwrap_or_default(),
            u32::try_from(all.tv_nsec).unwrap_or_default(),
        ),
    }
}

/// A thread with a run loop, which is where the store tells of changes.
pub(super) struct Hints {
    changed: Arc<Notify>,
    run_loop: CFRunLoop,
}

impl Hints {
    pub fn listen() -> io::Result<Self> {
        let changed = Arc::new(Notify::new());
        let (sender, receiver) = mpsc::channel();
        let told = changed.clone();
        thread::Builder::new().name("network".into()).spawn(move || match subscribe(told) {
            Some(_store) => {
                let _nobody_waits_any_more = sender.send(CFRunLoop::get_current());
                CFRunLoop::run_current();
            }
            None => drop(sender),
        })?;
        let run_loop = receiver.recv().map_err(|_| io::Error::other("the dynamic store gives no notifications"))?;
        Ok(Self { changed, run_loop })
    }

    /// Waits for a notification; those that came before count as one.
    pub async fn next(&mut self) -> io::Result<()> {
        self.changed.notified().await;
        Ok(())
    }
}

impl Drop for Hints {
    fn drop(&mut self) {
        self.run_loop.stop();
    }
}

/// Within the run loop of this thread. The store must be kept for as long as it is to tell.
fn subscribe(told: Arc<Notify>) -> Option<SCDynamicStore> {
    let context = SCDynamicStoreCallBackContext { callout: on_change, info: told };
    let store = SCDynamicStoreBuilder::new(NAME).callback_context(context).build()?;
    let keys: CFArray<CFString> = CFArray::from_CFTypes(&[]);
    let patterns = CFArray::from_CFTypes(&WATCHED.map(CFString::new));
    store.set_notification_keys(&keys, &patterns).then_some(())?;
    let source = store.create_run_loop_source()?;
    #[expect(unsafe_code, reason = "the name of the mode is a variable of the framework")]
    // SAFETY: the framework sets it before any code of ours runs and never changes it.
    CFRunLoop::get_current().add_source(&source, unsafe { kCFRunLoopCommonModes });
    Some(store)
}

fn on_change(_: SCDynamicStore, _: CFArray<CFString>, told: &mut Arc<Notify>) {
    told.notify_one();
}
