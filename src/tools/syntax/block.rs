//! Lines of ours between two marks, in a file that is somebody else's, such as a shell's.

use super::{Unreadable, with_lines_behind, without_lines};

/// How the shell's comments begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(pub &'static str);

impl Mark {
    fn first(self) -> String {
        format!("{} >>> hallpass >>>", self.0)
    }

    fn last(self) -> String {
        format!("{} <<< hallpass <<<", self.0)
    }
}

/// The lines between the marks, and where all of it stands.
fn find(mark: Mark, text: &str) -> Result<Option<(String, std::ops::Range<usize>)>, Unreadable> {
    let (mut at, mut open, mut body) = (0, None, Vec::new());
    for line in text.split_inclusive('\n') {
        let (begin, end) = (at, at + line.len());
        at = end;
        let line = line.trim_end_matches(['\r', '\n']);
        match open {
            None if line.trim() == mark.first() => open = Some(begin),
            Some(first) if line.trim() == mark.last() => return Ok(Some((body.join("\n"), first..end))),
            Some(_) => body.push(line),
            None => {}
        }
    }
    match open {
        None => Ok(None),
        Some(begin) => {
            let cause = format!("the line {:?} is never followed by {:?}: take it out", mark.first(), mark.last());
            Err(Unreadable::at(text, begin, cause))
        }
    }
}

pub fn get(mark: Mark, text: &str) -> Result<Option<String>, Unreadable> {
    Ok(find(mark, text)?.map(|(body, _)| body))
}

pub fn set(mark: Mark, text: &str, body: &str) -> Result<String, Unreadable> {
    let block = format!("{}\n{body}\n{}", mark.first(), mark.last());
    Ok(match find(mark, text)? {
        None => with_lines_behind(text, &block),
        Some((_, place)) => {
            let end = super::line_end(text);
            let was = &text[place.clone()];
            let last = &was[was.trim_end_matches(['\r', '\n']).len()..];
            format!("{}{}{last}{}", &text[..place.start], block.replace('\n', end), &text[place.end..])
        }
    })
}

pub fn unset(mark: Mark, text: &str) -> Result<String, Unreadable> {
    Ok(find(mark, text)?.map_or_else(|| text.to_string(), |(_, place)| without_lines(text, place)))
}
