//! The figures of a run as a picture for the README: for each case a bar for each relay, as long as it is good.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::results::{Results, Unit};

/// Draws what an earlier run measured.
#[derive(Debug, Clone, Args)]
pub struct Draw {
    /// What --json of that run wrote.
    results: PathBuf,
    /// Where the picture goes.
    picture: PathBuf,
}

pub fn draw(what: &Draw) -> Result<()> {
    let text = fs::read(&what.results).with_context(|| what.results.display().to_string())?;
    let results: Results = serde_json::from_slice(&text).with_context(|| what.results.display().to_string())?;
    let picture = svg(&results).with_context(|| what.results.display().to_string())?;
    fs::write(&what.picture, picture).with_context(|| what.picture.display().to_string())
}

/// What is shown of all that is measured: title, case, metric.
const SHOWN: &[(&str, &str, &str, Unit)] = &[
    ("NTLM CONNECT, 1 client", "connect-ntlm", "1 client", Unit::PerSecond),
    ("NTLM CONNECT, 16 clients", "connect-ntlm", "16 clients", Unit::PerSecond),
    ("CONNECT, no log-in, 16 clients", "connect-no-auth", "16 clients", Unit::PerSecond),
    ("GET through NTLM, 16 clients", "get", "16 clients", Unit::PerSecond),
    ("Download, 1 stream", "download", "1 stream", Unit::GibPerSecond),
    ("Processor time of a download", "download", "1 stream", Unit::CpuPerGib),
    ("Upload, 1 stream", "upload", "1 stream", Unit::GibPerSecond),
    ("Delay of an event (SSE)", "sse", "tunnel, p50", Unit::Milliseconds),
    ("NTLM CONNECT, 20 ms away", "delay-line", "NTLM CONNECT, p50 in round trips of 20 ms", Unit::Count),
    ("Memory of an idle tunnel", "idle", "memory of a tunnel", Unit::Kib),
    ("Memory at rest", "start", "memory", Unit::Mib),
    ("Start to first answer", "start", "until the first answer", Unit::Milliseconds),
];

/// No relay: what the machine can do.
const NO_RELAY: &str = "straight";

const WIDTH: f64 = 800.0;
const LEFT: f64 = 230.0;
/// The length of a bar that is as good as ours.
const EVEN: f64 = 240.0;
/// A bar that is better by more than this is cut, and says so.
const LONGEST: f64 = 1.5;
const BAR: f64 = 13.0;
const STEP: f64 = 17.0;
const GAP: f64 = 13.0;
const TOP: f64 = 56.0;

const STYLE: &str = "text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1f2328}\
    .head{font-size:15px;font-weight:600}.case{font-weight:600}.quiet{fill:#59636e}.back{fill:#ffffff}\
    .ours{fill:#0969da}.theirs{fill:#afb8c1}.even{stroke:#59636e;stroke-dasharray:2 3;opacity:.35}\
    @media (prefers-color-scheme:dark){text{fill:#f0f6fc}.quiet{fill:#9198a1}.back{fill:#0d1117}.ours{fill:#4493f8}\
    .theirs{fill:#59636e}.even{stroke:#9198a1}}";

fn svg(results: &Results) -> Result<String> {
    let ours = results.relays.first().context("no relay was compared")?;
    let mut body = String::new();
    let mut y = TOP;
    for (title, case, metric, unit) in SHOWN {
        let bars = bars(results, ours, case, metric, *unit);
        // A bar alone compares nothing.
        if bars.len() > 1 {
            y = group(&mut body, y, title, &bars)?;
        }
    }
    ensure!(y > TOP, "nothing in it can be compared");
    let mut text = String::new();
    writeln!(
        text,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img">"#
    )?;
    writeln!(text, "<title>{} beside other relays</title>", escaped(ours))?;
    writeln!(text, "<style>{STYLE}</style>")?;
    writeln!(text, r#"<rect class="back" width="{WIDTH}" height="{y}" rx="6"/>"#)?;
    writeln!(text, r#"<text class="head" x="16" y="26">{} beside other relays</text>"#, escaped(ours))?;
    writeln!(text, r#"<text class="quiet" x="16" y="44">{}</text>"#, escaped(&explanation(ours)))?;
    let line = LEFT + EVEN;
    writeln!(text, r#"<line class="even" x1="{line}" x2="{line}" y1="{}" y2="{}"/>"#, TOP - 4.0, y - GAP)?;
    Ok(text + &body + "</svg>\n")
}

fn explanation(ours: &str) -> String {
    format!(
        "Longer is better; the dashed line is {ours}. Who cannot log in by NTLM (haproxy, squid, tinyproxy) is asked for nothing."
    )
}

struct Bar {
    relay: String,
    value: f64,
    unit: Unit,
    /// How many times as good as ours.
    goodness: f64,
    ours: bool,
}

/// Ours first, then the others, the best first.
fn bars(results: &Results, ours: &str, case: &str, metric: &str, unit: Unit) -> Vec<Bar> {
    let Some(our) = results.value(case, metric, unit, ours).filter(|value| *value > 0.0) else { return Vec::new() };
    let relays = results.relays.iter().filter(|relay| *relay != NO_RELAY);
    let mut bars: Vec<Bar> = relays
        .filter_map(|relay| {
            let value = results.value(case, metric, unit, relay).filter(|value| *value > 0.0)?;
            let goodness = if unit.more_is_better() { value / our } else { our / value };
            Some(Bar { relay: relay.clone(), value, unit, goodness, ours: relay == ours })
        })
        .collect();
    bars.sort_by(|a, b| b.ours.cmp(&a.ours).then(b.goodness.total_cmp(&a.goodness)));
    bars
}

/// Draws them one below the other, and says where the next begin.
fn group(body: &mut String, top: f64, title: &str, bars: &[Bar]) -> Result<f64> {
    let mut y = top;
    writeln!(body, r#"<text class="case" x="16" y="{}">{}</text>"#, y + BAR - 2.0, escaped(title))?;
    for bar in bars {
        let length = (bar.goodness.min(LONGEST) * EVEN).max(1.5);
        let class = if bar.ours { "ours" } else { "theirs" };
        writeln!(body, r#"<rect class="{class}" x="{LEFT}" y="{y}" width="{length:.1}" height="{BAR}" rx="2"/>"#)?;
        let cut = if bar.goodness > LONGEST { format!(", {:.1} ×", bar.goodness) } else { String::new() };
        let label = format!("{} {}{cut}", bar.relay, amount(bar.value, bar.unit));
        let x = LEFT + length + 7.0;
        writeln!(body, r#"<text x="{x:.1}" y="{}">{}</text>"#, y + BAR - 2.0, escaped(&label))?;
        y += STEP;
    }
    Ok(y + GAP)
}

fn amount(value: f64, unit: Unit) -> String {
    let number = match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    };
    match unit {
        Unit::PerSecond => format!("{number}/s"),
        Unit::Count => format!("{number} round trips"),
        Unit::Milliseconds
        | Unit::GibPerSecond
        | Unit::CpuPerGib
        | Unit::CpuMicroseconds
        | Unit::CpuPercent
        | Unit::Kib
        | Unit::Mib => format!("{number} {}", unit.name()),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
