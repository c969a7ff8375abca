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

fn holds(limits: Limits) -> Explored {
    let explored = match explore(limits, Defects::default()) {
        Ok(explored) => explored,
        Err(broken) => panic!("{limits:?}: {}:\n{}", broken.what, broken.steps.join("\n")),
    };
    // Shown with `--nocapture`, and when the test fails.
    assert!(explored.decided > 0, "{limits:?}: {explored:?}");
    explored
}

#[test]
fn scratch() {
    for limits in [
        Limits { proposers: 1, readers: 1, told: true, ..NOTHING },
        Limits { proposers: 1, readers: 1, crashes: 1, ..NOTHING },
        Limits { proposers: 1, readers: 1, losses: 1, ..NOTHING },
        Limits { proposers: 2, ..NOTHING },
        Limits { proposers: 2, crashes: 1, ..NOTHING },
        Limits { proposers: 2, losses: 1, ..NOTHING },
        Limits { proposers: 2, attempts: 2, ..NOTHING },
    ] {
        let started = std::time::SystemTime::now();
        let explored = holds(limits);
        eprintln!("{limits:?}: {explored:?} {:?}", started.elapsed());
    }
}
