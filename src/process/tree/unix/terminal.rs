//! Whether a shell lends us the terminal and takes it back when we stop.

use std::fs::File;

use rustix::process::{getpgrp, getsid};
use rustix::termios::tcgetpgrp;

/// We are in its foreground, and there is somebody in the session who can continue us.
pub fn is_ours_by_a_shell() -> bool {
    let Ok(terminal) = File::open("/dev/tty") else { return false };
    let group = getpgrp();
    tcgetpgrp(&terminal).is_ok_and(|foreground| foreground == group) && getsid(None).is_ok_and(|leader| leader != group)
}
