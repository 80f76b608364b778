//! Runs checks side by side: each begins when those that it rests on have ended, and ends within its limit.

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::check::{Check, Finding};
use super::verdict::{Ended, Report, judge};

/// How the examination goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress<'a> {
    Began(&'a str),
    /// The finding as the check alone sees it; what explains it is known at the end.
    Ended(&'a str, &'a Finding),
}

enum Event {
    Began(usize),
    Ended(usize, Finding, Duration),
}

/// `tell` hears of every check twice.
pub async fn examine(checks: Vec<Check>, mut tell: impl FnMut(Progress<'_>)) -> Report {
    let began = Instant::now();
    let mut ended: Vec<Ended> = checks.iter().map(Ended::not_yet).collect();
    let (events, mut heard) = mpsc::unbounded_channel();
    let mut earlier: Vec<(String, watch::Receiver<bool>)> = Vec::new();
    for (at, check) in checks.into_iter().enumerate() {
        let waits_for = earlier.iter().filter(|(name, _)| check.rests_on.contains(name));
        let waits_for: Vec<_> = waits_for.map(|(_, over)| over.clone()).collect();
        let (over, is_over) = watch::channel(false);
        earlier.push((check.name.clone(), is_over));
        let events = events.clone();
        tokio::spawn(async move {
            for mut earlier in waits_for {
                // One that is gone without a word is over too.
                let _ = earlier.wait_for(|is_over| *is_over).await;
            }
            let _nobody_listens = events.send(Event::Began(at));
            let began = Instant::now();
            let finding = bounded(check).await;
            let _nobody_listens = events.send(Event::Ended(at, finding, began.elapsed()));
            over.send_replace(true);
        });
    }
    drop(events);
    while let Some(event) = heard.recv().await {
        match event {
            Event::Began(at) => tell(Progress::Began(&ended[at].name)),
            Event::Ended(at, finding, took) => {
                tell(Progress::Ended(&ended[at].name, &finding));
                ended[at].finding = finding;
                ended[at].took = took;
            }
        }
    }
    judge(ended, began.elapsed())
}

async fn bounded(check: Check) -> Finding {
    let limit = check.limit;
    // On a task of its own a mistake of ours ends the check alone.
    let task = tokio::spawn(check.work);
    let cut_off = task.abort_handle();
    match timeout(limit, task).await {
        Ok(Ok(finding)) => finding,
        Ok(Err(_)) => Finding::failed(
            "the check itself broke off, by a mistake in hallpass",
            "report it with the output of hallpass doctor --json",
        )
        .explained_by::<String>([]),
        Err(_) => {
            cut_off.abort();
            Finding::failed(
                format!("there was no result within {} s", limit.as_secs_f32()),
                "something on the way answers too slowly or not at all; run it once more",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::doctor::{Stage, State};

    const LONG: Duration = Duration::from_secs(60);

    fn check(name: &'static str, work: impl Future<Output = Finding> + Send + 'static) -> Check {
        Check::new(Stage::Target, name, LONG, work)
    }

    #[tokio::test]
    async fn checks_run_side_by_side_and_those_that_rest_on_others_after_them() {
        // Each of the first two waits for the other one: one after the other they would never end.
        let both = Arc::new(tokio::sync::Barrier::new(2));
        let order = Arc::new(Mutex::new(Vec::new()));
        let meet = |name: &'static str| {
            let (both, order) = (both.clone(), order.clone());
            check(name, async move {
                both.wait().await;
                order.lock().unwrap().push(name);
                Finding::fine("met")
            })
        };
        let noted = order.clone();
        let last = check("c", async move {
            noted.lock().unwrap().push("c");
            Finding::fine("last")
        });
        let mut told = Vec::new();
        let checks = vec![meet("a"), meet("b"), last.rests_on(["a", "b", "nobody"])];
        let report = examine(checks, |progress| told.push(format!("{progress:?}"))).await;
        assert_eq!(order.lock().unwrap().last(), Some(&"c"));
        assert_eq!((told.len(), report.has_failed()), (6, false));
        let names: Vec<&str> = report.entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"], "the order is that of the list, whoever ended first");
    }

    #[tokio::test]
    async fn a_check_that_hangs_is_cut_off_and_one_that_panics_is_told_of() {
        let hanging = Check { limit: Duration::from_millis(20), ..check("hangs", std::future::pending()) };
        let panicking = check("panics", async { panic!("on purpose") });
        let report = examine(vec![hanging, panicking], |_| {}).await;
        let said: Vec<_> = report.entries.iter().map(|entry| (entry.state, entry.says.as_str())).collect();
        assert_eq!(said[0], (State::Failed, "there was no result within 0.02 s"));
        assert!(said[1].0 == State::Failed && said[1].1.contains("mistake in hallpass"), "{said:?}");
    }
}
