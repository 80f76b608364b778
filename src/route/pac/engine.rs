//! One QuickJS engine with one script loaded: no modules, no files, no clock but ours, limits on everything.

use std::sync::Arc;
use std::time::Duration;

use rquickjs::context::EvalOptions;
use rquickjs::context::intrinsic;
use rquickjs::{CatchResultExt, CaughtError, Context, Ctx, Exception, Function, Runtime, Value};

use super::binding;
use super::text::looks_like_a_web_page;
use super::turn::{Asked, Turn};
use super::{Limits, PacError, directive};

const PRELUDE: &str = include_str!("prelude.js");

/// Looked up at each call, because scripts replace their own function; names made by `let` count as well.
const ENTRY: &str = r#"(function (url, host) {
    return typeof FindProxyForURLEx === "function" ? FindProxyForURLEx(url, host) : FindProxyForURL(url, host);
})"#;

const HAS_ENTRY: &str = r#"typeof FindProxyForURLEx === "function" || typeof FindProxyForURL === "function""#;

/// Deep enough for any script, and well within the 2 MiB of a thread.
const STACK: usize = 512 * 1024;

/// Longer texts of errors are cut.
const SHOWN: usize = 300;

/// What PAC scripts may use of the language. Not there: `performance` (a clock), `WeakRef`, `DOMException`.
type Language = (
    intrinsic::Date,
    intrinsic::Eval,
    intrinsic::RegExpCompiler,
    intrinsic::RegExp,
    intrinsic::Json,
    intrinsic::Proxy,
    intrinsic::MapSet,
    intrinsic::TypedArrays,
    intrinsic::Promise,
);

/// What a function returned, and what it asked for.
pub struct Returned {
    pub text: Result<String, PacError>,
    pub asked: Asked,
}

pub struct Engine {
    /// Holds the function to call as its only userdata.
    context: Context,
    runtime: Runtime,
    turn: Arc<Turn>,
    /// Its last run was cut off in the middle, so its globals may be anything.
    broken: bool,
    /// What the script asked for while it was loaded.
    pub loaded: Asked,
}

impl Engine {
    /// Runs the script's top level, until `deadline` at most.
    pub fn load(script: &str, limits: Limits, turn: Turn, deadline: Duration) -> Result<Self, PacError> {
        let turn = Arc::new(turn);
        let runtime = Runtime::new().map_err(|_| PacError::OutOfMemory)?;
        runtime.set_memory_limit(limits.memory);
        runtime.set_max_stack_size(STACK);
        runtime.set_interrupt_handler(Some(Box::new({
            let turn = Arc::clone(&turn);
            move || turn.is_over()
        })));
        let context = Context::custom::<Language>(&runtime).map_err(|_| PacError::OutOfMemory)?;
        turn.begin(deadline);
        context.with(|ctx| {
            prepare(&ctx, &turn).catch(&ctx).map_err(|error| failure(&turn, &error, ""))?;
            run(&ctx, &turn, script)
        })?;
        let loaded = turn.asked();
        Ok(Self { context, runtime, turn, broken: false, loaded })
    }

    /// Calls the script's function.
    pub fn call(&mut self, url: &str, host: &str, deadline: Duration) -> Returned {
        self.turn.begin(deadline);
        let text = self.context.with(|ctx| {
            let Some(entry) = ctx.userdata::<Function>() else { return Err(PacError::NoFunction) };
            let returned = entry.call::<_, Value>((url, host));
            let returned = returned.catch(&ctx).map_err(|error| failure(&self.turn, &error, ""))?;
            text_of(&returned)
        });
        // A script that catches what stops it is stopped all the same.
        let text = if self.turn.was_interrupted() { Err(PacError::TimedOut) } else { text };
        self.broken = matches!(text, Err(PacError::TimedOut | PacError::OutOfMemory | PacError::TooDeep));
        Returned { text, asked: self.turn.asked() }
    }

    pub fn is_broken(&self) -> bool {
        self.broken
    }

    pub fn stir(&self, with: u64) {
        self.turn.stir(with);
    }

