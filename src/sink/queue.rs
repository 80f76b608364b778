//! Lines on their way to the thread that writes them, one behind the other in memory that is used again and again: what one
//! thread allocates for each line and another one frees makes both wait for each other in the allocator.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Room that a batch keeps when it is empty; a slow sink's crowd is not to stay for ever.
const MOST_KEPT: usize = 64 * 1024;

/// Some lines.
#[derive(Debug, Default)]
pub(super) struct Batch {
    text: String,
    /// Where each of them ends.
    ends: Vec<usize>,
}

/// The way in. Once it is dropped, what waits is the last.
#[derive(Debug)]
pub(super) struct Inlet(Arc<Queue>);

#[derive(Debug)]
pub(super) struct Outlet(Arc<Queue>);

#[derive(Debug)]
struct Queue {
    most: usize,
    state: Mutex<State>,
    come: Condvar,
    /// Lines that were taken and are not written yet.
    in_hand: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    waiting: Batch,
    closed: bool,
    /// Whoever takes them waits to be told of the next one.
    asleep: bool,
}

/// For so many lines at most, those in the hands of whoever writes them among them.
pub(super) fn queue(most: usize) -> (Inlet, Outlet) {
    let queue = Queue { most, state: Mutex::default(), come: Condvar::new(), in_hand: AtomicUsize::new(0) };
    let queue = Arc::new(queue);
    (Inlet(queue.clone()), Outlet(queue))
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn lines(&self) -> impl Iterator<Item = &str> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| &self.text[begin..*end])
    }

    fn push(&mut self, line: &str) {
        self.text.push_str(line);
        self.ends.push(self.text.len());
    }

    fn clear(&mut self) {
        if self.text.capacity() > MOST_KEPT {
            *self = Self::default();
        }
        self.text.clear();
        self.ends.clear();
    }
}

impl Inlet {
    /// False: there is no room for it. Never blocks for longer than another line takes.
    pub fn send(&self, line: &str) -> bool {
        let mut state = self.0.lock();
        if state.waiting.ends.len() + self.0.in_hand.load(Ordering::Relaxed) >= self.0.most {
            return false;
        }
        state.waiting.push(line);
        if std::mem::take(&mut state.asleep) {
            self.0.come.notify_one();
        }
        true
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.come.notify_one();
    }
}

impl Outlet {
    /// What waits, in place of what `batch` held. False: there is nothing, and nothing will come.
    pub fn take(&self, batch: &mut Batch) -> bool {
        batch.clear();
        let mut state = self.0.lock();
        std::mem::swap(&mut state.waiting, batch);
        self.0.in_hand.store(batch.ends.len(), Ordering::Relaxed);
        !batch.is_empty() || !state.closed
    }

    /// One of those that were taken is written, or lost.
    pub fn done_with_one(&self) {
        self.0.in_hand.fetch_sub(1, Ordering::Relaxed);
    }

    /// Until there is a line, or none will come.
    pub fn wait(&self) {
        let mut state = self.0.lock();
        while state.waiting.is_empty() && !state.closed {
            state.asleep = true;
            state = self.0.come.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.asleep = false;
    }
}

impl Queue {
    /// A panic elsewhere leaves it whole: a line is there once its end is.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_as_they_went_in_and_after_the_last_one_it_is_over() {
        let (inlet, outlet) = queue(3);
        let mut batch = Batch::default();
        assert!(outlet.take(&mut batch) && batch.is_empty());
        assert!(inlet.send("one\n") && inlet.send("two\nin two\n"));
        assert!(outlet.take(&mut batch));
        assert_eq!(batch.lines().collect::<Vec<_>>(), ["one\n", "two\nin two\n"]);
        // The two are still in somebody's hands.
        assert!(inlet.send("three\n") && !inlet.send("four\n"));
        outlet.done_with_one();
        assert!(inlet.send("five\n"));
        drop(inlet);
        outlet.wait();
        assert!(outlet.take(&mut batch));
        assert_eq!(batch.lines().collect::<Vec<_>>(), ["three\n", "five\n"]);
        assert!(!outlet.take(&mut batch));
    }

    #[test]
    fn whoever_waits_is_told_of_the_next_line() {
        let (inlet, outlet) = queue(1);
        let taker = std::thread::spawn(move || {
            let mut batch = Batch::default();
            while batch.is_empty() {
                outlet.wait();
                outlet.take(&mut batch);
            }
            batch.lines().map(String::from).collect::<Vec<_>>()
        });
        assert!(inlet.send("one\n"));
        assert_eq!(taker.join().unwrap(), ["one\n"]);
    }
}
