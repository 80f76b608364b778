//! What a program of the system prints, unless it takes too long.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Settings come in milliseconds; a bus that hangs is not worth a longer start.
pub(super) const LIMIT: Duration = Duration::from_secs(2);

/// Far more than any settings.
const LARGEST: u64 = 1 << 20;

/// `None` if there is no such program or it prints nothing in time. It gets none of our own settings.
pub(super) fn output(program: &str, arguments: &[&str], limit: Duration) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HALLPASS_")) {
        command.env_remove(name);
    }
    let mut child = command.spawn().ok()?;
    let stdout = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    // Only a thread can read with a deadline; it ends with the pipe.
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _cut_short = stdout.take(LARGEST).read_to_end(&mut bytes);
        let _nobody_waits_any_more = sender.send(bytes);
    });
    let printed = receiver.recv_timeout(limit).ok();
    // Whether it closed its output or not, nothing more is wanted of it.
    let _already_gone = child.kill();
    let _reaped = child.wait();
    let text = String::from_utf8_lossy(&printed?).into_owned();
    (!text.is_empty()).then_some(text)
}
