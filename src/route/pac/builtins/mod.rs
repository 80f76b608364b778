//! The functions a PAC script may call, without any script engine: arguments in, a value out.
//!
//! Arguments keep their JavaScript kind, because browsers run these functions as a library in JavaScript and odd
//! arguments (a missing host, a number) end there in a `TypeError`, in `false` or in a text as `"undefined"`.

mod addresses;
mod hosts;
mod microsoft;
mod number;
mod shell;
mod times;

use std::borrow::Cow;
use std::net::IpAddr;

use jiff::Zoned;

/// What these functions ask of the world. Each answer is limited and noted by whoever gives it.
pub trait World {
    fn resolve(&mut self, name: &str) -> Vec<IpAddr>;
    fn my_addresses(&mut self) -> Vec<IpAddr>;
    fn now(&mut self) -> Zoned;
    fn alert(&mut self, text: &str);
}

/// An argument as the script gave it; a missing one is `Undefined`.
#[derive(Debug, Clone, PartialEq)]
pub enum Arg {
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    /// Anything else, by its `toString()`.
    Object(String),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    /// Whether this regular expression, in JavaScript's own terms, matches the first argument's text.
    Matches(String),
}

/// What a browser's library would throw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thrown {
    Type(String),
    /// A bare string.
    Text(&'static str),
}

pub type Outcome = Result<Value, Thrown>;

/// One function of the library.
pub type Builtin = fn(&[Arg], &mut dyn World) -> Outcome;

/// Every function by its name, in the order of the documentation.
pub const ALL: &[(&str, Builtin)] = &[
    ("isPlainHostName", hosts::is_plain_host_name),
    ("dnsDomainIs", hosts::dns_domain_is),
    ("localHostOrDomainIs", hosts::local_host_or_domain_is),
    ("dnsDomainLevels", hosts::dns_domain_levels),
    ("shExpMatch", shell::sh_exp_match),
    ("isResolvable", addresses::is_resolvable),
    ("isInNet", addresses::is_in_net),
    ("dnsResolve", addresses::dns_resolve),
    ("convert_addr", addresses::convert_addr),
    ("myIpAddress", addresses::my_ip_address),
    ("weekdayRange", times::weekday_range),
    ("dateRange", times::date_range),
    ("timeRange", times::time_range),
    ("isResolvableEx", microsoft::is_resolvable_ex),
    ("isInNetEx", microsoft::is_in_net_ex),
    ("dnsResolveEx", microsoft::dns_resolve_ex),
    ("myIpAddressEx", microsoft::my_ip_address_ex),
    ("sortIpAddressList", microsoft::sort_ip_address_list),
    ("getClientVersion", microsoft::get_client_version),
    ("alert", alert),
];

/// Like Firefox and Chromium: the first argument only, `undefined` without any.
fn alert(args: &[Arg], world: &mut dyn World) -> Outcome {
    world.alert(&arg(args, 0).text());
    Ok(Value::Undefined)
}

fn arg(args: &[Arg], at: usize) -> &Arg {
    args.get(at).unwrap_or(&Arg::Undefined)
}

impl Arg {
    /// `String(argument)`.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Undefined => "undefined".into(),
            Self::Null => "null".into(),
            Self::Bool(value) => value.to_string().into(),
            Self::Number(value) => value.to_string().into(),
            Self::Text(text) | Self::Object(text) => text.into(),
        }
    }

    fn string(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Undefined | Self::Null | Self::Bool(_) | Self::Number(_) | Self::Object(_) => None,
        }
    }

    /// The text, where the library calls a method of strings on the argument.
    fn needed(&self, function: &str, what: &str) -> Result<&str, Thrown> {
        self.string().ok_or_else(|| Thrown::Type(format!("{function}: the {what} is {}, not a string", self.kind())))
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Undefined => "undefined",
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Object(_) => "an object",
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

#[cfg(test)]
mod tests;
