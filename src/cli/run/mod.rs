//! `hallpass run`: one program with its proxy set to the relay, for it and what it starts alone.

mod chosen;
mod environment;
mod private;
mod program;
mod system;

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use super::flags::Flags;
use super::output;
use crate::config;
use crate::credential::Source;
use crate::process::installed::Missing;
use crate::process::running;
use crate::process::tree::{Ending, Event, Tree};
use crate::tools::bundle::Certificates;
use environment::Told;
use private::Private;
use program::Program;

/// As shells say that a program is there and cannot be run, and that there is none.
const EXIT_NOT_RUNNABLE: u8 = 126;
const EXIT_NOT_FOUND: u8 = 127;

/// What is waited for is said when it is still there after this.
const UNTIL_SAID: Duration = Duration::from_secs(1);

/// How often it is looked whether the relay has ended, where nobody tells.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    flags: Flags,
    /// Certificates that the program is to trust as well, as PEM: those of a company that inspects TLS. A file with the
    /// system's too is made for programs that can have only one.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Have the system's own settings name the relay too while the program runs, for programs that ignore variables. What
    /// was there is put back afterwards, whatever ends us.
    #[arg(long)]
    system: bool,
    /// Start an installed program by its name, with the arguments that follow: one of the menu of Linux, a package or an
    /// entry of the registry of Windows, an application of macOS.
    #[arg(long, value_name = "NAME")]
    app: Option<String>,
    /// Be the relay of another `hallpass run`.
    #[arg(long, hide = true)]
    only_relay: bool,
    /// The program and its arguments; what begins with a dash belongs to it.
    #[arg(value_name = "CMD", trailing_var_arg = true, required_unless_present_any = ["only_relay", "app"])]
    command: Vec<OsString>,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.only_relay {
        return private::served::run(&arguments.flags);
    }
    let told = told(arguments)?;
    let program = match Program::find(arguments.app.as_deref(), &arguments.command) {
        Ok(Some(program)) => program,
        Ok(None) => return Ok(ExitCode::SUCCESS),
        Err(missing) => return Ok(not_found(&missing)),
    };
    match chosen::running(&arguments.flags) {
        Some(relay) => run_beside(relay, &program, arguments.system, &told, None),
        None => {
            let private = Private::start(&before_the_program(arguments))?;
            run_beside(private.addr, &program, arguments.system, &told, Some(private))
        }
    }
}

fn not_found(missing: &Missing) -> ExitCode {
    output::complain(format_args!("hallpass: {missing}"));
    ExitCode::from(match missing {
        Missing::Unknown { .. } => EXIT_NOT_FOUND,
        Missing::Several { .. } | Missing::NotStartable { .. } => EXIT_NOT_RUNNABLE,
    })
}

/// Whatever is wrong with it is said before anything is started.
fn told(arguments: &Arguments) -> anyhow::Result<Told> {
    let config = config::load(&arguments.flags.inputs())?.config;
    let token = config.access.token.as_ref().map(Source::read).transpose();
    let token = token.context("the relay wants a token ([access]), which the program would have to show")?;
    if arguments.system && token.is_some() {
        output::complain(
            "hallpass: the relay wants a token ([access]), and the system's settings have no place for it: programs that go \
             by them must ask for it, or are refused",
        );
    }
    let certificates = arguments.ca.as_deref();
    let certificates = certificates.map(|extra| Certificates::with(config.state_directory.as_deref(), extra));
    Ok(Told { token, certificates: certificates.transpose()? })
}

/// Our own arguments without the program's.
fn before_the_program(arguments: &Arguments) -> Vec<OsString> {
    let mut own: Vec<OsString> = std::env::args_os().skip(1).collect();
    own.truncate(own.len().saturating_sub(arguments.command.len()));
    if own.last().is_some_and(|last| last == "--") {
        own.pop();
    }
    own
}

