//! `password_command`: a program that prints a secret.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::{MAX_SECRET, SecretError};

/// A program that takes longer waits for a person, who is not there.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// How often an ended program is looked for once its output has ended.
const POLL: Duration = Duration::from_millis(5);

/// The first line of what the program prints, as mail and git tools take it.
pub(super) fn output(argv: &[String]) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    run(argv, LIMIT)
}

fn run(argv: &[String], limit: Duration) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let program = argv.first().cloned().unwrap_or_default();
    let deadline = Instant::now() + limit;
    let mut child = start(argv).map_err(|cause| SecretError::Start { program: program.clone(), cause })?;
    let printed = read_until(&mut child, deadline);
    let ended = printed.is_some().then(|| wait_until(&mut child, deadline)).flatten();
    let (Some(mut bytes), Some(status)) = (printed, ended) else {
        stop(child);
        return Err(SecretError::Slow { program });
    };
    if !status.success() {
        return Err(SecretError::Failed { program, status: status.to_string() });
    }
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    bytes.truncate(end);
    if bytes.ends_with(b"\r") {
        bytes.pop();
    }
    Ok(bytes)
}

fn start(argv: &[String]) -> std::io::Result<Child> {
    let (program, arguments) = argv.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // Another program has no business with our settings, and least of all with our password.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HALLPASS_") {
            command.env_remove(name);
        }
    }
    command.spawn()
}

/// What the program prints, or `None` if it has not closed its output in time.
fn read_until(child: &mut Child, deadline: Instant) -> Option<Zeroizing<Vec<u8>>> {
    let stdout = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    // Only a thread can read with a deadline; it ends with the pipe.
    thread::spawn(move || {
        let mut bytes = Zeroizing::new(Vec::with_capacity(1024));
        let _cut_short = stdout.take(MAX_SECRET).read_to_end(&mut bytes);
        let _nobody_waits_any_more = sender.send(bytes);
    });
    receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
}

fn wait_until(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            Ok(None) | Err(_) => return None,
        }
    }
}

fn stop(mut child: Child) {
    let _already_gone = child.kill();
    let _reaped = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_waits_for_somebody_is_stopped() {
        let started = Instant::now();
        let commands = match cfg!(windows) {
            true => vec![vec!["ping", "-n", "30", "127.0.0.1"]],
            false => ["exec sleep 30", "exec >&-; exec sleep 30"].map(|script| vec!["/bin/sh", "-c", script]).into(),
        };
        for command in commands {
            let argv: Vec<String> = command.into_iter().map(String::from).collect();
            assert!(matches!(run(&argv, Duration::from_millis(100)), Err(SecretError::Slow { .. })));
        }
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
