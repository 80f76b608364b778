//! Clients beyond the limit: each is heard for a moment before it is refused, so that a relay that is only full does not
//! look dead to whoever restarts what is dead.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;

use super::{Client, Proxy, Shared, Story, draining, local, respond};
use crate::http1::{ReadError, RequestHead};
use respond::Problem;

/// So many are heard at a time.
const HEARD: usize = 64;

/// A probe says what it wants at once.
const MOMENT: Duration = Duration::from_secs(1);

/// Those who are being heard, who has waited for longest first. One more than there may be sends that one away, so that
/// those who say nothing keep nobody from being heard.
#[derive(Debug, Default)]
pub(super) struct Beyond {
    heard: Mutex<VecDeque<(u64, oneshot::Sender<()>)>>,
    next: AtomicU64,
}

/// One who is being heard.
struct Turn<'a> {
    of: &'a Beyond,
    number: u64,
    over: oneshot::Receiver<()>,
}

impl Beyond {
    fn take(&self) -> Turn<'_> {
        let (tell, over) = oneshot::channel();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut heard = self.lock();
        if heard.len() >= HEARD
            && let Some((_, tell_longest)) = heard.pop_front()
        {
            let _has_left_by_itself = tell_longest.send(());
        }
        heard.push_back((number, tell));
        drop(heard);
        Turn { of: self, number, over }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(u64, oneshot::Sender<()>)>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.of.lock().retain(|(number, _)| *number != self.number);
    }
}

/// Answers what probes ask for, once, and refuses all else.
pub(super) async fn serve(client: &mut Client, proxy: Arc<Proxy>, shared: &mut Shared) {
    client.is_beyond = true;
    let head = match hear(client, &proxy, shared).await {
        Heard::Request(head) => head,
        Heard::Nothing => {
            let story = Story::new(&client.peer, &proxy);
            return respond::refuse(client, story, &Problem::too_many()).await;
        }
        Heard::Over => return,
    };
    client.look_again();
    let problem = match client.objection(&head, false, shared) {
        None if local::is_for_probes(&head) => {
            let _closed_whatever_it_says = local::serve(client, &head, &proxy, shared).await;
            return;
        }
        Some(problem) if client.stranger.is_some() => problem,
        Some(_) | None => Problem::too_many(),
    };
    let story = Story::of_request(&client.peer, &proxy, &head);
    respond::refuse(client, story, &problem).await;
}

/// What one has said who was heard.
enum Heard {
    Request(RequestHead),
    /// Nothing in its time, or nothing that could be read.
    Nothing,
    /// It has gone, as a probe does that wanted a connection and no more, or we are going: nobody was refused.
    Over,
}

async fn hear(client: &mut Client, proxy: &Proxy, shared: &mut Shared) -> Heard {
    let refusals = shared.refusals.clone();
    let mut turn = refusals.beyond.take();
    let mut reader = client.wire.reader();
    let mut head = pin!(reader.request(proxy.max_head));
    tokio::select! {
        biased;
        head = &mut head => match head {
            Ok(head) => Heard::Request(head),
            Err(ReadError::Http(_)) => Heard::Nothing,
            Err(ReadError::Closed | ReadError::Truncated | ReadError::Io(_)) => Heard::Over,
        },
        // What has not been asked by now is not asked of us any more.
        () = draining(&mut shared.phase) => Heard::Over,
        _ = &mut turn.over => Heard::Nothing,
        () = sleep(MOMENT.min(proxy.head_timeout)) => Heard::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_waited_for_longest_makes_way_and_nobody_else() {
        let beyond = Beyond::default();
        let mut turns: VecDeque<Turn<'_>> = (0..HEARD).map(|_| beyond.take()).collect();
        let is_over = |turn: &mut Turn<'_>| turn.over.try_recv() == Ok(());
        assert!(!turns.iter_mut().any(is_over));
        drop(turns.remove(1));
        turns.push_back(beyond.take());
        assert!(!turns.iter_mut().any(is_over), "one had left by itself");
        turns.push_back(beyond.take());
        let over: Vec<usize> =
            turns.iter_mut().enumerate().filter_map(|(at, turn)| is_over(turn).then_some(at)).collect();
        assert_eq!(over, [0]);
        assert_eq!(beyond.lock().len(), HEARD);
        turns.clear();
        assert_eq!(beyond.lock().len(), 0);
    }
}
