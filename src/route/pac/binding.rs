//! The functions of [`builtins`](super::builtins) as JavaScript sees them.

use std::sync::Arc;

use rquickjs::function::{Constructor, IntoJsFunc, ParamRequirement, Params, This};
use rquickjs::{Coerced, Ctx, Exception, Function, IntoJs, Object, Result, Value as Js};

use super::builtins::{self, Arg, Builtin, Thrown, Value};
use super::turn::Turn;

/// Puts every function of the library among the globals, where a script may replace them.
pub fn install(ctx: &Ctx<'_>, turn: &Arc<Turn>) -> Result<()> {
    let globals = ctx.globals();
    for (name, function) in builtins::ALL {
        let native = Native { function: *function, turn: Arc::clone(turn) };
        globals.set(*name, Function::new(ctx.clone(), native)?.with_name(name)?)?;
    }
    Ok(())
}

pub fn clock<'js>(ctx: &Ctx<'js>, turn: &Arc<Turn>) -> Result<Function<'js>> {
    let turn = Arc::clone(turn);
    Function::new(ctx.clone(), move || turn.milliseconds())
}

pub fn chance<'js>(ctx: &Ctx<'js>, turn: &Arc<Turn>) -> Result<Function<'js>> {
    let turn = Arc::clone(turn);
    Function::new(ctx.clone(), move || turn.random())
}

struct Native {
    function: Builtin,
    turn: Arc<Turn>,
}

impl<'js> IntoJsFunc<'js, ()> for Native {
    fn param_requirements() -> ParamRequirement {
        ParamRequirement::any()
    }

    fn call(&self, params: Params<'_, 'js>) -> Result<Js<'js>> {
        let ctx = params.ctx();
        let mut args = Vec::with_capacity(params.len());
        for at in 0..params.len() {
            args.push(params.arg(at).map_or(Ok(Arg::Undefined), argument)?);
        }
        match (self.function)(&args, &mut &*self.turn) {
            Ok(Value::Undefined) => Ok(Js::new_undefined(ctx.clone())),
            Ok(Value::Null) => Ok(Js::new_null(ctx.clone())),
            Ok(Value::Bool(value)) => Ok(Js::new_bool(ctx.clone(), value)),
            Ok(Value::Number(value)) => Ok(Js::new_number(ctx.clone(), value)),
            Ok(Value::Text(text)) => text.into_js(ctx),
            Ok(Value::Matches(expression)) => matches(ctx, &expression, args.first()),
            Err(Thrown::Type(message)) => Err(Exception::throw_type(ctx, &message)),
            Err(Thrown::Text(message)) => Err(ctx.throw(message.into_js(ctx)?)),
        }
    }
}

fn argument(value: Js<'_>) -> Result<Arg> {
    Ok(match value.as_string() {
        // A lone half of a surrogate pair cannot be in a host.
        Some(text) => Arg::Text(text.to_string().unwrap_or_else(|_| "\u{fffd}".into())),
        None if value.is_undefined() => Arg::Undefined,
        None if value.is_null() => Arg::Null,
        None => match (value.as_bool(), value.as_number()) {
            (Some(value), _) => Arg::Bool(value),
            (_, Some(value)) => Arg::Number(value),
            _ => Arg::Object(value.get::<Coerced<String>>()?.0),
        },
    })
}

fn matches<'js>(ctx: &Ctx<'js>, expression: &str, text: Option<&Arg>) -> Result<Js<'js>> {
    let constructor: Constructor = ctx.globals().get("RegExp")?;
    let compiled: Object = constructor.construct((expression,))?;
    let test: Function = compiled.get("test")?;
    test.call((This(compiled), text.map_or_else(|| "undefined".into(), |text| text.text().into_owned())))
}
