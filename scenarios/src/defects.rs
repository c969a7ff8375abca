//! The names of the defects that can be switched on. The defects themselves are in the engine.

use crate::input::{Invalid, unknown};

/// Each defect's name, and what it does.
pub const DEFECTS: [(&str, &str); 3] = [
    ("ack-before-sync", "the broker acknowledges input before it is durable"),
    ("skip-dir-sync", "a durable put leaves out the sync of its directory"),
    ("sink-not-idempotent", "the sink applies an epoch again that it already has"),
];

/// Checks a name.
///
/// # Errors
/// If no defect has it.
pub fn check(name: &str) -> Result<(), Invalid> {
    if DEFECTS.iter().any(|(known, _)| *known == name) {
        return Ok(());
    }
    Err(Invalid::new(unknown("defect", name, DEFECTS.iter().map(|(known, _)| *known))))
}

/// Adds defects to those that a scenario has switched on.
///
/// # Errors
/// If no defect has one of these names.
pub fn switch_on(on: &mut Vec<String>, names: &[String]) -> Result<(), Invalid> {
    for name in names {
        check(name)?;
        if !on.contains(name) {
            on.push(name.clone());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_is_switched_on_once_and_only_if_it_is_there() {
        let mut on = vec!["skip-dir-sync".to_owned()];
        let names = ["ack-before-sync", "skip-dir-sync"].map(str::to_owned);
        assert_eq!(switch_on(&mut on, &names), Ok(()));
        assert_eq!(on, ["skip-dir-sync", "ack-before-sync"]);
        let error = switch_on(&mut on, &["none".to_owned()]).expect_err("unknown").to_string();
        assert!(error.starts_with("unknown defect \"none\"; known: ack-before-sync, "), "{error}");
    }
}
