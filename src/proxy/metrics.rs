//! `/metrics`: what is counted, in the text format of Prometheus (version 0.0.4).

use std::fmt::{Display, Write as _};

use serde::Serialize;

use super::tally::Bytes;
use super::{Proxy, Shared, upstream_status};
use crate::upstream::logons::Outcome;
use crate::upstream::{Health, Histogram};

pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A script may name any number of upstreams, and each is a time series for whoever collects them.
const MOST_HOPS: usize = 32;

pub(super) fn text(proxy: &Proxy, shared: &Shared) -> String {
    let (tally, live) = (&proxy.tally, &proxy.upstreams.live);
    let mut text = Exposition::default();
    text.family("hallpass_build_info", "gauge", "Which hallpass runs; always 1.");
    text.sample("hallpass_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.family("hallpass_clients_open", "gauge", "Clients that are connected.");
    text.sample("hallpass_clients_open", &[], shared.places.taken());
    text.family("hallpass_tunnels_open", "gauge", "Tunnels that are open.");
    text.sample("hallpass_tunnels_open", &[], tally.open_tunnels());
    text.family("hallpass_requests_total", "counter", "Requests and tunnels that have ended, by how they did.");
    for ((kind, end), count) in tally.requests() {
        text.sample("hallpass_requests_total", &[("kind", &word(kind)), ("end", &word(end))], count);
    }
    text.family("hallpass_bytes_total", "counter", "Bytes of bodies and tunnels, those that are open included.");
    let Bytes { up, down } = tally.bytes();
    text.sample("hallpass_bytes_total", &[("direction", "up")], up);
    text.sample("hallpass_bytes_total", &[("direction", "down")], down);
    let totals = live.logons().totals();
    let help = "From the connection to an upstream to its final answer to a CONNECT; a log-on may be in it.";
    text.family("hallpass_handshake_seconds", "histogram", help);
    for (scheme, histogram) in &totals.handshakes {
        let scheme = scheme.map_or_else(|| "none".into(), |scheme| scheme.token().to_ascii_lowercase());
        text.histogram("hallpass_handshake_seconds", &[("scheme", &scheme)], histogram);
    }
    text.family("hallpass_logons_total", "counter", "Log-ons at upstreams, by what became of them.");
    for ((scheme, outcome), count) in &totals.logons {
        let (scheme, result) = (scheme.token().to_ascii_lowercase(), result(*outcome));
        text.sample("hallpass_logons_total", &[("scheme", &scheme), ("result", result)], count);
    }
    text.family("hallpass_breaker_open", "gauge", "Accounts for which nothing is sent, at one upstream or at all.");
    text.sample("hallpass_breaker_open", &[], live.lockout().troubles().len());
    hops(proxy, &mut text);
    text.family("hallpass_pac_seconds", "histogram", "How long the PAC script took to decide, where it was asked.");
    text.histogram("hallpass_pac_seconds", &[], &tally.scripts());
    text.family("hallpass_config_reload_total", "counter", "Configurations that were read while the relay ran.");
    let reloads = tally.reloads();
    text.sample("hallpass_config_reload_total", &[("result", "taken")], reloads.taken);
    text.sample("hallpass_config_reload_total", &[("result", "rejected")], reloads.rejected);
    text.0
}

/// Whether the upstreams were there when they were dialled last; those that nobody has dialled say nothing.
fn hops(proxy: &Proxy, text: &mut Exposition) {
    text.family("hallpass_hop_up", "gauge", "Whether an upstream could be reached when it was last tried.");
    let health = proxy.upstreams.live.health();
    for endpoint in upstream_status::known(proxy).into_iter().take(MOST_HOPS) {
        let Some((_, health, _)) = health.iter().find(|(known, ..)| *known == endpoint) else { continue };
        text.sample("hallpass_hop_up", &[("hop", &endpoint.to_string())], u8::from(*health == Health::Up));
    }
}

fn result(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted => "accepted",
        Outcome::Rejected => "rejected",
    }
}

/// As the audit record has it.
fn word(value: impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The lines. Writing to a `String` does not fail.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _infallible = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let _infallible = writeln!(self.0, "{name}{} {value}", in_braces(labels));
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let bucket = format!("{name}_bucket");
        for (end, count) in histogram.cumulative() {
            self.sample(&bucket, &[labels, &[("le", &end.to_string())]].concat(), count);
        }
        self.sample(&bucket, &[labels, &[("le", "+Inf")]].concat(), histogram.count);
        self.sample(&format!("{name}_sum"), labels, histogram.sum);
        self.sample(&format!("{name}_count"), labels, histogram.count);
    }
}

fn in_braces(labels: &[(&str, &str)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let one = |(name, value): &(&str, &str)| format!("{name}=\"{}\"", escaped(value));
    format!("{{{}}}", labels.iter().map(one).collect::<Vec<_>>().join(","))
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn whatever_a_label_holds_it_stays_one_line_and_one_value() {
        let mut text = Exposition::default();
        text.sample("m", &[("hop", "a\"b\\c\nd")], 1);
        assert_eq!(text.0, "m{hop=\"a\\\"b\\\\c\\nd\"} 1\n");
    }

    #[test]
    fn a_histogram_ends_with_all_it_has_counted() {
        let mut histogram = Histogram::default();
        for millis in [1, 30_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let mut text = Exposition::default();
        text.histogram("h", &[("scheme", "ntlm")], &histogram);
        let lines: Vec<&str> = text.0.lines().collect();
        assert_eq!(lines[0], "h_bucket{scheme=\"ntlm\",le=\"0.001\"} 1");
        assert_eq!(lines[11], "h_bucket{scheme=\"ntlm\",le=\"20\"} 1");
        let end =
            ["h_bucket{scheme=\"ntlm\",le=\"+Inf\"} 2", "h_sum{scheme=\"ntlm\"} 30.001", "h_count{scheme=\"ntlm\"} 2"];
        assert_eq!(lines[12..], end);
    }
}
