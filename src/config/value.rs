//! Values with units, choices, addresses: text in, value or problem out.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use super::mistake::Problem;
use ipnet::IpNet;

use crate::address::{AddressError, Endpoint, Protocol, Target};
use crate::route::network::parse_network;

/// More than any timer can mean, and far from any overflow of the clock.
const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 60 * 60);

const DURATION_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// `500ms`, `30s`, `5m`, `1h`, `2d`.
pub fn duration(text: &str) -> Result<Duration, Problem> {
    let bad = || Problem::new(format!("{text:?} is no duration")).hint("a whole number and ms, s, m, h or d: \"30s\"");
    let (number, unit) = number_and_unit(text).ok_or_else(bad)?;
    if unit.is_empty() {
        return Err(Problem::new("a duration needs a unit").hint(format!("write \"{number}s\"")));
    }
    let (_, millis) = DURATION_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
    let duration = number.checked_mul(*millis).map(Duration::from_millis).filter(|d| *d <= MAX_DURATION);
    duration.ok_or_else(|| Problem::new(format!("{text} is more than a year")).hint("\"off\" is never, where allowed"))
}

/// A time-out that is not allowed to be nothing.
pub fn positive_duration(text: &str) -> Result<Duration, Problem> {
    match text {
        "off" => Err(Problem::new("this cannot be off").hint("write a long time, such as \"1h\"")),
        _ => match duration(text)? {
            Duration::ZERO => Err(Problem::new("this cannot be zero")),
            duration => Ok(duration),
        },
    }
}

/// `off` or a time-out.
pub fn duration_or_off(text: &str) -> Result<Option<Duration>, Problem> {
    match text {
        "off" => Ok(None),
        _ => match duration(text)? {
            Duration::ZERO => Err(Problem::new("this cannot be zero").hint("\"off\" is never")),
            duration => Ok(Some(duration)),
        },
    }
}

/// `64KiB`, `16MiB`, `1GiB`, `512B`.
pub fn size(text: &str) -> Result<u64, Problem> {
    let bad = || Problem::new(format!("{text:?} is no size")).hint("a whole number and B, KiB, MiB or GiB: \"64KiB\"");
    let (number, unit) = number_and_unit(text).ok_or_else(bad)?;
    if unit.is_empty() {
        return Err(Problem::new("a size needs a unit").hint(format!("write \"{number}B\" or \"{number}KiB\"")));
    }
    let (_, bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
    number.checked_mul(*bytes).ok_or_else(bad)
}

/// The shortest way to write a duration exactly.
pub fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".into();
    }
    in_units(millis, &DURATION_UNITS)
}

/// The shortest way to write a size exactly.
pub fn show_size(bytes: u64) -> String {
    if bytes == 0 {
        return "0B".into();
    }
    in_units(bytes, &SIZE_UNITS)
}

/// A whole number within limits.
pub fn number(text: &str, from: usize, to: usize) -> Result<usize, Problem> {
    let number = text.parse().ok().filter(|number| (from..=to).contains(number));
    number.ok_or_else(|| Problem::new(format!("{text:?} is not a whole number from {from} to {to}")))
}

pub fn switch(text: &str) -> Result<bool, Problem> {
    choice(text, &[("true", true), ("false", false)])
}

/// One of a few words.
pub fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, Problem> {
    match choices.iter().find(|(word, _)| *word == text) {
        Some((_, value)) => Ok(*value),
        None => {
            let words: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
            Err(Problem::new(format!("{text:?} is none of the choices")).hint(format!("one of {}", words.join(", "))))
        }
    }
}

/// Where to listen: `127.0.0.1:3128`, `[::1]:3128`; `localhost:3128` and `3128` are both.
pub fn listen(text: &str) -> Result<Vec<SocketAddr>, Problem> {
    if text == "auto" {
        return Err(Problem::new("\"auto\" stands alone, and for listen only").hint("\"127.0.0.1:3128\""));
    }
    if let Ok(port) = text.strip_prefix("localhost:").unwrap_or(text).parse::<u16>() {
        return Ok(vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]);
    }
    let address = text
        .parse()
        .map_err(|_| Problem::new(format!("{text:?} is no address and port")).hint("\"127.0.0.1:3128\""))?;
    Ok(vec![address])
}

/// A path that means the same wherever we are started: from the root or, on Windows, from the drive on.
pub fn is_whole(path: &str) -> bool {
    path.starts_with('/') || Path::new(path).is_absolute()
}

/// `10.0.0.0/8`, or one address.
pub fn network(text: &str) -> Result<IpNet, Problem> {
    parse_network(text).ok_or_else(|| Problem::new(format!("{text:?} is no network")).hint("\"10.0.0.0/8\""))
}

