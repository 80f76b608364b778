//! The report for people: the cause and what to do first, then every check in one line.

use std::fmt::Write as _;

use crate::doctor::{Entry, Report, State};

const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[31m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const OFF: &str = "\x1b[0m";

/// Longer names are not padded for.
const WIDEST: usize = 48;

pub(super) fn of(report: &Report, colours: bool) -> String {
    let paint = Paint(colours);
    let mut text = head(report, &paint);
    let width = report.entries.iter().map(|entry| entry.name.chars().count()).filter(|width| *width <= WIDEST).max();
    let width = width.unwrap_or_default();
    for entry in &report.entries {
        let (mark, colour) = mark(entry);
        let _infallible = writeln!(text, "{} {:<width$}  {}", paint.with(colour, mark), entry.name, said(entry));
        let advice = entry.advice.iter().filter(|_| entry.because.is_none());
        for line in advice.chain(entry.details.iter().filter(|_| entry.because.is_none())) {
            let _infallible = writeln!(text, "  {:<width$}  {}", "", paint.with(DIM, line));
        }
    }
    let seconds = report.took.as_secs_f32();
    let _infallible =
        write!(text, "{}", paint.with(DIM, &format!("{} checks in {seconds:.1} s", report.entries.len())));
    text
}

fn head(report: &Report, paint: &Paint) -> String {
    let warnings = report.entries.iter().filter(|entry| entry.state == State::Warning).count();
    match report.cause() {
        Some(cause) => {
            let advice = cause.advice.as_deref().map(|advice| format!("\n  what to do: {advice}")).unwrap_or_default();
            format!("{}{advice}\n\n", paint.with(BOLD, &format!("{}: {}", cause.name, cause.says)))
        }
        None if warnings > 0 => format!("{}\n\n", paint.with(BOLD, "everything works; see the marks !")),
        None => format!("{}\n\n", paint.with(BOLD, "everything works")),
    }
}

fn mark(entry: &Entry) -> (&'static str, &'static str) {
    match (entry.state, &entry.because) {
        (State::Fine, _) => ("\u{2713}", GREEN),
        (State::Warning, _) => ("!", YELLOW),
        (State::Failed, None) => ("\u{2717}", RED),
        (State::Failed, Some(_)) => ("\u{2717}", DIM),
        (State::Skipped, _) => ("-", DIM),
    }
}

/// Of what follows from something else, only that.
fn said(entry: &Entry) -> String {
    match &entry.because {
        Some(because) => format!("because of {because}"),
        None => entry.says.clone(),
    }
}

struct Paint(bool);

impl Paint {
    fn with(&self, colour: &str, text: &str) -> String {
        if self.0 { format!("{colour}{text}{OFF}") } else { text.into() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::doctor::{Check, Finding, Stage, examine};

    fn check(stage: Stage, name: &str, finding: Finding) -> Check {
        Check::new(stage, name, Duration::from_secs(9), async move { finding })
    }

    #[tokio::test]
    async fn the_cause_stands_first_with_what_to_do_and_what_follows_from_it_says_no_more_than_that() {
        let checks = vec![
            check(Stage::Upstream, "upstream a", Finding::fine("there")),
            check(Stage::Credential, "credential a", Finding::failed("it is wrong", "correct it").detail("more")),
            check(Stage::Target, "target b", Finding::failed("not reached", "nothing"))
                .rests_on(["credential a"])
                .goal(),
            check(Stage::Surroundings, "vpn", Finding::warning("there is one", "switch it off")),
        ];
        let report = examine(checks, |_| {}).await;
        let text = of(&report, false);
        let lines: Vec<&str> = text.lines().take(10).collect();
        assert_eq!(
            lines,
            [
                "credential a: it is wrong",
                "  what to do: correct it",
                "",
                "\u{2713} upstream a    there",
                "\u{2717} credential a  it is wrong",
                "                correct it",
                "                more",
                "\u{2717} target b      because of credential a",
                "! vpn           there is one",
                "                switch it off",
            ]
        );
        assert!(of(&report, true).contains("\x1b[31m\u{2717}\x1b[0m credential a"));
    }
}
