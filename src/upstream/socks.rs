//! A tunnel through a SOCKS upstream; no HTTP is spoken with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::attempts::Patience;
use super::lockout::NoLeave;
use super::stream::Stream;
use super::{ConnectCause, Upstream, Upstreams};
use crate::address::Target;
use crate::auth::lockout::{Leave, Proof, Stake, Verdict};
use crate::auth::{MechanismError, Refusal, Rejection, Scheme, Start};
use crate::http1::{ReadError, Wire};
use crate::socks::client::{Handshake, SocksError, Step, login};

impl Upstreams {
    /// What the target sent together with the last answer stands in the wire's buffer. The scheme is Basic where user
    /// and password were shown: it is the same proof, and allowed by the same word.
    pub(super) async fn through_socks(
        &self,
        upstream: &Upstream,
        patience: Patience,
        target: &Target,
    ) -> Result<(Wire<Stream>, Option<Scheme>), ConnectCause> {
        let mut wire = self.dial(upstream, patience).await?.wire;
        let (proved, began) = (AtomicBool::new(false), Instant::now());
        let shaking = self.shake_socks(upstream, &mut wire, target, &proved);
        let outcome = timeout(self.handshake_timeout, shaking).await.map_err(|_| self.timed_out(&proved))?;
        // Nobody said whether the secret is good: nobody else is shown it then.
        if matches!(outcome, Err(ConnectCause::Broken(_))) && proved.load(Ordering::Relaxed) {
            return Err(Refusal::Broken.into());
        }
        let scheme = outcome?;
        let logons = self.live.logons();
        match scheme {
            Some(scheme) => logons.accepted(&upstream.endpoint, Start::Scheme(scheme)),
            None => logons.open(&upstream.endpoint),
        }
        logons.shaken(&upstream.endpoint, scheme, began.elapsed());
        Ok((wire, scheme))
    }

    async fn leave_for(&self, stake: &Arc<dyn Stake>, upstream: &Upstream) -> Result<Leave, Refusal> {
        let admitted = self.live.lockout().admit(stake, &upstream.endpoint.to_string(), Scheme::Basic).await;
        admitted.map_err(|stopped| match stopped {
            NoLeave::Refused(refusal) => refusal,
            NoLeave::Unreadable(error) => Refusal::NoCredential(error.lacking()),
        })
    }

    async fn shake_socks(
        &self,
        upstream: &Upstream,
        wire: &mut Wire<Stream>,
        target: &Target,
        proved: &AtomicBool,
    ) -> Result<Option<Scheme>, ConnectCause> {
        let granted = self.mechanisms.login(&upstream.endpoint);
        let mut handshake = Handshake::new(upstream.endpoint.protocol, target, granted.is_ok())?;
        let mut reason = granted.as_ref().err().map(MechanismError::lacking);
        let mut granted = granted.ok();
        let mut scheme = None;
        let mut leave = None;
        send(wire, &handshake.opening()).await?;
        loop {
            let (used, step) = match handshake.step(&wire.buffer) {
                Ok(step) => step,
                Err(SocksError::Rejected) => {
                    judge(leave.take(), Verdict::Rejected).await;
                    let rejected = Refusal::Rejected { scheme: Scheme::Basic, why: Rejection::Unsaid };
                    return Err(self.refused(upstream, rejected));
                }
                Err(SocksError::NoMethod) => {
                    let reason = reason.take().unwrap_or_else(|| "the upstream takes no password".into());
                    return Err(Refusal::NoCredential(reason).into());
                }
                Err(error) => match leave.take() {
                    // What was shown may have been judged: nobody else is shown it then.
                    Some(unjudged) => {
                        unjudged.permit().lose();
                        return Err(Refusal::Broken.into());
                    }
                    None => return Err(error.into()),
                },
            };
            let _ = wire.buffer.split_to(used);
            match step {
                Step::More => {
                    receive(wire)
                        .await
                        .inspect_err(|_| leave.iter().for_each(|leave: &Leave| leave.permit().lose()))?;
                }
                Step::Send(bytes) => {
                    // Whoever answers a log-in with the next step has found it good.
                    proved.store(false, Ordering::Relaxed);
                    judge(leave.take(), Verdict::Accepted).await;
                    send(wire, &bytes).await?;
                }
                Step::LogIn => {
                    let Some(granted) = granted.take() else { return Err(SocksError::NoMethod.into()) };
                    let given = self.leave_for(&granted.stake, upstream).await?;
                    let Proof::Password(password) = given.proof() else { return Err(SocksError::NoMethod.into()) };
                    let message = login(&granted.user, password)?;
                    proved.store(true, Ordering::Relaxed);
                    given.permit().show();
                    leave = Some(given);
                    scheme = Some(Scheme::Basic);
                    send(wire, &message).await?;
                }
                Step::Done => return Ok(scheme),
            }
        }
    }
}

/// A rejection is written to disk: off the runtime's threads.
async fn judge(leave: Option<Leave>, verdict: Verdict) {
    let Some(leave) = leave else { return };
    let judged = tokio::task::spawn_blocking(move || leave.permit().judge(verdict)).await;
    if judged.is_err() {
        tracing::error!("what became of a log-in is lost");
    }
}

async fn send(wire: &mut Wire<Stream>, bytes: &[u8]) -> Result<(), ConnectCause> {
    let written = async {
        wire.stream.write_all(bytes).await?;
        wire.stream.flush().await
    };
    written.await.map_err(|error| ConnectCause::Broken(error.into()))
}

async fn receive(wire: &mut Wire<Stream>) -> Result<(), ConnectCause> {
    let is_first = wire.buffer.is_empty();
    match wire.stream.read_buf(&mut wire.buffer).await {
        Ok(0) if is_first => Err(ConnectCause::Broken(ReadError::Closed)),
        Ok(0) => Err(ConnectCause::Broken(ReadError::Truncated)),
        Ok(_) => Ok(()),
        Err(error) => Err(ConnectCause::Broken(error.into())),
    }
}