    /// Bytes the engine holds.
    pub fn memory(&self) -> usize {
        usize::try_from(self.runtime.memory_usage().malloc_size).unwrap_or(0)
    }
}

fn prepare(ctx: &Ctx<'_>, turn: &Arc<Turn>) -> rquickjs::Result<()> {
    binding::install(ctx, turn)?;
    let prelude: Function = ctx.eval(PRELUDE)?;
    prelude.call((binding::clock(ctx, turn)?, binding::chance(ctx, turn)?))
}

fn run(ctx: &Ctx<'_>, turn: &Turn, script: &str) -> Result<(), PacError> {
    if script.contains('\0') {
        return Err(PacError::Syntax("the text holds a NUL character".into()));
    }
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some("proxy.pac".into());
    let loaded = ctx.eval_with_options::<(), _>(script, options).catch(ctx);
    loaded.map_err(|error| failure(turn, &error, script))?;
    let has_entry = ctx.eval::<bool, _>(HAS_ENTRY).catch(ctx).map_err(|error| failure(turn, &error, script))?;
    if !has_entry {
        return Err(if looks_like_a_web_page(script) { PacError::WebPage } else { PacError::NoFunction });
    }
    let entry = ctx.eval::<Function, _>(ENTRY).catch(ctx).map_err(|error| failure(turn, &error, script))?;
    ctx.store_userdata(entry).map(drop).map_err(|error| PacError::Threw(error.to_string()))
}

fn text_of(returned: &Value<'_>) -> Result<String, PacError> {
    if returned.is_undefined() || returned.is_null() {
        return Err(PacError::Nothing);
    }
    match returned.as_string() {
        // QuickJS tells numbers apart, which JavaScript does not.
        None if returned.is_number() => Err(PacError::NotAString("a number")),
        None => Err(PacError::NotAString(returned.type_name())),
        Some(text) => text.to_string().map_err(|_| PacError::NotAString("a text that is no Unicode")),
    }
}

/// Which of our errors an exception is. `script` is there while it is loaded.
fn failure(turn: &Turn, error: &CaughtError<'_>, script: &str) -> PacError {
    if turn.was_interrupted() {
        return PacError::TimedOut;
    }
    let exception = match error {
        CaughtError::Error(rquickjs::Error::Allocation) => return PacError::OutOfMemory,
        CaughtError::Error(error) => return PacError::Threw(error.to_string()),
        // When not even the exception can be allocated, nothing is thrown.
        CaughtError::Value(value) if value.is_null() || value.is_uncatchable_error() => return PacError::OutOfMemory,
        CaughtError::Value(value) => return PacError::Threw(described(value)),
        CaughtError::Exception(exception) => exception,
    };
    let message = exception.message().unwrap_or_default();
    let name = exception.get::<_, String>("name").unwrap_or_default();
    match (name.as_str(), message.as_str()) {
        ("InternalError", "out of memory") => PacError::OutOfMemory,
        ("RangeError" | "InternalError", "Maximum call stack size exceeded" | "stack overflow") => PacError::TooDeep,
        ("SyntaxError", _) if looks_like_a_web_page(script) => PacError::WebPage,
        ("SyntaxError", _) if !script.is_empty() => PacError::Syntax(located(exception, &message)),
        _ => PacError::Threw(located(exception, &format!("{name}: {message}"))),
    }
}

/// The message with the line of the script: the first place on the stack that is one.
fn located(exception: &Exception<'_>, message: &str) -> String {
    let stack = exception.stack().unwrap_or_default();
    let place = stack.lines().find_map(|line| {
        let at = line.find("proxy.pac:")? + "proxy.pac:".len();
        let number: String = line[at..].chars().take_while(char::is_ascii_digit).collect();
        (!number.is_empty()).then_some(number)
    });
    let message = directive::shortened(message, SHOWN);
    place.map_or(message.clone(), |line| format!("{message} (line {line})"))
}

fn described(thrown: &Value<'_>) -> String {
    let text = thrown.get::<rquickjs::Coerced<String>>().map_or_else(|_| thrown.type_name().into(), |text| text.0);
    directive::shortened(&text, SHOWN)
}