/// The program's whole life, with the relay there.
fn run_beside(
    relay: SocketAddr,
    program: &Program,
    in_the_system: bool,
    told: &Told,
    private: Option<Private>,
) -> anyhow::Result<ExitCode> {
    let mut command = program.command();
    if let Some(remark) = program.remark() {
        output::complain(format_args!("hallpass: {remark}"));
    }
    warn_of_the_one_that_runs(&program.name, relay);
    environment::set(&mut command, relay, told);
    // What is to hold while the program and what it started run begins here, before the tree: it counts no child of ours
    // that is there already.
    let system = in_the_system.then(|| system::SystemProxy::set(relay)).transpose()?;
    // An installer may end while what it started still downloads.
    let whole = private.is_some() || system.is_some();
    let mut tree = match Tree::start(&mut command, whole) {
        Ok(tree) => tree,
        Err(error) => {
            let code = not_started(program, &error);
            private.map(Private::end).transpose()?;
            return Ok(code);
        }
    };
    let life = live(&mut tree, &program.name, whole)?;
    // And it ends here.
    drop(system);
    if let Some(mut private) = private {
        if life.is_cut_short {
            private.finish_now();
        }
        finish(private, &mut tree)?;
    }
    Ok(life.ending.exit_code())
}

/// It may be meant so: another window of an editor is no reason to refuse.
fn warn_of_the_one_that_runs(program: &OsString, relay: SocketAddr) {
    if let Some(one) = running::instance_of(program, &format!("http://{relay}")) {
        output::complain(format_args!(
            "hallpass: {} runs already (pid {}): what is started now is handed over to it, and it keeps the proxy it was \
             started with. Quit it first, its icon in the tray too, then run this again.",
            one.name, one.pid
        ));
    }
}

struct Life {
    ending: Ending,
    /// Somebody would not wait for all that the program has started.
    is_cut_short: bool,
}

/// Until the program has ended and, if they are waited for, all that it started.
fn live(tree: &mut Tree, program: &OsString, whole: bool) -> anyhow::Result<Life> {
    let ending = loop {
        match tree.next(None).context("cannot wait for the program")? {
            Some(Event::Ended(ending)) => break ending,
            Some(Event::Empty | Event::Interrupted) | None => {}
        }
    };
    if !whole {
        return Ok(Life { ending, is_cut_short: false });
    }
    let mut patience = Some(UNTIL_SAID);
    loop {
        match tree.next(patience).context("cannot wait for what the program started")? {
            Some(Event::Empty) => return Ok(Life { ending, is_cut_short: false }),
            Some(Event::Interrupted) => return Ok(Life { ending, is_cut_short: true }),
            None if patience.take().is_some() => {
                output::complain(format_args!(
                    "hallpass: {} has ended; its relay stays for {}, which it started. Ctrl-C ends waiting.",
                    program.display(),
                    few(&tree.left_behind())
                ));
            }
            Some(Event::Ended(_)) | None => {}
        }
    }
}

/// The first of them, and how many more there are.
fn few(names: &[String]) -> String {
    match names {
        [] => "programs".into(),
        [one] => one.clone(),
        [one, other] => format!("{one} and {other}"),
        [one, other, more @ ..] => format!("{one}, {other} and {} more", more.len()),
    }
}

/// Nobody of the tree lives: what is still connected are others whom it told of the relay.
fn finish(mut private: Private, tree: &mut Tree) -> anyhow::Result<()> {
    private.finish_when_done();
    let mut looks = 0u32;
    while !private.has_ended() {
        match tree.next(Some(LOOK)).context("cannot wait for the relay")? {
            Some(Event::Interrupted) => private.finish_now(),
            Some(Event::Ended(_) | Event::Empty) | None => looks += 1,
        }
        if looks * LOOK == UNTIL_SAID {
            output::complain("hallpass: waiting for the last connections to the relay to close. Ctrl-C ends waiting.");
        }
    }
    if let Some(failures) = private.failures() {
        output::complain(format_args!("hallpass: {failures}"));
    }
    Ok(())
}

fn not_started(program: &Program, error: &io::Error) -> ExitCode {
    let name = program.name.display();
    if error.kind() == io::ErrorKind::NotFound {
        output::complain(format_args!("hallpass: there is no program {name}"));
        return ExitCode::from(EXIT_NOT_FOUND);
    }
    let hint = program.if_denied().filter(|_| error.kind() == io::ErrorKind::PermissionDenied);
    let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    output::complain(format_args!("hallpass: cannot start {name}: {error}{hint}"));
    ExitCode::from(EXIT_NOT_RUNNABLE)
}
