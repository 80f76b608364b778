//! How the service stands, in words.

use std::fmt::Write as _;

use crate::service::{Scope, Status};

pub fn of(status: &Status, scope: Scope) -> String {
    let mut text = status.name.clone();
    let Some(definition) = &status.definition else {
        text.push_str(match scope {
            Scope::User => ": not installed; hallpass service install --user does that",
            Scope::System => ": not installed; hallpass service install --system does that, as root",
        });
        text.extend(status.remarks.iter().map(|remark| format!("\n  {remark}")));
        return text;
    };
    let whose = if definition.is_ours { "" } else { " (not written by hallpass service install)" };
    let _ = write!(text, "\n  installed: {}{whose}", definition.place);
    let when = match scope {
        Scope::User => "with your log-in",
        Scope::System => "with the machine",
    };
    let starts = if status.enabled { when } else { "only by hallpass service start" };
    let _ = write!(text, "\n  starts:    {starts}");
    match &status.running {
        None => text.push_str("\n  runs:      no"),
        Some(running) => {
            let pid = running.pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
            let since = running.since.as_ref().map(|since| format!(", since {since}")).unwrap_or_default();
            let _ = write!(text, "\n  runs:      yes{pid}{since}");
            if let Some(says) = &running.says {
                let _ = write!(text, "\n  says:      {says}");
            }
        }
    }
    for remark in &status.remarks {
        let _ = write!(text, "\n  {remark}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Definition, Running};

    #[test]
    fn a_service_is_told_by_what_a_person_would_ask() {
        let mut status = Status {
            name: "hallpass.service".into(),
            definition: None,
            enabled: false,
            running: None,
            remarks: Vec::new(),
        };
        let text = of(&status, Scope::User);
        assert_eq!(text, "hallpass.service: not installed; hallpass service install --user does that");
        status.definition = Some(Definition { place: "/x/hallpass.service".into(), is_ours: false });
        status.remarks = vec!["the last run ended with 1".into()];
        let text = of(&status, Scope::System);
        assert_eq!(
            text,
            "hallpass.service\n  installed: /x/hallpass.service (not written by hallpass service install)\n  \
             starts:    only by hallpass service start\n  runs:      no\n  the last run ended with 1"
        );
        status.enabled = true;
        status.remarks.clear();
        status.definition = Some(Definition { place: "/x/hallpass.service".into(), is_ours: true });
        status.running = Some(Running {
            pid: Some(7),
            since: Some("noon".into()),
            says: Some("listening on 127.0.0.1:3128".into()),
        });
        let text = of(&status, Scope::System);
        assert_eq!(
            text,
            "hallpass.service\n  installed: /x/hallpass.service\n  starts:    with the machine\n  \
             runs:      yes, pid 7, since noon\n  says:      listening on 127.0.0.1:3128"
        );
    }
}
