//! The registry tells of what is written below a key, to a thread that does nothing else than wait for it.

use std::io;
use std::ptr;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;
use windows_registry::{CURRENT_USER, Key, LOCAL_MACHINE};
use windows_sys::Win32::Foundation::{ERROR_KEY_DELETED, NO_ERROR};
use windows_sys::Win32::System::Registry::{
    REG_NOTIFY_CHANGE_LAST_SET, REG_NOTIFY_CHANGE_NAME, RegNotifyChangeKeyValue,
};

use super::super::imp::{SETTINGS, registry};
pub(super) use super::super::wininet::Registry as Settings;

/// A key may not be handed to another thread, but asked for there.
type Root = fn() -> &'static Key;

const WATCHED: [(Root, &str); 3] =
    [(|| CURRENT_USER, SETTINGS), (|| LOCAL_MACHINE, SETTINGS), (|| LOCAL_MACHINE, POLICIES)];

/// Far above the key of the policy: those between come and go with what is in them, and of its own end a key may tell
/// nobody. What else is written below it is no other setting, and nothing comes of it.
const POLICIES: &str = r"SOFTWARE\Policies";

/// Before a key that was deleted is looked for again: what deletes keys may make them anew, one after the other.
const PAUSE: Duration = Duration::from_secs(1);

/// It waits and calls nobody.
const STACK: usize = 64 * 1024;

pub(super) fn settings() -> Settings {
    registry()
}

pub(super) struct Hints(Arc<Notify>);

impl Hints {
    /// There is one for the whole life of a relay: a thread notices that nobody listens any more when it has something to
    /// tell.
    pub fn listen() -> Self {
        let changed = Arc::new(Notify::new());
        for (root, path) in WATCHED {
            let told = Arc::downgrade(&changed);
            let thread = thread::Builder::new().name("proxy settings".into()).stack_size(STACK);
            let watching = thread.spawn(move || tell(root(), path, &told).unwrap_or_else(|cause| nobody_tells(&cause)));
            drop(watching.inspect_err(nobody_tells));
        }
        Self(changed)
    }

    /// Waits for a notification; those that came before count as one.
    pub async fn next(&mut self) {
        self.0.notified().await;
    }
}

fn nobody_tells(cause: &io::Error) {
    tracing::warn!(%cause, "the registry does not tell when proxy settings change; they are looked at every pac.refresh");
}

fn tell(root: &Key, path: &str, told: &Weak<Notify>) -> io::Result<()> {
    loop {
        match written(&nearest(root, path)?) {
            Err(error) if is_deleted(&error) => thread::sleep(PAUSE),
            written => written?,
        }
        let Some(told) = told.upgrade() else { return Ok(()) };
        told.notify_one();
    }
}

/// That is a change, too, whether the key went while we waited or before.
fn is_deleted(error: &io::Error) -> bool {
    error.raw_os_error() == Some(ERROR_KEY_DELETED.cast_signed())
}

/// A key that is not there is what there is of the way to it.
fn nearest(root: &Key, path: &str) -> io::Result<Key> {
    match (root.open(path), path.rsplit_once('\\')) {
        (Ok(key), _) => Ok(key),
        (Err(_), Some((parent, _))) => nearest(root, parent),
        (Err(error), None) => Err(error.into()),
    }
}

/// Waits until something is written to the key or below it. Where the key itself is deleted this may end, fail or wait on.
#[expect(unsafe_code, reason = "the system's call for what is written to the registry")]
fn written(key: &Key) -> io::Result<()> {
    let what = REG_NOTIFY_CHANGE_NAME | REG_NOTIFY_CHANGE_LAST_SET;
    // SAFETY: the handle is open for longer than the call, which needs no event because it waits itself.
    let code = unsafe { RegNotifyChangeKeyValue(key.as_raw(), 1, what, ptr::null_mut(), 0) };
    if code == NO_ERROR { Ok(()) } else { Err(io::Error::from_raw_os_error(code.cast_signed())) }
}
