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
            (exchange, opened) = if exchange.opening_may_block() {
                let line = line.clone();
                think(exchange, move |exchange| exchange.opening(&line)).await?
            } else {
                at_once(exchange, |exchange| exchange.opening(line))?
            };
            match opened {
                Ok(Opening::Bare) => return Ok((exchange, None)),
                Ok(Opening::With(credentials)) => return Ok((exchange, Some(credentials))),
                Ok(Opening::Wait(start)) => Box::pin(self.ask_leave(upstream, &mut exchange, start)).await?,
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
            (exchange, action) = if exchange.answer_may_block() {
                let (challenges, line) = (challenges.to_vec(), line.clone());
                let answer = move |exchange: &mut Exchange| {
                    exchange.on_challenge(challenges.iter().map(Vec::as_slice), persists, &line)
                };
                think(exchange, answer).await?
            } else {
                at_once(exchange, |exchange| {
                    exchange.on_challenge(challenges.iter().map(Vec::as_slice), persists, line)
                })?
            };
            match action {
                Action::Wait(start) => Box::pin(self.ask_leave(upstream, &mut exchange, start)).await?,
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
    exchange: Exchange,
    step: impl FnOnce(&mut Exchange) -> T + Send + 'static,
) -> Result<(Exchange, T), ConnectCause> {
    let thought = tokio::task::spawn_blocking(move || at_once(exchange, step)).await;
    thought.unwrap_or(Err(ConnectCause::Mistake))
}

/// What is left of an exchange after a panic is dropped.
fn at_once<T>(mut exchange: Exchange, step: impl FnOnce(&mut Exchange) -> T) -> Result<(Exchange, T), ConnectCause> {
    let step = move || {
        let result = step(&mut exchange);
        (exchange, result)
    };
    catch_unwind(AssertUnwindSafe(step)).map_err(|_| ConnectCause::Mistake)
}
