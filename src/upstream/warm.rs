//! Log-ins by NTLM begun ahead: while tunnels follow each other closely, the first message of the next log-in is on its way
//! before anybody has asked, so that the next tunnel takes one round trip.
//!
//! What is sent ahead says nothing of the secret, and is no log-on: the leave to show it is asked for by the request that
//! takes the connection over, and for nobody else. At most one waits per upstream, for [`FOR`], because the upstream keeps a
//! place among its own helpers for each that is half finished. So it is done only where it is configured, never with a
//! Squid (which has few such places), and no more with an upstream where it did not work once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};

use super::live::UpstreamKey;
use super::spare::DialAhead;
use super::stream::Stream;
use super::{Dialled, MAX_RESPONSE_HEAD, Upstream, Upstreams};
use crate::auth::Start;
use crate::auth::challenge::parse_all;
use crate::http1::{ReadError, RequestHead, ResponseHead, Wire};
use crate::secret::Credentials;

/// How long one waits, and how closely tunnels must follow each other.
const FOR: Duration = Duration::from_secs(2);

/// The challenge to what was sent ahead is here or about to come; where nobody answers, the connection leads nowhere.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug, Default)]
pub(super) struct Warm {
    is_wanted: AtomicBool,
    /// Numbers those that are begun.
    count: AtomicU64,
    uses: Mutex<HashMap<UpstreamKey, Use>>,
}

#[derive(Debug, Default)]
struct Use {
    held: Option<Held>,
    /// The number of the one that is being begun, or was begun last.
    coming: Option<u64>,
    logged_in: Option<Instant>,
    trust: Trust,
}

/// What is known of an upstream that is asked for one tunnel and then shown the secret for another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Trust {
    #[default]
    Unknown,
    /// It has taken that.
    Good,
    /// It calls itself Squid, or something went wrong.
    None,
}

/// A log-in whose first message was sent, and whose challenge is here or on its way.
#[derive(Debug)]
struct Held {
    opened: Opened,
    since: Instant,
}

#[derive(Debug)]
pub(super) struct Opened {
    pub dialled: Dialled,
    pub first: First,
    /// A refusal of the secret may be one of the other target.
    pub is_trial: bool,
}

/// What a log-in was begun with.
#[derive(Debug, Clone)]
pub(super) struct First {
    /// Of the last request.
    pub head: RequestHead,
    /// NTLM's first message, which is the same for every log-in.
    pub credentials: Credentials,
}

impl Warm {
    /// A configuration says whether.
    pub fn want(&self, is_wanted: bool) {
        self.is_wanted.store(is_wanted, Ordering::Relaxed);
        self.clear();
    }

    pub fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// Somebody is about to log in for this target.
    fn take(&self, key: &UpstreamKey, target: &str, now: Instant) -> Option<Opened> {
        let mut uses = self.lock();
        let known = uses.get_mut(key)?;
        let held = known.held.take().filter(|held| now.saturating_duration_since(held.since) < FOR)?;
        let is_trial = known.trust != Trust::Good && held.opened.first.head.target != target;
        Some(Opened { is_trial, ..held.opened })
    }

    /// A log-in was taken. Whether another was shortly before, so that there will most likely be a next one.
    fn logged_in(&self, key: &UpstreamKey, was_trial: bool, now: Instant) -> bool {
        let mut uses = self.lock();
        let known = uses.entry(key.clone()).or_default();
        if was_trial && known.trust == Trust::Unknown {
            known.trust = Trust::Good;
        }
        let last = known.logged_in.replace(now);
        last.is_some_and(|last| now.saturating_duration_since(last) < FOR)
    }

    /// The number of the next one, if there is to be one.
    fn begin(&self, key: &UpstreamKey) -> Option<u64> {
        let mut uses = self.lock();
        let known = uses.get_mut(key)?;
        if known.trust == Trust::None || known.held.is_some() || known.coming.is_some() {
            return None;
        }
        known.coming = Some(self.count.fetch_add(1, Ordering::Relaxed));
        known.coming
    }

    /// `None`: it did not come about, or nobody came for it. Only the last one that was begun is meant.
    fn put(&self, key: &UpstreamKey, held: Option<Held>, number: u64) {
        if let Some(known) = self.lock().get_mut(key).filter(|known| known.coming == Some(number)) {
            known.coming = None;
            known.held = held;
        }
    }

    fn expire(&self, key: &UpstreamKey, now: Instant) {
        if let Some(known) = self.lock().get_mut(key) {
            known.held.take_if(|held| now.saturating_duration_since(held.since) >= FOR);
        }
    }

    /// It does not work there, and is not tried again.
    pub fn give_up(&self, key: &UpstreamKey) {
        self.lock().insert(key.clone(), Use { trust: Trust::None, ..Use::default() });
    }

    /// What was taken so far may not be taken now.
    pub fn drop_of(&self, key: &UpstreamKey) {
        if let Some(known) = self.lock().get_mut(key) {
            *known = Use { trust: known.trust, ..Use::default() };
        }
    }

    /// Nothing that waits is used any more. What was found out about upstreams stays.
    pub fn clear(&self) {
        self.lock().values_mut().for_each(|known| *known = Use { trust: known.trust, ..Use::default() });
    }

