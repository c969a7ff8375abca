//! Every interleaving of a small cluster's registers.
//!
//! Checked: no two values are ever learned as decided, and no reader that begins after a decision
//! was learned is told that there is none. With two that ask for votes at once, and with each
//! planted bug of the protocol, the same search, within the same limits, finds a shortest way to
//! break that.
//!
//! Covered, each without a bound on the length of histories (the search comes to an end by itself;
//! the number of depths is the longest history that is not a detour), over three stores:
//! - two proposers with a value each; with a crash; with a lost disk; with both a lost disk and a
//!   crash, in either order;
//! - one proposer that asks for votes at once, beside another; with both a lost disk and a crash;
//!   beside two others; beside a reader, with decisions told and a lost disk;
//! - three attempts, that is a second one of one of them, without faults;
//! - a proposer and a reader, with decisions told, with a crash, with a lost disk.
//!
//! Covered up to a bound on the length, 13 steps: three attempts and a lost disk; two lost disks,
//! one after the other. What counts as one step, and what is left out and why, says
//! `exhaustive/model.rs`.
//!
//! Not covered: a reader that looks before the decision. It alone could take what a rebuilt store
//! adopted for a vote; unit tests of `register::slot` and `register::reader` say that it must not.
//! Nor that a hand-over does not count whose giver forgot it since, which takes longer histories
//! of two lost disks than are tried here; a unit test of `register::rebuild` says so.
//!
//! Not covered, since it makes no difference to one register or is tested elsewhere: floors and
//! generations, several registers, pages, more than three stores, lost disks of two stores at a
//! time (which is beyond what the system promises).

mod exhaustive;

use exhaustive::{Broken, Explored, Limits, explore};
use unplug_engine::defect::Defects;

/// Two proposers and no faults; no history is as long as this.
const TWO: Limits = Limits {
    attempts: &["a", "b"],
    at_once: 0,
    readers: 0,
    told: false,
    crashes: 0,
    losses: 0,
    steps: usize::MAX,
};

const LOST: Limits = Limits { losses: 1, ..TWO };

const LOST_AND_CRASHED: Limits = Limits { losses: 1, crashes: 1, ..TWO };

const READ: Limits = Limits { attempts: &["a"], readers: 1, ..TWO };

fn told(broken: &Broken) -> String {
    format!("{}:\n{}", broken.what, broken.steps.join("\n"))
}

/// Tries everything within the limits. The states by the length of the shortest history to them
/// must come to these numbers, so that a change of the check itself does not go unnoticed.
fn holds(limits: Limits, by_depth: &[usize]) -> Explored {
    let explored = match explore(&limits, Defects::default()) {
        Ok(explored) => explored,
        Err(broken) => panic!("{limits:?}: {}", told(&broken)),
    };
    assert_eq!(explored.by_depth, by_depth, "{limits:?}: {} states", explored.states());
    assert!(explored.decided > 0, "{limits:?}: {explored:?}");
    assert_eq!(explored.rebuilt > 0, limits.losses > 0, "{limits:?}: {explored:?}");
    assert_eq!(explored.cut, limits.steps < usize::MAX, "{limits:?}");
    explored
}

#[test]
fn two_proposers_agree() {
    holds(
        TWO,
        &[1, 2, 5, 9, 12, 15, 25, 38, 67, 92, 125, 128, 135, 123, 113, 110, 82, 75, 46, 35, 12, 4],
    );
    holds(
        Limits { crashes: 1, ..TWO },
        &[
            1, 2, 6, 11, 17, 24, 37, 53, 92, 130, 192, 220, 260, 251, 248, 233, 195, 185, 128, 110,
            58, 39, 12, 4,
        ],
    );
}

#[test]
fn a_second_attempt_changes_no_decision() {
    holds(
        Limits { attempts: &["a", "b", "a"], ..TWO },
        &[
            1, 3, 9, 22, 36, 58, 95, 148, 262, 402, 632, 830, 1100, 1342, 1637, 2032, 2443, 3089,
            3453, 3998, 3840, 3840, 3324, 2878, 2534, 1837, 1570, 854, 540, 158, 38, 5,
        ],
    );
    holds(
        Limits { attempts: &["a", "b", "a"], steps: 13, ..LOST },
        &[1, 4, 14, 49, 112, 283, 606, 1298, 2567, 4834, 8654, 14625, 23813, 36934],
    );
}

#[test]
fn two_proposers_agree_though_a_disk_is_lost() {
    holds(
        LOST,
        &[
            1, 3, 9, 27, 54, 120, 221, 412, 708, 1152, 1815, 2670, 3826, 5142, 6580, 7899, 8781,
            9160, 8775, 7875, 6776, 5396, 4150, 2745, 1601, 750, 244, 55, 3,
        ],
    );
}

