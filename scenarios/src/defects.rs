//! Switching defects on by name. The defects themselves are in the engine.

use unplug_engine::defect::Defect;

use crate::input::{Invalid, unknown};

/// Checks a name.
///
/// # Errors
/// If no defect has it.
pub fn check(name: &str) -> Result<Defect, Invalid> {
    name.parse()
        .map_err(|_| Invalid::new(unknown("defect", name, Defect::known().map(Defect::name))))
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
