//! The first line of what we write: it says who wrote it, and shows whether somebody has changed it since.

use sha2::{Digest as _, Sha256};

const BY: &str = "hallpass service install wrote this file, and writes it anew when it is called again";

/// Whose a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    Us,
    /// Ours, and somebody has changed it.
    UsOnce,
    Another,
}

/// `open` and `close` make a comment of a line, as `#` does.
pub fn sign(open: &str, close: &str, text: &str) -> String {
    format!("{open} {BY} ({}){close}\n{text}", mark(text))
}

/// Behind another first line that must stay the first one.
pub fn author(text: &str) -> Author {
    let Some((line, rest)) = text.split_once('\n') else { return Author::Another };
    match line.split_once(BY) {
        Some((_, end)) if end.contains(&format!("({})", mark(rest))) => Author::Us,
        Some(_) => Author::UsOnce,
        None => Author::Another,
    }
}

fn mark(text: &str) -> String {
    Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_ours_is_known_until_somebody_changes_it() {
        for (open, close) in [("#", ""), ("<!--", " -->")] {
            let text = sign(open, close, "[Unit]\nDescription=x\n");
            assert!(text.starts_with(open) && text.ends_with("\nDescription=x\n"), "{text}");
            assert_eq!(author(&text), Author::Us, "{text}");
            assert_eq!(author(&text.replace("=x", "=y")), Author::UsOnce);
            assert_eq!(author(&(text + "Also=a.socket\n")), Author::UsOnce);
        }
        for text in ["", "[Unit]\n", "# by hand\n[Unit]\n"] {
            assert_eq!(author(text), Author::Another);
        }
    }
}