#[test]
fn two_proposers_agree_though_a_disk_is_lost_and_a_store_crashes() {
    holds(
        LOST_AND_CRASHED,
        &[
            1, 3, 11, 35, 88, 211, 446, 884, 1649, 2893, 4853, 7679, 11718, 16930, 23420, 30569,
            37778, 43830, 47797, 48853, 46920, 42676, 36589, 29425, 21885, 14710, 8709, 4371, 1787,
            590, 145, 28, 3,
        ],
    );
}

#[test]
fn one_that_asks_for_votes_at_once_agrees_with_others() {
    holds(Limits { at_once: 1, ..TWO }, &[1, 2, 5, 9, 12, 15, 20, 23, 28, 29, 31, 19, 15, 6, 2]);
    holds(
        Limits { at_once: 1, ..LOST_AND_CRASHED },
        &[
            1, 3, 11, 35, 88, 211, 439, 844, 1464, 2322, 3370, 4487, 5534, 6274, 6597, 6390, 5804,
            4787, 3537, 2258, 1209, 526, 187, 48, 10, 1,
        ],
    );
    holds(
        Limits { at_once: 1, attempts: &["a", "b", "c"], ..TWO },
        &[
            1, 3, 9, 22, 36, 58, 89, 124, 189, 269, 413, 545, 746, 863, 1002, 1011, 1017, 988, 815,
            721, 388, 244, 77, 21, 2,
        ],
    );
    holds(
        Limits { at_once: 1, losses: 1, told: true, ..READ },
        &[
            1, 2, 5, 12, 19, 37, 56, 101, 186, 347, 611, 970, 1363, 1829, 2296, 2679, 2824, 2748,
            2323, 1807, 1215, 719, 338, 140, 46, 16, 4, 1,
        ],
    );
}

#[test]
fn two_that_ask_for_votes_at_once_may_not_agree() {
    let broken = explore(&Limits { at_once: 2, ..TWO }, Defects::default());
    let broken = broken.expect_err("two values decided");
    assert!(broken.what.starts_with("both "), "{}", told(&broken));
}

#[test]
fn two_proposers_agree_though_two_disks_are_lost_in_turn() {
    holds(
        Limits { losses: 2, steps: 13, ..TWO },
        &[1, 3, 9, 27, 54, 122, 233, 470, 909, 1786, 3451, 6516, 11747, 20129],
    );
}

#[test]
fn a_reader_sees_what_was_decided_before() {
    holds(
        Limits { told: true, ..READ },
        &[
            1, 1, 2, 2, 2, 2, 5, 8, 11, 11, 17, 27, 43, 62, 72, 70, 69, 49, 46, 35, 33, 20, 10, 5,
            2, 1,
        ],
    );
    holds(
        Limits { crashes: 1, ..READ },
        &[1, 1, 3, 3, 4, 4, 7, 10, 16, 19, 24, 24, 27, 30, 33, 32, 34, 26, 26, 20, 14, 11, 4, 2, 1],
    );
}

#[test]
fn a_lost_disk_loses_no_decision() {
    holds(
        Limits { losses: 1, ..READ },
        &[
            1, 2, 5, 12, 19, 34, 47, 70, 102, 139, 198, 254, 318, 381, 477, 604, 717, 805, 910,
            954, 910, 789, 578, 363, 199, 85, 33, 10, 3, 1,
        ],
    );
}

#[cfg(feature = "defects")]
mod without {
    use unplug_engine::defect::Defect;

    use super::*;

    /// The search finds how agreement is lost, with so many steps and none fewer: fewer than the
    /// longest history, which the sound protocol was checked to.
    fn is_broken(defect: Defect, limits: Limits, steps: usize, must: &str) {
        let broken = match explore(&limits, Defects::of(&[defect])) {
            Ok(explored) => panic!("{defect}: not found in {explored:?}"),
            Err(broken) => broken,
        };
        assert_eq!(broken.steps.len(), steps, "{defect}: {}", told(&broken));
        assert!(broken.steps.iter().any(|step| step.contains(must)), "{}", told(&broken));
    }

    #[test]
    fn durability_before_the_answer_agreement_is_lost() {
        is_broken(Defect::VoteBeforeSync, LOST_AND_CRASHED, 15, "crashes");
    }

    #[test]
    fn abstention_of_the_rebuilt_agreement_is_lost() {
        is_broken(Defect::RebuiltVotesAtOnce, LOST, 20, "loses its disk");
    }

    #[test]
    fn incarnations_agreement_is_lost() {
        is_broken(Defect::IncarnationsIgnored, LOST, 21, "hands over");
    }
}
