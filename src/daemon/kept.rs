//! Where audit records are kept.

use super::StartError;
use crate::audit::Keeper;
use crate::config::{Audit, AuditTo};
use crate::sink::{Lines, Prepared, Rotation, Sink};

impl Keeper for Lines {
    fn is_open(&self) -> bool {
        Lines::is_open(self)
    }

    fn keep(&self, line: &str) {
        self.push(line);
    }
}

/// Open, and not in use yet.
pub(super) fn prepare(records: &Lines, audit: &Audit) -> Result<Prepared, StartError> {
    records.prepare(&sink(audit)).map_err(|source| StartError::Audit { to: name(&audit.to), source })
}

fn sink(audit: &Audit) -> Sink {
    match &audit.to {
        AuditTo::Off => Sink::Off,
        AuditTo::Stderr => Sink::Stderr,
        AuditTo::System(log) => Sink::System(*log),
        AuditTo::File(path) => Sink::File(Rotation {
            path: path.clone(),
            max_size: audit.max_size,
            max_age: audit.max_age,
            keep: audit.keep,
        }),
    }
}

fn name(to: &AuditTo) -> String {
    match to {
        AuditTo::Off => "nowhere".into(),
        AuditTo::Stderr => "stderr".into(),
        AuditTo::System(log) => log.name().into(),
        AuditTo::File(path) => path.display().to_string(),
    }
}
