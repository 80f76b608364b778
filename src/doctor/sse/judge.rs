//! What the times of events say. Thinks only.

use std::time::Duration;

use super::read::{Event, Heard};

/// Events that are no further apart than this came together.
const TOGETHER: Duration = Duration::from_millis(50);

/// What is later than this by comparison was held back; networks are slower than loopback.
const LATE: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    AsSent {
        longest: Duration,
    },
    /// The events themselves say when they were sent.
    HeldBack {
        held: Duration,
    },
    /// They do not, so that nobody can know.
    AllAtOnce {
        after: Duration,
    },
    /// The connection ended in the midst of a message.
    Cut {
        silence: Duration,
    },
    TooFew,
    NotSilentEnough {
        longest: Duration,
    },
}

pub(super) fn judge(heard: &Heard, silence: Option<Duration>) -> Verdict {
    let events = &heard.events;
    if let (true, last) = (heard.is_broken, events.last()) {
        return Verdict::Cut { silence: heard.over.saturating_sub(last.map_or(Duration::ZERO, |event| event.arrived)) };
    }
    let [first, .., last] = events.as_slice() else { return Verdict::TooFew };
    if let Some(held) = held_back(events) {
        return Verdict::HeldBack { held };
    }
    let longest = events.windows(2).map(|pair| pair[1].arrived - pair[0].arrived).max().unwrap_or_default();
    let has_times = events.iter().all(|event| event.sent.is_some());
    if !has_times && last.arrived - first.arrived < TOGETHER && first.arrived > LATE {
        return Verdict::AllAtOnce { after: first.arrived };
    }
    match silence {
        Some(silence) if longest < silence => Verdict::NotSilentEnough { longest },
        Some(_) | None => Verdict::AsSent { longest },
    }
}

/// How much later one arrived than the one that arrived soonest after it was sent: two clocks need not agree for that.
fn held_back(events: &[Event]) -> Option<Duration> {
    let delays: Vec<i128> =
        events.iter().filter_map(|event| Some(as_millis(event.arrived) - i128::from(event.sent?))).collect();
    let (soonest, latest) = (delays.iter().min()?, delays.iter().max()?);
    let held = Duration::from_millis(u64::try_from(latest - soonest).unwrap_or_default());
    (held > LATE).then_some(held)
}

fn as_millis(time: Duration) -> i128 {
    i128::try_from(time.as_millis()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Hop;

    fn heard(events: &[(u64, Option<u64>)], is_broken: bool, over: u64) -> Heard {
        let millis = Duration::from_millis;
        let events = events.iter().map(|(arrived, sent)| Event { arrived: millis(*arrived), sent: *sent }).collect();
        Heard { hop: Hop::Direct, status: 200, is_events: true, via: None, events, is_broken, over: millis(over) }
    }

    #[test]
    fn times_say_whether_somebody_held_events_back() {
        let millis = Duration::from_millis;
        let at = |sent: u64| Some(1_700_000_000_000 + sent);
        for (events, broken, silence, verdict) in [
            (&[(5, at(0)), (405, at(400)), (805, at(800))][..], false, None, Verdict::AsSent { longest: millis(400) }),
            (
                &[(1205, at(0)), (1206, at(400)), (1207, at(1200))],
                false,
                None,
                Verdict::HeldBack { held: millis(1198) },
            ),
            (&[(5, None), (405, None), (805, None)], false, None, Verdict::AsSent { longest: millis(400) }),
            (&[(1205, None), (1206, None), (1207, None)], false, None, Verdict::AllAtOnce { after: millis(1205) }),
            (&[(5, None), (6, None)], false, None, Verdict::AsSent { longest: millis(1) }),
            (&[(5, None)], false, None, Verdict::TooFew),
            (&[], false, None, Verdict::TooFew),
            (&[(5, None), (10, None)], true, None, Verdict::Cut { silence: millis(60_000) }),
            (&[(5, None), (125_005, None)], false, Some(120), Verdict::AsSent { longest: millis(125_000) }),
            (&[(5, None), (9_005, None)], false, Some(120), Verdict::NotSilentEnough { longest: millis(9_000) }),
        ] {
            let heard = heard(events, broken, 60_010);
            assert_eq!(judge(&heard, silence.map(Duration::from_secs)), verdict, "{events:?}");
        }
    }
}