/// `[http://|https://|socks5://|socks4://]HOST:PORT`. The text may hold a password, so it is never repeated.
pub fn upstream(text: &str) -> Result<Endpoint, Problem> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let protocol = match scheme.to_ascii_lowercase().as_str() {
        "http" => Protocol::Http,
        "https" => Protocol::Https,
        // Names are always the upstream's to resolve, which other programs tell by the letter.
        "socks5" | "socks5h" => Protocol::Socks5,
        "socks4" | "socks4a" => Protocol::Socks4,
        "socks" => return Err(Problem::new("which SOCKS? There are two").hint("socks5:// or socks4://")),
        _ => return Err(Problem::new("no such kind of upstream").hint("http://, https://, socks5:// or socks4://")),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) && !rest.contains('@') {
        return Err(Problem::new("an upstream has no path").hint("http://HOST:PORT"));
    }
    match Target::parse(rest, None) {
        Ok(target) => Ok(Endpoint { target, protocol }),
        Err(error) => Err(upstream_problem(&error)),
    }
}

fn upstream_problem(error: &AddressError) -> Problem {
    let problem = Problem::new(error);
    match error {
        AddressError::Userinfo => problem.hint("user and password belong in a table [credentials.NAME]"),
        AddressError::NoPort => problem.hint("http://HOST:PORT, often :8080 or :3128"),
        AddressError::EmptyHost
        | AddressError::LongHost
        | AddressError::BadCharacter(_)
        | AddressError::BadIpv6(_)
        | AddressError::Zone(_)
        | AddressError::BadPort(_) => problem.hint("http://HOST:PORT"),
    }
}

/// The digits in front and what follows them.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

fn in_units(amount: u64, units: &[(&str, u64)]) -> String {
    let unit = units.iter().find(|(_, size)| amount.is_multiple_of(*size));
    unit.map_or_else(|| amount.to_string(), |(name, size)| format!("{}{name}", amount / size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_are_shown_as_they_are_written() {
        for (text, millis) in [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("2d", 172_800_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)));
            assert_eq!(show_duration(Duration::from_millis(millis)), text);
        }
        assert_eq!(show_duration(Duration::from_millis(61_500)), "61500ms");
        assert_eq!(show_duration(Duration::from_secs(90)), "90s");
        for text in ["", "5", "s", "-1s", "1.5s", "5 s", "5sec", "5M", "99999999999999999999s", "400d", "off"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(positive_duration("0s").is_err() && positive_duration("off").is_err());
        assert_eq!(duration_or_off("off"), Ok(None));
        assert_eq!(duration("5").unwrap_err().hint.as_deref(), Some("write \"5s\""));
    }

    #[test]
    fn sizes_have_a_unit_and_are_shown_as_they_are_written() {
        for (text, bytes) in [("512B", 512), ("64KiB", 65_536), ("16MiB", 16 << 20), ("1GiB", 1 << 30)] {
            assert_eq!(size(text), Ok(bytes));
            assert_eq!(show_size(bytes), text);
        }
        for text in ["", "64", "64kb", "64KB", "64K", "-1B", "99999999999GiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_to_listen_on_has_a_port_and_no_name() {
        for (text, shown) in [
            ("127.0.0.1:3128", "127.0.0.1:3128"),
            ("127.0.0.53:1", "127.0.0.53:1"),
            ("[::1]:0", "[::1]:0"),
            ("3128", "127.0.0.1:3128 [::1]:3128"),
            ("localhost:3128", "127.0.0.1:3128 [::1]:3128"),
            ("0.0.0.0:3128", "0.0.0.0:3128"),
        ] {
            let found: Vec<String> = listen(text).unwrap().iter().map(SocketAddr::to_string).collect();
            assert_eq!(found.join(" "), shown);
        }
        for text in ["host:3128", "127.0.0.1", "auto", ":3128", "65536"] {
            assert!(listen(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_upstream_is_a_host_and_a_port() {
        for (text, shown) in [
            ("proxy.corp.example:8080", "http://proxy.corp.example:8080"),
            ("HTTP://Proxy:8080/", "http://proxy:8080"),
            ("https://proxy:3129", "https://proxy:3129"),
            ("socks5://proxy:1080", "socks5://proxy:1080"),
            ("socks5h://proxy:1080", "socks5://proxy:1080"),
            ("SOCKS4a://proxy:1080", "socks4://proxy:1080"),
            ("http://[2001:db8::1]:3128", "http://[2001:db8::1]:3128"),
        ] {
            assert_eq!(upstream(text).unwrap().to_string(), shown);
        }
        for text in ["", "http://proxy", "socks://proxy:1080", "ftp://proxy:21", "http://proxy:8080/pac", "http://:1"] {
            assert!(upstream(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_in_an_upstream_is_refused_without_being_repeated() {
        for text in ["http://alice:hunter2@proxy:8080", "http://alice:hun/ter2@proxy:8080", "alice:hunter2@proxy"] {
            let problem = upstream(text).unwrap_err();
            assert!(!format!("{problem:?}").contains("hun"), "{problem:?}");
            assert!(problem.hint.unwrap().contains("credentials"));
        }
    }
}
