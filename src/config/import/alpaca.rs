//! alpaca's account: `NTLM_CREDENTIALS="user@DOMAIN:hash"`, in the environment or in a shell's profile.

use super::{Fate, Imported, Line, Settings, refused, taken};
use crate::config::credentials::is_nt_hash;

pub const VARIABLE: &str = "NTLM_CREDENTIALS";

/// The lines of a profile that set it; whatever else is in there is no setting of alpaca's.
pub fn read(name: &str, text: &str) -> Imported {
    let mut imported = Imported::default();
    for (at, line) in text.lines().enumerate() {
        let Some(value) = assigned(line) else { continue };
        let fate = credentials(&mut imported.settings, value);
        imported.lines.push(Line { place: format!("{name}:{}", at + 1), key: VARIABLE.into(), fate });
    }
    imported
}

/// What `export NTLM_CREDENTIALS="…"`, `NTLM_CREDENTIALS=…; export …` or `setx NTLM_CREDENTIALS …` sets it to.
fn assigned(line: &str) -> Option<&str> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let (_, rest) = line.split_once(VARIABLE)?;
    let rest = rest.trim_start_matches(['=', ' ', '\t', '"', '\'']);
    let value = rest.split(['"', '\'', ';', ' ', '\t']).next()?;
    (!value.is_empty()).then_some(value)
}

pub fn credentials(settings: &mut Settings, value: &str) -> Fate {
    let parts = value.rsplit_once(':').and_then(|(who, hash)| Some((who.rsplit_once('@')?, hash)));
    match parts {
        Some(((user, domain), hash)) if is_nt_hash(hash) && !user.is_empty() && !domain.is_empty() => {
            let user = format!("{domain}\\{user}");
            let fate = taken(format!("[credentials.imported] user = '{user}', nt_hash (not shown)"));
            (settings.user, settings.nt_hash) = (Some(user), Some(hash.to_ascii_lowercase()));
            fate
        }
        Some(_) | None => refused("it is not user@DOMAIN:HASH with 32 hexadecimal digits, as alpaca -H prints it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_found_however_a_profile_sets_it() {
        let hash = "823893adfad2cda6e1a414f3ebdf58f7";
        for line in [
            format!("export NTLM_CREDENTIALS=\"malory@ISIS:{hash}\""),
            format!("NTLM_CREDENTIALS='malory@ISIS:{hash}'; export NTLM_CREDENTIALS"),
            format!("setx NTLM_CREDENTIALS malory@ISIS:{hash}"),
        ] {
            let imported = read(".profile", &format!("# me\n{line}\nexport NTLM_CREDENTIALS\n"));
            let settings = imported.settings;
            assert_eq!((settings.user.as_deref(), settings.nt_hash.as_deref()), (Some("ISIS\\malory"), Some(hash)));
            assert_eq!(imported.lines.len(), 1);
            assert!(!imported.lines[0].to_string().contains(hash));
        }
        let wrong = read(".profile", "NTLM_CREDENTIALS=malory:secret\n");
        assert!(matches!(wrong.lines[0].fate, Fate::Refused(_)) && !wrong.lines[0].to_string().contains("secret"));
    }
}
