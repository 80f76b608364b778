//! How the examination goes on, in one line that a person at a terminal sees change.

use crate::cli::output;
use crate::doctor::Progress;

/// Names are cut where a terminal of usual width ends.
const WIDTH: usize = 78;

/// Says nothing where nobody looks on.
#[derive(Default)]
pub(super) struct Line {
    all: usize,
    over: usize,
    running: Vec<String>,
}

impl Line {
    pub fn of(&mut self, all: usize) {
        self.all = all;
    }

    pub fn say(&self, text: &str) {
        output::progress(text);
    }

    pub fn tell(&mut self, progress: &Progress<'_>) {
        match progress {
            Progress::Began(name) => self.running.push((*name).into()),
            Progress::Ended(name, _) => {
                self.running.retain(|running| running != name);
                self.over += 1;
            }
        }
        self.say(&self.text());
    }

    pub fn clear(&self) {
        self.say("");
    }

    fn text(&self) -> String {
        let text = format!("{} of {} checks done: {}", self.over, self.all, self.running.join(", "));
        match text.char_indices().nth(WIDTH) {
            Some((end, _)) => format!("{}\u{2026}", &text[..end]),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Finding;

    #[test]
    fn what_still_runs_is_named_as_far_as_the_line_reaches() {
        let mut line = Line::default();
        line.of(3);
        line.tell(&Progress::Began("configuration"));
        line.tell(&Progress::Began("upstream http://proxy.example:8080"));
        assert_eq!(line.text(), "0 of 3 checks done: configuration, upstream http://proxy.example:8080");
        line.tell(&Progress::Ended("configuration", &Finding::fine("x")));
        assert_eq!(line.text(), "1 of 3 checks done: upstream http://proxy.example:8080");
        line.tell(&Progress::Began("a target with a name that reaches beyond the end of the line"));
        assert_eq!(line.text().chars().count(), WIDTH + 1);
    }
}
