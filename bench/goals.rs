//! Where hallpass wants to be, and whether it is there.

use std::fmt::Write as _;

use crate::results::{Results, Unit};

pub struct Goal {
    pub case: &'static str,
    pub metric: &'static str,
    pub unit: Unit,
    pub bound: Bound,
}

/// What the figure is held against.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// So many times the best of these relays, or more.
    AtLeast(f64, &'static [&'static str]),
    /// So many times the best of these relays, or less.
    AtMost(f64, &'static [&'static str]),
    /// So many times another figure of our own, or less.
    AtMostOwn(f64, &'static str),
    /// So much, or less.
    Most(f64),
}

const NTLM_RELAYS: &[&str] = &["cntlm", "px"];
/// As its manual sets it up; how it does with splice-auto the table shows.
const TCP_RELAY: &[&str] = &["haproxy"];

const fn goal(case: &'static str, metric: &'static str, unit: Unit, bound: Bound) -> Goal {
    Goal { case, metric, unit, bound }
}

const GOALS: &[Goal] = &[
    goal("connect-ntlm", "1 client", Unit::PerSecond, Bound::AtLeast(3.0, NTLM_RELAYS)),
    goal("connect-ntlm", "1 client, p99", Unit::Milliseconds, Bound::AtMost(1.0 / 3.0, NTLM_RELAYS)),
    goal("connect-ntlm", "16 clients", Unit::PerSecond, Bound::AtLeast(3.0, NTLM_RELAYS)),
    goal("connect-ntlm", "16 clients, p99", Unit::Milliseconds, Bound::AtMost(1.0 / 3.0, NTLM_RELAYS)),
    goal("connect-no-auth", "16 clients", Unit::PerSecond, Bound::AtLeast(0.8, TCP_RELAY)),
    goal("get", "16 clients", Unit::PerSecond, Bound::AtLeast(20.0, &["cntlm"])),
    goal("get", "16 clients", Unit::PerSecond, Bound::AtLeast(0.5, TCP_RELAY)),
    goal("download", "1 stream", Unit::GibPerSecond, Bound::AtLeast(1.3, TCP_RELAY)),
    goal("download", "1 stream", Unit::CpuPerGib, Bound::AtMost(0.55, TCP_RELAY)),
    goal("download", "8 streams", Unit::GibPerSecond, Bound::AtLeast(1.3, TCP_RELAY)),
    goal("download", "8 streams", Unit::CpuPerGib, Bound::AtMost(0.55, TCP_RELAY)),
    goal("upload", "1 stream", Unit::GibPerSecond, Bound::AtLeast(1.3, TCP_RELAY)),
    goal("upload", "1 stream", Unit::CpuPerGib, Bound::AtMost(0.55, TCP_RELAY)),
    goal("upload", "8 streams", Unit::GibPerSecond, Bound::AtLeast(1.3, TCP_RELAY)),
    goal("upload", "8 streams", Unit::CpuPerGib, Bound::AtMost(0.55, TCP_RELAY)),
    goal("sse", "tunnel, p50", Unit::Milliseconds, Bound::AtMost(1.0, TCP_RELAY)),
    goal("sse", "tunnel, p99", Unit::Milliseconds, Bound::AtMost(1.0, TCP_RELAY)),
    goal("delay-answers", "NTLM CONNECT, p50", Unit::Milliseconds, Bound::Most(43.0)),
    goal("delay-answers", "NTLM kept warm CONNECT, p50", Unit::Milliseconds, Bound::Most(23.0)),
    goal("delay-line", "NTLM CONNECT, p50 in round trips of 20 ms", Unit::Count, Bound::Most(2.2)),
    goal("delay-line", "NTLM kept warm CONNECT, p50 in round trips of 20 ms", Unit::Count, Bound::Most(1.2)),
    goal("delay-line", "Kerberos CONNECT, p50 in round trips of 20 ms", Unit::Count, Bound::Most(1.2)),
    goal("idle", "memory of a tunnel", Unit::Kib, Bound::Most(2.5)),
    // Two; a connection more or less that is dialled ahead is no tunnel's.
    goal("idle", "descriptors of a tunnel", Unit::Count, Bound::Most(2.01)),
    // What a timer now and then takes, where the clock of the kernel sees it at all.
    goal("idle", "all at rest", Unit::CpuPercent, Bound::Most(0.1)),
    goal("many", "memory of all", Unit::Mib, Bound::Most(40.0)),
    goal("many", "CONNECT, p99", Unit::Milliseconds, Bound::AtMostOwn(1.5, "CONNECT without them, p99")),
    goal("start", "memory", Unit::Mib, Bound::Most(6.0)),
    goal("start", "until the first answer", Unit::Milliseconds, Bound::Most(25.0)),
    goal("start", "program", Unit::Mib, Bound::Most(9.0)),
];

/// A line for each goal whose figures are there: the goal, the figure, met or not. `ours` is a relay's name.
pub fn table(results: &Results, ours: &str) -> String {
    let mut text = String::new();
    for goal in GOALS {
        let Some((words, figure, met)) = judge(goal, results, ours) else { continue };
        let name = format!("{}: {}", goal.case, goal.unit.of(goal.metric));
        let verdict = if met { "met" } else { "NOT MET" };
        let _ = writeln!(text, "{name:<66} {words:<40} {figure:>9}   {verdict}");
    }
    text
}

fn judge(goal: &Goal, results: &Results, ours: &str) -> Option<(String, String, bool)> {
    let value = |relay: &str| results.value(goal.case, goal.metric, goal.unit, relay);
    let our = value(ours)?;
    let best = |relays: &[&str]| {
        let values = relays.iter().filter_map(|relay| value(relay));
        values.reduce(if goal.unit.more_is_better() { f64::max } else { f64::min })
    };
    match goal.bound {
        Bound::AtMostOwn(times, metric) => {
            let ratio = our / results.value(goal.case, metric, goal.unit, ours)?;
            Some((format!("at most {times:.2} x {metric}"), format!("{ratio:.2} x"), ratio <= times))
        }
        Bound::Most(most) => Some((format!("at most {most}"), format!("{our:.2}"), our <= most)),
        Bound::AtLeast(times, relays) => {
            let ratio = our / best(relays)?;
            Some((format!("at least {times:.2} x {}", relays.join(" or ")), format!("{ratio:.2} x"), ratio >= times))
        }
        Bound::AtMost(times, relays) => {
            let ratio = our / best(relays)?;
            Some((format!("at most {times:.2} x {}", relays.join(" or ")), format!("{ratio:.2} x"), ratio <= times))
        }
    }
}
