//! Questions to whoever sits at the terminal, and passwords that come by stdin instead.

use std::io::{self, BufRead, ErrorKind, IsTerminal, Read};

use anyhow::{Context as _, anyhow};
use tokio::runtime::Runtime;
use tokio::signal::ctrl_c;
use zeroize::Zeroizing;

use super::output;
use crate::secret::Secret;

/// No password is longer; a longer line is some other file.
const MAX_PASSWORD: u64 = 64 * 1024;

/// Somebody who can be asked. While nothing is asked, Ctrl-C ends the process as ever, until it was caught once.
pub struct Terminal<'a> {
    runtime: &'a Runtime,
}

impl<'a> Terminal<'a> {
    /// `None`: nobody is there.
    pub fn open(runtime: &'a Runtime) -> Option<Self> {
        io::stdin().is_terminal().then_some(Self { runtime })
    }

    /// One line, without blanks around it. At Ctrl-C [`ErrorKind::Interrupted`], at the end of the input
    /// [`ErrorKind::UnexpectedEof`].
    pub fn line(&self, question: &str) -> io::Result<String> {
        let read = || {
            let mut line = String::new();
            io::stdin().read_line(&mut line).map(|length| (length, line))
        };
        // Whoever waits for a line cannot be called back; that thread ends with the process.
        let (length, line) = self.unless_interrupted(async {
            output::ask(question);
            tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(io::Error::other(error)))
        })??;
        match length {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim().to_owned()),
        }
    }

    /// From the terminal itself, without echo, once: a wrong one is found out by the first logon, which is only one.
    pub fn password(&self, question: &str) -> io::Result<Secret> {
        // Ctrl-C must not end us before the terminal shows again what is typed: it is a key like others there, and
        // whoever asks hears of it.
        self.runtime.block_on(async {
            let _nobody_has_pressed_it_yet = tokio::time::timeout(std::time::Duration::ZERO, ctrl_c()).await;
        });
        rpassword::prompt_password(question).map(Secret::new)
    }

    /// Something that takes its time, given up at Ctrl-C.
    pub fn unless_interrupted<T>(&self, work: impl Future<Output = T>) -> io::Result<T> {
        self.runtime.block_on(async {
            tokio::select! {
                // In this order, so that the key is caught before the question can be answered.
                biased;
                _ = ctrl_c() => Err(ErrorKind::Interrupted.into()),
                done = work => Ok(done),
            }
        })
    }
}

/// Who gave no answer wants nothing to happen: `nothing` says what has not.
pub fn unanswered(error: io::Error, nothing: &str) -> anyhow::Error {
    if error.kind() == ErrorKind::Interrupted {
        return anyhow!("interrupted: {nothing}");
    }
    if error.kind() == ErrorKind::UnexpectedEof {
        return anyhow!("the input has ended: {nothing}");
    }
    anyhow::Error::from(error).context("cannot ask here: --password-stdin reads the password from stdin")
}

/// One line of stdin, for those who never want to be asked.
pub fn password_of_stdin() -> anyhow::Result<Secret> {
    let mut line = Zeroizing::new(Vec::with_capacity(1024));
    let read = io::stdin().lock().take(MAX_PASSWORD + 1).read_until(b'\n', &mut line);
    let length = read.context("cannot read the password from stdin")?;
    if length as u64 > MAX_PASSWORD {
        return Err(anyhow!("the line on stdin is longer than 64 KiB: that is no password"));
    }
    for end in [b'\n', b'\r'] {
        if line.last() == Some(&end) {
            line.pop();
        }
    }
    let text = std::str::from_utf8(&line).map_err(|_| anyhow!("the password on stdin is not UTF-8 text"))?;
    Ok(Secret::new(text))
}
