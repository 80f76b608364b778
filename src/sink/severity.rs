//! How bad it is what a line of the log says, for logs of the system that want to know.

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Information,
    Warning,
    Error,
}

/// By the level, in either format of the log; a line of another kind, such as a record, informs.
pub fn severity(line: &str) -> Severity {
    match level(line) {
        Some("ERROR") => Severity::Error,
        Some("WARN") => Severity::Warning,
        Some(_) | None => Severity::Information,
    }
}

/// `2026-01-01T00:00:00.000000Z ERROR …`, or `{"timestamp":"2026-01-01T00:00:00.000000Z","level":"ERROR",…`. Nothing
/// further on: that may be made of what a peer sent.
fn level(line: &str) -> Option<&str> {
    match line.strip_prefix(r#"{"timestamp":""#) {
        Some(json) => json.split_once('"')?.1.strip_prefix(r#","level":""#)?.split('"').next(),
        None => line.split_whitespace().nth(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_of_a_line_is_its_severity_and_nothing_else_in_it_is() {
        for (line, wanted) in [
            ("2026-01-01T00:00:00.000000Z ERROR not reloaded\n", Severity::Error),
            ("2026-01-01T00:00:00.000000Z  WARN slow\n", Severity::Warning),
            ("2026-01-01T00:00:00.000000Z  INFO listening on ERROR\n", Severity::Information),
            (r#"{"timestamp":"2026-01-01T00:00:00.000000Z","level":"ERROR","fields":{}}"#, Severity::Error),
            (r#"{"timestamp":"2026-01-01T00:00:00.000000Z","level":"WARN","fields":{}}"#, Severity::Warning),
            (r#"{"timestamp":"2026-01-01T00:00:00.000000Z","fields":{"level":"ERROR"}}"#, Severity::Information),
            (r#"{"time":"2026-01-01T00:00:00.000Z","level":"ERROR"}"#, Severity::Information),
            ("", Severity::Information),
            ("{\"timestamp\":\"", Severity::Information),
        ] {
            assert_eq!(severity(line), wanted, "{line}");
        }
    }

    #[test]
    fn the_log_writes_its_levels_as_they_are_read_here() {
        use std::sync::{Arc, Mutex};
        use tracing_subscriber::layer::SubscriberExt as _;

        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (text, json) = (Kept::default(), Kept::default());
        let (to_text, to_json) = (text.clone(), json.clone());
        let layers = tracing_subscriber::registry()
            .with(
                tracing_subscriber::fmt::layer()
                    .with_ansi(false)
                    .with_target(false)
                    .with_writer(move || to_text.clone()),
            )
            .with(tracing_subscriber::fmt::layer().json().with_target(false).with_writer(move || to_json.clone()));
        tracing::subscriber::with_default(layers, || {
            tracing::error!("one");
            tracing::warn!("two");
            tracing::info!("three");
        });
        for kept in [text, json] {
            let lines = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
            let found: Vec<Severity> = lines.lines().map(severity).collect();
            assert_eq!(found, [Severity::Error, Severity::Warning, Severity::Information], "{lines}");
        }
    }
}
