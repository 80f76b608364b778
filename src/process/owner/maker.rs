//! Whether a process can be the one that made a connection. Numbers of processes are given anew, so one that began later
//! only has the number of another one that is gone, and left its connection to somebody.

use super::OwnerError;

/// When a process began and when a connection was made, in the same units. What is not known, zero among it, is no proof.
pub(super) fn check(began: Option<i64>, made: i64) -> Result<(), OwnerError> {
    match began {
        Some(began) if began > 0 && made > 0 && began <= made => Ok(()),
        Some(began) if began > 0 && made > 0 => Err(OwnerError::Younger),
        Some(_) | None => Err(OwnerError::Undated),
    }
}

#[cfg(test)]
mod tests {
    use super::{OwnerError, check};

    #[test]
    fn only_who_is_known_to_have_begun_before_a_connection_has_made_it() {
        for (began, made, why_not) in [
            (Some(100), 101, None),
            (Some(100), 100, None),
            (Some(101), 100, Some(OwnerError::Younger)),
            (Some(100), 0, Some(OwnerError::Undated)),
            (None, 100, Some(OwnerError::Undated)),
            (None, 0, Some(OwnerError::Undated)),
            (Some(0), 100, Some(OwnerError::Undated)),
            (Some(0), 0, Some(OwnerError::Undated)),
            (Some(-1), 100, Some(OwnerError::Undated)),
            (Some(100), -1, Some(OwnerError::Undated)),
        ] {
            let said = check(began, made).err().map(|error| error.to_string());
            assert_eq!(said, why_not.map(|error| error.to_string()), "began {began:?}, made {made}");
        }
    }
}
