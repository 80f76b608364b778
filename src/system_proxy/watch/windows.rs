//! The registry tells of what is written below a key, to a thread that does nothing else than wait for it.

use std::io;
use std::ptr;
use std::sync::{Arc, Weak};
use std::thread;

use tokio::sync::Notify;
use windows_registry::{CURRENT_USER, Key, LOCAL_MACHINE};
use windows_sys::Win32::Foundation::NO_ERROR;
use windows_sys::Win32::System::Registry::{
    REG_NOTIFY_CHANGE_LAST_SET, REG_NOTIFY_CHANGE_NAME, RegNotifyChangeKeyValue,
};

use super::super::imp::{SETTINGS, registry};
pub(super) use super::super::wininet::Registry as Settings;

/// A key may not be handed to another thread, but asked for there.
type Root = fn() -> &'static Key;

const WATCHED: [(Root, &str); 3] =
    [(|| CURRENT_USER, SETTINGS), (|| LOCAL_MACHINE, SETTINGS), (|| LOCAL_MACHINE, POLICIES)];

/// Above the key of the policy, which comes and goes.
const POLICIES: &str = r"SOFTWARE\Policies\Microsoft\Windows\CurrentVersion";

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
        written(&nearest(root, path)?)?;
        let Some(told) = told.upgrade() else { return Ok(()) };
        told.notify_one();
    }
}

/// The key may be made or deleted meanwhile: then it is what there is of the way to it.
fn nearest(root: &Key, path: &str) -> io::Result<Key> {
    match (root.open(path), path.rsplit_once('\\')) {
        (Ok(key), _) => Ok(key),
        (Err(_), Some((parent, _))) => nearest(root, parent),
        (Err(error), None) => Err(error.into()),
    }
}

/// Waits until something is written to the key or below it, or until it is deleted.
#[expect(unsafe_code, reason = "the system's call for what is written to the registry")]
fn written(key: &Key) -> io::Result<()> {
    let what = REG_NOTIFY_CHANGE_NAME | REG_NOTIFY_CHANGE_LAST_SET;
    // SAFETY: the handle is open for longer than the call, which needs no event because it waits itself.
    let code = unsafe { RegNotifyChangeKeyValue(key.as_raw(), 1, what, ptr::null_mut(), 0) };
    if code == NO_ERROR { Ok(()) } else { Err(io::Error::from_raw_os_error(code.cast_signed())) }
}
