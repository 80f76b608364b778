//! Tasks that the relay cannot be without: a mistake of ours in one is told, and the task begun again.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

/// A mistake that is made again at once must not take all time.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs what `begin` makes until it ends by itself; with us it is cut off.
pub(super) async fn lasting<F: Future<Output = ()> + Send + 'static>(name: &str, mut begin: impl FnMut() -> F) {
    let mut task = JoinSet::new();
    loop {
        task.spawn(begin());
        match task.join_next().await {
            Some(Err(error)) if error.is_panic() => {
                tracing::error!("{name} failed by a mistake in hallpass itself, and is begun again");
                sleep(PAUSE).await;
            }
            Some(Ok(()) | Err(_)) | None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_panics_is_begun_again_and_what_ends_is_not() {
        let begun = Arc::new(AtomicU32::new(0));
        let begin = || {
            let begun = begun.clone();
            async move { assert!(begun.fetch_add(1, Ordering::Relaxed) >= 1, "a mistake") }
        };
        lasting("this", begin).await;
        assert_eq!(begun.load(Ordering::Relaxed), 2);
    }
}
