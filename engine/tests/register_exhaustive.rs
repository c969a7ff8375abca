//! Every interleaving of a small cluster's registers, up to a stated bound.
//!
//! Checked: no two values are ever learned as decided, and no reader that begins after a decision
//! was learned is told that there is none. With each planted bug of the protocol the same search
//! finds a way to break that.
//!
//! Not covered, since it makes no difference to one register or is tested elsewhere: floors and
//! generations, several registers, pages, more than three stores, lost disks of two stores at a
//! time (which is beyond what the system promises).

mod exhaustive;

use exhaustive::{Explored, Limits, explore};
use unplug_engine::defect::Defects;

const NOTHING: Limits =
    Limits { proposers: 0, attempts: 1, readers: 0, told: false, crashes: 0, losses: 0 };

/// Tries everything within the limits; it must come to this number of states, so that a change of
/// the check itself does not go unnoticed.
fn holds(limits: Limits, states: u64) -> Explored {
    let explored = match explore(limits, Defects::default()) {
        Ok(explored) => explored,
        Err(broken) => panic!("{limits:?}: {}:\n{}", broken.what, broken.steps.join("\n")),
    };
    assert!(explored.states == states && explored.decided > 0, "{limits:?}: {explored:?}");
    explored
}

#[test]
fn two_proposers_agree() {
    holds(Limits { proposers: 2, ..NOTHING }, 909);
    holds(Limits { proposers: 2, crashes: 1, ..NOTHING }, 69005);
}

#[test]
fn a_reader_sees_what_was_decided_before() {
    holds(Limits { proposers: 1, readers: 1, told: true, ..NOTHING }, 1255);
    holds(Limits { proposers: 1, readers: 1, crashes: 1, ..NOTHING }, 1569);
}

#[test]
fn a_lost_disk_loses_no_decision() {
    let explored = holds(Limits { proposers: 1, readers: 1, losses: 1, ..NOTHING }, 13615);
    assert!(explored.rebuilt > 0, "{explored:?}");
}

#[cfg(feature = "defects")]
mod without {
    use unplug_engine::defect::Defect;

    use super::*;

    /// The search finds how a decision is lost, in a way that a person can follow.
    fn is_broken(defect: Defect, limits: Limits, last: &str) {
        let broken = match explore(limits, Defects::of(&[defect])) {
            Ok(explored) => panic!("{defect}: not found in {explored:?}"),
            Err(broken) => broken,
        };
        assert!(broken.steps.iter().any(|step| step.starts_with(last)), "{defect}: {broken:?}");
    }

    #[test]
    fn durability_before_the_answer_a_decision_is_lost() {
        let limits = Limits { proposers: 1, readers: 1, crashes: 1, ..NOTHING };
        is_broken(Defect::VoteBeforeSync, limits, "Crash");
    }

    #[test]
    fn abstention_of_the_rebuilt_a_decision_is_lost() {
        let limits = Limits { proposers: 1, readers: 1, losses: 1, ..NOTHING };
        is_broken(Defect::RebuiltVotesAtOnce, limits, "LoseDisk");
    }

    #[test]
    fn incarnations_a_decision_is_lost() {
        let limits = Limits { proposers: 1, readers: 1, losses: 1, ..NOTHING };
        is_broken(Defect::IncarnationsIgnored, limits, "HandOver");
    }
}
