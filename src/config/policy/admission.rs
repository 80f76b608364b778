//! A policy is a file that root alone may write: anybody else's would be a user's own word above the administrator's.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::Statement;
use crate::config::mistake::{Origin, Problem};
use crate::config::others_than_root_may_write;

/// A property list or a `policy.toml`. `None` where there is none.
pub fn statement(path: &Path) -> Option<Statement> {
    let bytes = match admitted(path)? {
        Ok(bytes) => bytes,
        Err(problem) => return Some(refused(path, problem)),
    };
    if path.extension().is_some_and(|kind| kind == "plist") {
        return Some(Statement::Plist { path: path.into(), bytes });
    }
    Some(match String::from_utf8(bytes) {
        Ok(text) => Statement::Toml { path: path.into(), text },
        Err(_) => refused(path, Problem::new("the policy is not UTF-8 text").hint("save it as UTF-8")),
    })
}

/// What stands in a policy's file.
fn admitted(path: &Path) -> Option<Result<Vec<u8>, Problem>> {
    match fs::read(path) {
        Err(error) if is_absence(&error) => None,
        Err(error) => {
            let problem = Problem::new(format!("cannot read the policy: {error}"));
            Some(Err(problem.hint(format!("everybody must be able to read it: chmod a+r {}", path.display()))))
        }
        Ok(_) if others_than_root_may_write(path) => {
            let directory = path.parent().unwrap_or(path).display();
            let fix = format!("chown root:root {directory} {0}; chmod go-w {directory} {0}", path.display());
            Some(Err(Problem::new("others than root may change this policy, so it is not taken").hint(fix)))
        }
        Ok(bytes) => Some(Ok(bytes)),
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn refused(path: &Path, problem: Problem) -> Statement {
    Statement::Refused { place: Origin::File { path: path.into(), line: 1, column: 1 }, problem }
}
