//! All tasks of one server, so that stopping it stops every connection and tunnel at once.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;

/// `None` inside once stopped: what is spawned after that never runs.
#[derive(Clone)]
pub(super) struct Tasks(Arc<Mutex<Option<JoinSet<()>>>>);

impl Tasks {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Some(JoinSet::new()))))
    }

    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(tasks) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            // Finished ones are let go here, or a long-lived server would keep a corpse per connection.
            while tasks.try_join_next().is_some() {}
            tasks.spawn(task);
        }
    }

    pub fn stop(&self) {
        // Dropped outside the lock: a task's destructor may come back here.
        let tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(tasks);
    }
}