    /// In another network others may go by the same names.
    pub fn forget(&self) {
        self.lock().clear();
    }

    /// A panic elsewhere leaves it whole: each change is one assignment.
    fn lock(&self) -> MutexGuard<'_, HashMap<UpstreamKey, Use>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The challenge to what was sent ahead. Anything else is the answer to somebody else's request.
pub(super) async fn challenge(wire: &mut Wire<Stream>) -> Option<ResponseHead> {
    let answer = timeout(PATIENCE, answer(wire)).await.ok()?.ok()?;
    let offered = parse_all(answer.fields.all("proxy-authenticate"));
    let is_challenge = answer.status == 407 && offered.iter().any(|challenge| challenge.token.is_some());
    (is_challenge && answer.persists()).then_some(answer)
}

async fn answer(wire: &mut Wire<Stream>) -> Result<ResponseHead, ReadError> {
    loop {
        let answer = wire.reader().response_shown(MAX_RESPONSE_HEAD, |_: &[u8]| {}).await?;
        if !answer.is_informational() {
            return Ok(answer);
        }
    }
}

impl First {
    /// Says it on a connection of its own.
    async fn open(self, spare: Option<Dialled>, ahead: &DialAhead) -> Option<Held> {
        let mut dialled = match spare {
            Some(dialled) => dialled,
            None => ahead.dial().await?,
        };
        let bytes = self.head.to_bytes(Some(&self.credentials));
        let stream = &mut dialled.wire.stream;
        let sending = async { stream.write_all(&bytes).await.and(stream.flush().await) };
        timeout(FOR, sending).await.ok()?.ok()?;
        Some(Held { opened: Opened { dialled, first: self, is_trial: false }, since: Instant::now() })
    }
}

impl Upstreams {
    /// A log-in for this target that was begun ahead.
    pub(super) fn opened(&self, upstream: &Upstream, target: &str) -> Option<Opened> {
        let warm = self.live.warm();
        if !warm.is_wanted() {
            return None;
        }
        let key = self.key(upstream);
        if !self.live.known(&key).start.is_some_and(Start::has_several_legs) {
            return None;
        }
        let opened = warm.take(&key, target, Instant::now())?;
        (!opened.dialled.wire.stream.has_ended()).then_some(opened)
    }

    /// A tunnel was given to whoever logged in by what began with this message.
    pub(super) fn follow_log_in(&self, upstream: &Arc<Upstream>, first: First, was_trial: bool) {
        if self.live.warm().logged_in(&self.key(upstream), was_trial, Instant::now()) {
            self.open_ahead(upstream, first);
        }
    }

    /// The next log-in is begun, unless there is one already. Who watches log-ins would take it for a broken one.
    pub(super) fn open_ahead(&self, upstream: &Arc<Upstream>, first: First) {
        let key = self.key(upstream);
        if self.live.witness().is_some() {
            return;
        }
        let Some(number) = self.live.warm().begin(&key) else { return };
        let (spare, ahead, warm) = (self.spare(upstream), self.dial_ahead(upstream), Arc::downgrade(self.live.warm()));
        tokio::spawn(async move {
            let held = first.open(spare, &ahead).await;
            if let Some(warm) = warm.upgrade() {
                warm.put(&key, held, number);
            }
            sleep(FOR).await;
            if let Some(warm) = warm.upgrade() {
                warm.expire(&key, Instant::now());
            }
        });
    }

    /// Some proxies say what they are.
    pub(super) fn recognize(&self, upstream: &Upstream, head: &ResponseHead) {
        let warm = self.live.warm();
        if warm.is_wanted() && calls_itself_squid(head) {
            warm.give_up(&self.key(upstream));
        }
    }
}

/// In any field, or by one that no other proxy has.
fn calls_itself_squid(head: &ResponseHead) -> bool {
    let names_it = |bytes: &[u8]| bytes.to_ascii_lowercase().windows(5).any(|part| part == b"squid");
    let is_own = |name: &str| name.eq_ignore_ascii_case("x-cache-lookup") || names_it(name.as_bytes());
    head.fields.iter().any(|(name, value)| is_own(name) || names_it(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::Version;

    #[test]
    fn a_squid_is_known_by_what_it_says() {
        for (name, value, expected) in [
            ("Via", "1.1 proxy.corp.test (squid/5.7)", true),
            ("Server", "Squid", true),
            ("X-Squid-Error", "ERR_CACHE_ACCESS_DENIED 0", true),
            ("X-Cache-Lookup", "NONE from proxy.corp.test:3128", true),
            ("Proxy-Agent", "SQUID", true),
            ("X-Cache", "MISS from squid.corp.test", true),
            ("Via", "1.1 tmg.corp.test", false),
            ("Server", "squirrel", false),
            ("X-Cache", "MISS from proxy.corp.test", false),
        ] {
            let fields = [(name, value)].into_iter().collect();
            let head = ResponseHead { version: Version::Http11, status: 407, reason: Vec::new(), fields };
            assert_eq!(calls_itself_squid(&head), expected, "{name}: {value}");
        }
    }
}
