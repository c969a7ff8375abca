//! For tests of systems on this machine: one check over many seeds, of which each can be run alone.
//!
//! ```
//! use unplug_sim::{Site, World, WorldConfig, env::{Disk, Env, OpenMode}, fault::Plan, testing};
//!
//! # /*
//! #[test]
//! # */
//! fn a_synced_file_stays() {
//!     // This crate does not touch the operating system, so a test hands it the variables.
//!     let variable = |name: &str| std::env::var(name).ok();
//!     testing::seeds("a_synced_file_stays", 0..20, variable, |seed| {
//!         let mut world = World::new(WorldConfig::new(seed));
//!         let node = world.add_node("node", Site::DataCentre, |env| async move {
//!             env.disk().open("/log", OpenMode::Create).await.unwrap();
//!             env.disk().sync_dir("/").await.unwrap();
//!             Ok(())
//!         });
//!         world.load(&Plan::power_loss(1_000_000_000)).unwrap();
//!         world.start(node);
//!         world.run_until(1_000_000_000);
//!         assert_eq!(world.disk(node, |disk| disk.read_dir("/")), Ok(vec!["log".to_owned()]));
//!     });
//! }
//! # a_synced_file_stays();
//! ```
//!
//! A seed that fails is named with the line that runs it alone:
//! `UNPLUG_SEED=17 cargo test a_synced_file_stays`. More seeds, or others: `UNPLUG_SEEDS=1000`, or
//! `UNPLUG_SEEDS=500..600`.

use std::{
    any::Any,
    ops::Range,
    panic::{self, AssertUnwindSafe},
};

/// The variable that names one seed.
pub const SEED: &str = "UNPLUG_SEED";
/// The variable that names a range `A..B` of seeds, or how many from 0 on.
pub const SEEDS: &str = "UNPLUG_SEEDS";

/// Runs a check with each of these seeds, in order, or with those that the variables [`SEED`] or
/// [`SEEDS`] name; `variable` reads one. `name` is what to call the test on a command line.
///
/// # Panics
/// If the check panics: with the seed, what it said, and the line that runs that seed alone. Or if a
/// variable makes no sense, or there is no seed to run.
pub fn seeds(
    name: &str,
    seeds: Range<u64>,
    variable: impl Fn(&str) -> Option<String>,
    check: impl Fn(u64),
) {
    let chosen = chosen(seeds, variable).unwrap_or_else(|problem| panic!("{problem}"));
    for seed in chosen {
        if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(|| check(seed))) {
            let said = said(panic.as_ref());
            panic!("seed {seed}: {said}\nrun it again: {SEED}={seed} cargo test {name}");
        }
    }
}

/// The seeds that the variables name, or else these.
fn chosen(
    seeds: Range<u64>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Range<u64>, String> {
    let chosen = match (variable(SEED), variable(SEEDS)) {
        (Some(seed), _) => {
            let one = seed.parse().ok().and_then(|seed: u64| Some(seed..seed.checked_add(1)?));
            one.ok_or_else(|| format!("{SEED}: {seed:?} is no seed; it must be a number, as 17"))?
        }
        (None, Some(range)) => {
            let parsed = match range.split_once("..") {
                Some((from, to)) => from.parse().ok().zip(to.parse().ok()).map(|(a, b)| a..b),
                None => range.parse().ok().map(|count| 0..count),
            };
            parsed.ok_or_else(|| {
                format!("{SEEDS}: {range:?} is no range of seeds; it must be A..B, or a count")
            })?
        }
        (None, None) => seeds,
    };
    if chosen.is_empty() {
        return Err(format!("{chosen:?} has no seed in it, and the test would show nothing"));
    }
    Ok(chosen)
}

fn said(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn with(seed: Option<&str>, seeds: Option<&str>) -> Result<Range<u64>, String> {
        chosen(3..5, |name| match name {
            SEED => seed.map(str::to_owned),
            SEEDS => seeds.map(str::to_owned),
            _ => None,
        })
    }

    #[test]
    fn the_variables_choose_and_one_seed_goes_before_a_range() {
        assert_eq!(with(None, None), Ok(3..5));
        assert_eq!(with(Some("17"), Some("9")), Ok(17..18));
        assert_eq!(with(None, Some("9")), Ok(0..9));
        assert_eq!(with(None, Some("7..9")), Ok(7..9));
    }

    #[test]
    fn a_variable_that_makes_no_sense_is_told() {
        let max = u64::MAX.to_string();
        for (seed, seeds) in [
            (Some("x"), None),
            (Some(max.as_str()), None),
            (None, Some("1...2")),
            (None, Some("0")),
        ] {
            assert!(with(seed, seeds).is_err(), "{seed:?} {seeds:?}");
        }
        let problem = "UNPLUG_SEEDS: \"a..b\" is no range of seeds; it must be A..B, or a count";
        assert_eq!(with(None, Some("a..b")), Err(problem.to_owned()));
    }

    #[test]
    fn a_seed_that_fails_is_named_with_the_line_that_runs_it_alone() {
        let ran = RefCell::new(Vec::new());
        let failed = panic::catch_unwind(AssertUnwindSafe(|| {
            seeds(
                "mine",
                0..9,
                |_| None,
                |seed| {
                    ran.borrow_mut().push(seed);
                    assert!(seed < 2, "too much");
                },
            );
        }));
        let said = said(failed.expect_err("the third fails").as_ref()).to_owned();
        assert_eq!(said, "seed 2: too much\nrun it again: UNPLUG_SEED=2 cargo test mine");
        assert_eq!(ran.into_inner(), [0, 1, 2]);
    }
}
