//! The exchange's steps, with leave from the lock-out breaker where they would show a secret.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::lockout::NoLeave;
use super::{ConnectCause, Upstream, Upstreams};
use crate::auth::{Action, Exchange, Opening, RequestLine, Start};
use crate::secret::Credentials;

impl Upstreams {
    /// The exchange's first message on a connection.
    pub(super) async fn opening(
        &self,
        upstream: &Upstream,
        mut exchange: Exchange,
        line: &RequestLine,
    ) -> Result<(Exchange, Option<Credentials>), ConnectCause> {
        loop {
            let opened;
            let (first, may_block) = (line.clone(), exchange.opening_may_block());
            (exchange, opened) = think(exchange, may_block, move |exchange| exchange.opening(&first)).await?;
            match opened {
                Ok(Opening::Bare) => return Ok((exchange, None)),
                Ok(Opening::With(credentials)) => return Ok((exchange, Some(credentials))),
                Ok(Opening::Wait(start)) => self.ask_leave(upstream, &mut exchange, start).await?,
                Err(refusal) => return Err(self.refused(upstream, refusal)),
            }
        }
    }

    /// What comes after a challenge; never [`Action::Wait`].
    pub(super) async fn answer(
        &self,
        upstream: &Upstream,
        mut exchange: Exchange,
        challenges: &[Vec<u8>],
        persists: bool,
        line: &RequestLine,
    ) -> Result<(Exchange, Action), ConnectCause> {
        loop {
            let action;
            let (challenges, line, may_block) = (challenges.to_vec(), line.clone(), exchange.answer_may_block());
            (exchange, action) = think(exchange, may_block, move |exchange| {
                exchange.on_challenge(challenges.iter().map(Vec::as_slice), persists, &line)
            })
            .await?;
            match action {
                Action::Wait(start) => self.ask_leave(upstream, &mut exchange, start).await?,
                Action::Send(_) | Action::Reconnect | Action::Refuse(_) => return Ok((exchange, action)),
            }
        }
    }

    async fn ask_leave(&self, upstream: &Upstream, exchange: &mut Exchange, start: Start) -> Result<(), ConnectCause> {
        let admitted = match self.mechanisms.stake(start, &upstream.endpoint) {
            Ok(stake) => self.live.lockout().admit(&stake, &upstream.endpoint.to_string(), start.means()).await,
            Err(error) => Err(NoLeave::Unreadable(error)),
        };
        match admitted {
            Ok(leave) => exchange.allow(leave),
            Err(NoLeave::Unreadable(error)) => exchange.forgo(start, &error),
            Err(NoLeave::Refused(refusal)) => return Err(refusal.into()),
        }
        Ok(())
    }
}

/// A message may need a ticket, a key or the disk: then off the runtime's threads, which costs more than all the rest of
/// a step that needs none of them.
async fn think<T: Send + 'static>(
    mut exchange: Exchange,
    may_block: bool,
    step: impl FnOnce(&mut Exchange) -> T + Send + 'static,
) -> Result<(Exchange, T), ConnectCause> {
    let step = move || {
        let result = step(&mut exchange);
        (exchange, result)
    };
    let thought = match may_block {
        true => tokio::task::spawn_blocking(step).await.ok(),
        // What is left of an exchange after a panic is dropped, as it is there.
        false => catch_unwind(AssertUnwindSafe(step)).ok(),
    };
    thought.ok_or(ConnectCause::Mistake)
}
