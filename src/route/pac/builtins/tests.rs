//! Tables of the library: what browsers return for each call.

use std::net::IpAddr;

use jiff::Zoned;

use super::{ALL, Arg, Outcome, Thrown, Value, World};

/// A network of five names, at a moment that a test picks.
struct Still {
    now: Zoned,
    asked: Vec<String>,
    alerts: Vec<String>,
    mine: Vec<IpAddr>,
}

impl World for Still {
    fn resolve(&mut self, name: &str) -> Vec<IpAddr> {
        self.asked.push(name.into());
        let addresses = match name {
            "four.example" => "192.0.2.4",
            "six.example" => "2001:db8::6",
            "both.example" => "2001:db8::1 192.0.2.1 192.0.2.2",
            "plain" => "10.1.2.3",
            _ => "",
        };
        addresses.split_whitespace().map(|address| address.parse().unwrap()).collect()
    }

    fn my_addresses(&mut self) -> Vec<IpAddr> {
        self.mine.clone()
    }

    fn now(&mut self) -> Zoned {
        self.now.clone()
    }

    fn alert(&mut self, text: &str) {
        self.alerts.push(text.into());
    }
}

fn still(now: &str) -> Still {
    let mine = ["2001:db8::99", "10.9.8.7"].iter().map(|ip| ip.parse().unwrap()).collect();
    Still { now: now.parse().unwrap(), asked: Vec::new(), alerts: Vec::new(), mine }
}

const NOON: &str = "2026-03-18T12:30:45+01:00[+01:00]";

fn call_in(world: &mut Still, name: &str, args: &[Arg]) -> Outcome {
    let (_, function) = ALL.iter().find(|(known, _)| *known == name).unwrap();
    function(args, world)
}

/// `f(a, 'b', 3)` as written in a script, with the arguments such scripts hold.
fn call_at(now: &str, call: &str) -> Outcome {
    let (name, args) = read(call);
    call_in(&mut still(now), name, &args)
}

