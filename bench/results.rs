//! Figures: noted, reduced to medians, shown as a table of values and ratios, and written as JSON.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// What a figure counts, and with that which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    #[serde(rename = "1/s")]
    PerSecond,
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "GiB/s")]
    GibPerSecond,
    #[serde(rename = "CPU s/GiB")]
    CpuPerGib,
    #[serde(rename = "CPU µs")]
    CpuMicroseconds,
    #[serde(rename = "CPU %")]
    CpuPercent,
    #[serde(rename = "KiB")]
    Kib,
    #[serde(rename = "MiB")]
    Mib,
    #[serde(rename = "count")]
    Count,
}

impl Unit {
    pub fn name(self) -> &'static str {
        match self {
            Self::PerSecond => "1/s",
            Self::Milliseconds => "ms",
            Self::GibPerSecond => "GiB/s",
            Self::CpuPerGib => "CPU s/GiB",
            Self::CpuMicroseconds => "CPU µs",
            Self::CpuPercent => "CPU %",
            Self::Kib => "KiB",
            Self::Mib => "MiB",
            Self::Count => "",
        }
    }

    /// A figure's name with what it is counted in.
    pub fn of(self, metric: &str) -> String {
        let comma = if self.name().is_empty() { "" } else { ", " };
        format!("{metric}{comma}{}", self.name())
    }

    pub fn more_is_better(self) -> bool {
        matches!(self, Self::PerSecond | Self::GibPerSecond)
    }
}

/// One sample.
#[derive(Debug, Clone)]
pub struct Measured {
    pub metric: String,
    pub unit: Unit,
    pub value: f64,
}

/// All samples of one figure.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figure {
    pub case: String,
    pub metric: String,
    pub unit: Unit,
    pub relay: String,
    pub samples: Vec<f64>,
    pub median: f64,
}

impl Figure {
    fn is(&self, case: &str, metric: &str, unit: Unit, relay: &str) -> bool {
        self.case == case && self.metric == metric && self.unit == unit && self.relay == relay
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    pub case: String,
    pub relay: String,
    pub what: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// Those compared, in the order of the columns.
    pub relays: Vec<String>,
    pub figures: Vec<Figure>,
    pub failures: Vec<Failure>,
    pub missing: Vec<String>,
}

impl Results {
    pub fn note(&mut self, case: &str, relay: &str, measured: Measured) {
        let Measured { metric, unit, value } = measured;
        match self.figures.iter_mut().find(|known| known.is(case, &metric, unit, relay)) {
            Some(figure) => {
                figure.samples.push(value);
                figure.median = median(&figure.samples);
            }
            None => self.figures.push(Figure {
                case: case.into(),
                metric,
                unit,
                relay: relay.into(),
                samples: vec![value],
                median: value,
            }),
        }
    }

    pub fn failed(&mut self, case: &str, relay: &str, what: &str) {
        self.failures.push(Failure { case: case.into(), relay: relay.into(), what: what.into() });
    }

    pub fn missing(&mut self, name: &str) {
        self.missing.push(name.into());
    }

    pub fn value(&self, case: &str, metric: &str, unit: Unit, relay: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.is(case, metric, unit, relay)).map(|figure| figure.median)
    }

    /// A row for each figure, a column for each relay; below each value how many times better the first relay is.
    pub fn table(&self) -> String {
        let rows =
            unique(self.figures.iter().map(|figure| (figure.case.as_str(), figure.metric.as_str(), figure.unit)));
        let mut text = String::new();
        let mut last = "";
        for (case, metric, unit) in rows {
            if case != last {
                let heads: String = self.relays.iter().map(|relay| cell(relay)).collect();
                let _ = writeln!(text, "\n{case:<LABEL$}{heads}");
                last = case;
            }
            let values: Vec<_> = self.relays.iter().map(|relay| self.value(case, metric, unit, relay)).collect();
            let cells: String = values.iter().map(|value| cell(&number(*value))).collect();
            let _ = writeln!(text, "{:<LABEL$}{cells}", format!("  {}", unit.of(metric)));
            let (first, others) = values.split_first().unwrap_or((&None, &[]));
            let ratios: String = others.iter().map(|value| cell(&ratio(*first, *value, unit))).collect();
            if !ratios.trim().is_empty() {
                let _ = writeln!(text, "{:<LABEL$}{}{}", "", cell(""), ratios.trim_end());
            }
        }
        for name in &self.missing {
            let _ = writeln!(text, "\nnot compared: {name}, which is not installed");
        }
        for Failure { case, relay, what } in &self.failures {
            let _ = writeln!(text, "\nFAILED: {case}: {relay}: {what}");
        }
        text
    }
}

const LABEL: usize = 54;

fn cell(text: &str) -> String {
    format!(" {text:>10}")
}

/// How many times better `ours` is than `theirs`.
fn ratio(ours: Option<f64>, theirs: Option<f64>, unit: Unit) -> String {
    // Less than the clock shows is no number to divide by.
    let (Some(ours @ 0.0001..), Some(theirs @ 0.0001..)) = (ours, theirs) else { return String::new() };
    let ratio = if unit.more_is_better() { ours / theirs } else { theirs / ours };
    format!("{ratio:.2}x")
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "-".into(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.3}"),
    }
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[length / 2],
        length => f64::midpoint(sorted[length / 2 - 1], sorted[length / 2]),
    }
}

fn unique<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut unique = Vec::new();
    for one in all {
        if !unique.contains(&one) {
            unique.push(one);
        }
    }
    unique
}