fn read(call: &str) -> (&str, Vec<Arg>) {
    let (name, rest) = call.split_once('(').unwrap();
    let inner = rest.strip_suffix(')').unwrap();
    let args = inner.split(", ").filter(|text| !text.is_empty()).map(|text| match text {
        "undefined" => Arg::Undefined,
        "null" => Arg::Null,
        "true" => Arg::Bool(true),
        "{}" => Arg::Object("[object Object]".into()),
        text => match text.strip_prefix('\'') {
            Some(text) => Arg::Text(text.strip_suffix('\'').unwrap().into()),
            None => Arg::Number(text.parse().unwrap()),
        },
    });
    (name, args.collect())
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

#[track_caller]
fn returns(rows: &[(&str, Value)]) {
    for (call, wanted) in rows {
        assert_eq!(call_at(NOON, call).as_ref(), Ok(wanted), "{call}");
    }
}

#[track_caller]
fn is(wanted: bool, calls: &[&str]) {
    for call in calls {
        assert_eq!(call_at(NOON, call), Ok(Value::Bool(wanted)), "{call}");
    }
}

#[test]
fn names_are_compared_as_text_and_with_case() {
    is(
        true,
        &[
            "isPlainHostName('www')",
            "isPlainHostName('')",
            "dnsDomainIs('www.example.com', '.example.com')",
            "dnsDomainIs('www.example.com', 'example.com')",
            "dnsDomainIs('badexample.com', 'example.com')",
            "dnsDomainIs('a', '')",
            "localHostOrDomainIs('www.example.com', 'www.example.com')",
            "localHostOrDomainIs('www', 'www.example.com')",
            "localHostOrDomainIs(undefined, undefined)",
        ],
    );
    is(
        false,
        &[
            "isPlainHostName('www.example.com')",
            "isPlainHostName('::1')",
            "isPlainHostName('[2001:db8::1]')",
            "dnsDomainIs('www.example.com', '.EXAMPLE.com')",
            "dnsDomainIs('example.com', '.example.com')",
            "dnsDomainIs(5, '5')",
            "dnsDomainIs('5', 5)",
            "localHostOrDomainIs('www.other.com', 'www.example.com')",
            "localHostOrDomainIs('ww', 'www.example.com')",
        ],
    );
    returns(&[
        ("dnsDomainLevels('www')", Value::Number(0.0)),
        ("dnsDomainLevels('www.example.com')", Value::Number(2.0)),
        ("dnsDomainLevels('')", Value::Number(0.0)),
    ]);
}

#[test]
fn what_a_browser_throws_for_a_missing_argument_is_thrown() {
    for call in [
        "isPlainHostName()",
        "isPlainHostName(5)",
        "dnsDomainIs()",
        "dnsDomainIs('a')",
        "dnsDomainIs(null, 'a')",
        "localHostOrDomainIs('a')",
        "localHostOrDomainIs('a', 5)",
        "dnsDomainLevels()",
        "dnsDomainLevels(7)",
        "shExpMatch('a')",
        "shExpMatch('a', 5)",
        "convert_addr()",
    ] {
        assert!(matches!(call_at(NOON, call), Err(Thrown::Type(_))), "{call}");
    }
}

#[test]
fn a_shell_pattern_covers_the_whole_text() {
    is(
        true,
        &[
            "shExpMatch('http://www.example.com/a/b', '*/a/*')",
            "shExpMatch('www.example.com', '*.example.com')",
            "shExpMatch('www.example.com', 'www.example.c?m')",
            "shExpMatch('', '')",
            "shExpMatch('', '*')",
            "shExpMatch('abcabc', '*abc')",
            "shExpMatch('aXbXc', 'a*b*c')",
            "shExpMatch('aab', '*ab**')",
            "shExpMatch(undefined, 'undef*')",
            "shExpMatch(null, 'null')",
            "shExpMatch(12, '1?')",
        ],
    );
    is(
        false,
        &[
            "shExpMatch('example.com', '*.example.com')",
            "shExpMatch('wwwXexample.com', 'www.example.com')",
            "shExpMatch('WWW.example.com', 'www.*')",
            "shExpMatch('a', '')",
            "shExpMatch('', '?')",
            "shExpMatch('abcab', '*abc')",
            "shExpMatch('aXbX', 'a*b*c')",
        ],
    );
    // What browsers hand to RegExp goes there.
    returns(&[
        ("shExpMatch('a', '(a|b).c*')", Value::Matches("^(a|b)\\.c.*$".into())),
        ("shExpMatch('a', '[0-9]?')", Value::Matches("^[0-9].$".into())),
        ("shExpMatch('ä', '?')", Value::Matches("^.$".into())),
        ("shExpMatch('a', 'ä')", Value::Matches("^ä$".into())),
    ]);
}

#[test]
fn a_pattern_of_many_stars_ends_soon() {
    let pattern = Arg::Text("*a".repeat(200) + "b");
    let text = Arg::Text("a".repeat(5000));
    assert_eq!(call_in(&mut still(NOON), "shExpMatch", &[text, pattern]), Ok(Value::Bool(false)));
}

#[test]
fn addresses_are_found_and_compared() {
    is(
        true,
        &[
            "isResolvable('four.example')",
            "isResolvable('six.example')",
            "isResolvable('10.0.0.1')",
            "isInNet('192.0.2.77', '192.0.2.0', '255.255.255.0')",
            "isInNet('four.example', '192.0.2.0', '255.255.255.0')",
            "isInNet('both.example', '192.0.2.1', '255.255.255.255')",
            "isInNet('010.0.0.1', '10.0.0.0', '255.0.0.0')",
            "isInNet('1.2.3.4', '99.99.99.99', '0.0.0.0')",
            "isInNet('127.1', '127.0.0.0', '255.0.0.0')",
        ],
    );
    is(
        false,
        &[
            "isResolvable('nowhere.example')",
            "isResolvable('')",
            "isResolvable()",
            "isResolvable(5)",
            "isResolvable('a b')",
            "isInNet('192.0.3.77', '192.0.2.0', '255.255.255.0')",
            "isInNet('nowhere.example', '0.0.0.0', '0.0.0.0')",
            "isInNet('six.example', '0.0.0.0', '0.0.0.0')",
            "isInNet('1.2.3.4', '1.2.3', '255.255.255.0')",
            "isInNet('1.2.3.4', '1.2.3.0', '24')",
            "isInNet('1.2.3.4', '1.2.3.0', '255.255.255.256')",
            "isInNet('1.2.3.4')",
            "isInNet()",
        ],
    );
    returns(&[
        ("dnsResolve('both.example')", text("192.0.2.1")),
        ("dnsResolve('six.example')", text("2001:db8::6")),
        ("dnsResolve('FOUR.example.')", text("192.0.2.4")),
        ("dnsResolve('127.1')", text("127.0.0.1")),
        ("dnsResolve('[2001:db8::1]')", text("2001:db8::1")),
        ("dnsResolve('nowhere.example')", Value::Null),
        ("dnsResolve()", Value::Null),
        ("dnsResolve(null)", Value::Null),
        ("myIpAddress()", text("10.9.8.7")),
        ("convert_addr('10.0.0.1')", Value::Number(167_772_161.0)),
        ("convert_addr('192.168.0.1')", Value::Number(-1_062_731_775.0)),
        ("convert_addr('1.2')", Value::Number(16_908_288.0)),
        ("convert_addr('a.b.c.d')", Value::Number(0.0)),
        ("convert_addr('0x10.256.-1. 3 ')", Value::Number(268_500_739.0)),
    ]);
}

#[test]
fn addresses_are_never_asked_for() {
    let mut world = still(NOON);
    for call in ["dnsResolve('10.0.0.1')", "isInNet('1.2.3.4', '1.0.0.0', '255.0.0.0')", "isResolvable('::1')"] {
        let (name, args) = read(call);
        call_in(&mut world, name, &args).unwrap();
    }
    assert_eq!(world.asked, Vec::<String>::new());
}

#[test]
fn a_machine_without_addresses_calls_itself_localhost() {
    let mut world = still(NOON);
    world.mine.clear();
    assert_eq!(call_in(&mut world, "myIpAddress", &[]), Ok(text("127.0.0.1")));
    assert_eq!(call_in(&mut world, "myIpAddressEx", &[]), Ok(text("")));
}

#[test]
fn microsofts_functions_know_both_families() {
    is(
        true,
        &[
            "isResolvableEx('six.example')",
            "isInNetEx('2001:db8::6', '2001:db8::/32')",
            "isInNetEx('10.1.2.3', '10.0.0.0/8')",
            "isInNetEx('10.1.2.3', '10.9.9.9/8')",
            "isInNetEx('10.1.2.3', '0.0.0.0/0')",
            "isInNetEx('10.1.2.3', '::ffff:10.0.0.0/104')",
            "isInNetEx('::ffff:10.1.2.3', '10.0.0.0/8')",
        ],
    );
    is(
        false,
        &[
            "isResolvableEx('nowhere.example')",
            "isInNetEx('2001:db9::6', '2001:db8::/32')",
            "isInNetEx('11.1.2.3', '10.0.0.0/8')",
            "isInNetEx('four.example', '192.0.2.0/24')",
            "isInNetEx('10.1.2.3', '10.0.0.0')",
            "isInNetEx('10.1.2.3', '10.0.0.0/33')",
            "isInNetEx('10.1.2.3', '10.0.0.0/+8')",
            "isInNetEx('2001:db8::1', '10.0.0.0/0')",
            "sortIpAddressList('10.0.0.1;nonsense')",
            "sortIpAddressList('')",
            "sortIpAddressList(';')",
        ],
    );
    returns(&[
        ("dnsResolveEx('both.example')", text("2001:db8::1;192.0.2.1;192.0.2.2")),
        ("dnsResolveEx('nowhere.example')", text("")),
        ("dnsResolveEx()", Value::Undefined),
        ("myIpAddressEx()", text("2001:db8::99;10.9.8.7")),
        (
            "sortIpAddressList('10.0.0.9; 2001:db8::2;10.0.0.10;2001:DB8::1')",
            text("2001:DB8::1;2001:db8::2;10.0.0.9;10.0.0.10"),
        ),
        ("sortIpAddressList(5)", Value::Null),
        ("isInNetEx('10.0.0.1')", Value::Null),
        ("getClientVersion()", text("1.0")),
    ]);
}

/// 2026-03-18 is a Wednesday; each row is true at the first moment and false at the second.
#[test]
fn ranges_of_time_hold_at_one_moment_and_not_at_another() {
    let at = |local: &str| format!("{local}+01:00[+01:00]");
    for (call, within, without) in [
        ("weekdayRange('WED')", "2026-03-18T00:00:00", "2026-03-19T00:00:00"),
        ("weekdayRange('MON', 'FRI')", "2026-03-20T23:59:59", "2026-03-21T00:00:00"),
        ("weekdayRange('FRI', 'MON')", "2026-03-22T12:00:00", "2026-03-18T12:00:00"),
        ("weekdayRange('TUE', 'GMT')", "2026-03-18T00:30:00", "2026-03-18T01:00:00"),
        ("weekdayRange('SAT', 'SUN', 'GMT')", "2026-03-23T00:59:59", "2026-03-23T01:00:00"),
        ("dateRange(18)", "2026-03-18T12:00:00", "2026-03-19T12:00:00"),
        ("dateRange('MAR')", "2026-03-31T12:00:00", "2026-04-01T12:00:00"),
        ("dateRange(2026)", "2026-01-01T00:00:00", "2027-01-01T00:00:00"),
        ("dateRange(17, 'GMT')", "2026-03-18T00:30:00", "2026-03-18T01:30:00"),
        ("dateRange(1, 15)", "2026-03-15T23:00:00", "2026-03-16T00:00:00"),
        ("dateRange('JAN', 'MAR')", "2026-03-31T23:00:00", "2026-04-01T00:00:00"),
        ("dateRange('JAN', 'FEB')", "2026-03-03T23:00:00", "2026-03-04T00:00:00"),
        ("dateRange('NOV', 'JAN')", "2026-12-01T00:00:00", "2026-02-01T00:00:00"),
        ("dateRange(2025, 2026)", "2026-12-31T23:00:00", "2027-01-01T00:00:00"),
        ("dateRange(1, 'JUN', 15, 'AUG')", "2026-08-15T12:00:00", "2026-08-16T00:00:00"),
        ("dateRange(24, 'DEC', 6, 'JAN')", "2026-01-06T12:00:00", "2026-01-07T12:00:00"),
        ("dateRange('OCT', 1995, 'MAR', 2026)", "2026-03-31T12:00:00", "2026-04-01T12:00:00"),
        ("dateRange(1, 'JUN', 1995, 15, 'AUG', 2026)", "2026-08-15T12:00:00", "2026-08-16T12:00:00"),
        ("dateRange('18')", "2026-03-18T12:00:00", "2026-03-19T12:00:00"),
        ("timeRange(12)", "2026-03-18T12:59:59", "2026-03-18T13:00:00"),
        ("timeRange('12')", "2026-03-18T12:00:00", "2026-03-18T11:59:59"),
        ("timeRange(12, 'GMT')", "2026-03-18T13:30:00", "2026-03-18T12:30:00"),
        ("timeRange(9, 17)", "2026-03-18T17:59:59", "2026-03-18T18:00:00"),
        ("timeRange(8, 30, 17, 0)", "2026-03-18T17:00:59", "2026-03-18T17:01:00"),
        ("timeRange(8, 30, 17, 0)", "2026-03-18T08:30:00", "2026-03-18T08:29:59"),
        ("timeRange(22, 0, 6, 0)", "2026-03-18T23:00:00", "2026-03-18T12:00:00"),
        ("timeRange(0, 0, 0, 0, 0, 30)", "2026-03-18T00:00:30", "2026-03-18T00:00:31"),
        ("timeRange(8, 0, 10, 17, 0, 20)", "2026-03-18T08:00:10", "2026-03-18T08:00:09"),
        ("timeRange(7, 0, 8, 0, 'GMT')", "2026-03-18T09:00:59", "2026-03-18T09:01:00"),
    ] {
        assert_eq!(call_at(&at(within), call), Ok(Value::Bool(true)), "{call} at {within}");
        assert_eq!(call_at(&at(without), call), Ok(Value::Bool(false)), "{call} at {without}");
    }
}

#[test]
fn a_range_without_sense_is_false_or_thrown_as_in_browsers() {
    is(
        false,
        &[
            "weekdayRange()",
            "weekdayRange('wed')",
            "weekdayRange('WED', 'XXX')",
            "weekdayRange('GMT')",
            "dateRange()",
            "dateRange('mar')",
            "timeRange()",
            "timeRange('noon')",
            "timeRange(22, 6)",
        ],
    );
    for call in ["timeRange('GMT')", "timeRange(1, 2, 3)", "timeRange(1, 2, 3, 4, 5)", "timeRange(1, 2, 3, 4, 5, 6, 7)"]
    {
        assert_eq!(call_at(NOON, call), Err(Thrown::Text("timeRange: bad number of arguments")), "{call}");
    }
    for call in ["dateRange(-99999999, 99999999)", "dateRange(99, 'JAN', 99, 'FEB')", "dateRange({}, {}, {}, true)"] {
        assert!(matches!(call_at(NOON, call), Ok(Value::Bool(_))), "{call}");
    }
}

#[test]
fn alert_says_its_first_argument() {
    let mut world = still(NOON);
    for args in [vec![], vec![Arg::Number(5.0), Arg::Null], vec![Arg::Text("hello".into())]] {
        assert_eq!(call_in(&mut world, "alert", &args), Ok(Value::Undefined));
    }
    assert_eq!(world.alerts, ["undefined", "5", "hello"]);
}
