//! Which cells are measured: a grid that is built in, or one from a file.
//!
//! ```json
//! {"rows": [
//!   {"faults": ["driver-kill", "executor-power"], "setting": {"epoch_interval_ns": 2000000000}},
//!   {"faults": ["broker-power"]}
//! ]}
//! ```
//!
//! Each row is its faults under one setting; what a setting does not name is as in
//! [`Setting::default`].

use std::{collections::BTreeSet, path::Path};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    fault::Fault,
    setting::{Network, Setting},
};
use crate::{
    files,
    input::{self, Invalid},
    scenario::Hardware,
};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const MB: u64 = 1_000_000;
const GB: u64 = 1_000 * MB;

/// The faults at which what is varied beside them tells most.
const TELLING: [Fault; 4] =
    [Fault::None, Fault::ExecutorPower, Fault::DriverKill, Fault::DataCentrePower];

/// The faults that the size of a state is varied with.
const SIZE: [Fault; 4] =
    [Fault::None, Fault::ExecutorPower, Fault::DriverKill, Fault::DataCentrePower];

/// A fault under a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What breaks.
    pub fault: Fault,
    /// Under what.
    pub setting: Setting,
}

impl Cell {
    /// Its name: the fault, and what differs from the default setting.
    #[must_use]
    pub fn name(&self) -> String {
        let setting = self.setting.name();
        let dash = if setting.is_empty() { "" } else { "-" };
        format!("{}{dash}{setting}", self.fault.name())
    }
}

/// The cells that a file names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Its rows.
    pub rows: Vec<Row>,
}

/// Some faults under one setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What breaks, one in each cell.
    pub faults: Vec<Fault>,
    /// Under what; the default if absent.
    #[serde(default)]
    pub setting: Setting,
}

impl Row {
    fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        self.faults.iter().map(|fault| Cell { fault: *fault, setting: self.setting.clone() })
    }
}

impl Grid {
    /// The grid that is meant by a name, or by the path of a file.
    ///
    /// # Errors
    /// If it is neither, or the file makes no sense.
    pub fn named(name: &str) -> Result<Self, Invalid> {
        match name {
            "quick" => Ok(Self::quick()),
            "full" => Ok(Self::full()),
            "state" => Ok(Self::state()),
            path => {
                let text = files::read(Path::new(path)).map_err(|error| {
                    Invalid::new(format!("--grid must be quick, full, state, or a file; {error}"))
                })?;
                input::parse(path, &text)
            }
        }
    }

    /// All faults under the default setting, and some under a few others.
    #[must_use]
    pub fn quick() -> Self {
        let mut rows = vec![Row { faults: Fault::ALL.to_vec(), setting: Setting::default() }];
        let mut vary = |faults: &[Fault], change: &dyn Fn(&mut Setting)| {
            let mut setting = Setting::default();
            change(&mut setting);
            rows.push(Row { faults: faults.to_vec(), setting });
        };
        for interval_ns in [100 * MS, 2 * SECOND] {
            vary(&TELLING, &|setting| setting.epoch_interval_ns = interval_ns);
        }
        let faults = vec![Fault::ExecutorPower, Fault::DriverKill, Fault::DataCentrePower];
        rows.push(Row { faults, setting: Setting::with_state(100 * MB) });
        Self { rows }
    }

    /// The size of the state, from 1 MB to 10 GB in each partition, under each design.
    #[must_use]
    pub fn state() -> Self {
        let mut rows = Vec::new();
        for state_bytes in [MB, 10 * MB, 100 * MB, GB, 3 * GB, 10 * GB] {
            let usual = Setting::with_state(state_bytes);
            let full = Setting { full_snapshots: true, ..usual.clone() };
            let speculative = Setting { speculation: true, ..usual.clone() };
            let rows_of = [full, usual, speculative];
            rows.extend(rows_of.map(|setting| Row { faults: SIZE.to_vec(), setting }));
        }
        Self { rows }
    }

    /// The quick grid, and each dimension by itself at the telling faults.
    #[must_use]
    pub fn full() -> Self {
        let mut rows = Self::quick().rows;
        let mut vary = |change: &dyn Fn(&mut Setting)| {
            let mut setting = Setting::default();
            change(&mut setting);
            rows.push(Row { faults: TELLING.to_vec(), setting });
        };
        for interval_ns in [250 * MS, SECOND, 5 * SECOND, 10 * SECOND] {
            vary(&|setting| setting.epoch_interval_ns = interval_ns);
        }
        // The rate is lower, for an epoch reads at the most 500 tuples of a partition.
        vary(&|setting| {
            (setting.epoch_interval_ns, setting.tuples_per_second) = (60 * SECOND, 20);
        });
        for load in [50, 70, 90] {
            vary(&|setting| setting.load_percent = load);
        }
        for executors in [10, 30] {
            vary(&|setting| setting.executors = executors);
        }
        for (heartbeat_ns, timeout_ns) in
            [(20 * MS, 100 * MS), (200 * MS, SECOND), (SECOND, 10 * SECOND)]
        {
            vary(&|setting| {
                (setting.heartbeat_ns, setting.failure_timeout_ns) = (heartbeat_ns, timeout_ns);
            });
        }
        for network in [Network::Clean, Network::Region] {
            vary(&|setting| setting.network = network);
        }
        vary(&|setting| setting.speculation = false);
        vary(&|setting| {
            (setting.keys, setting.window_ms) = (5_000, 3_600_000);
            setting.tuples_per_second = 500;
        });
        for hardware in [Hardware::CloudEbs, Hardware::Hdd] {
            vary(&|setting| setting.hardware = hardware);
        }
        let known: BTreeSet<_> = rows.iter().flat_map(Row::cells).map(|cell| cell.name()).collect();
        let mut sizes = Self::state().rows;
        for row in &mut sizes {
            let setting = row.setting.clone();
            row.faults.retain(|fault| {
                let cell = Cell { fault: *fault, setting: setting.clone() };
                !known.contains(&cell.name())
            });
        }
        rows.extend(sizes.into_iter().filter(|row| !row.faults.is_empty()));
        Self { rows }
    }

    /// The cells, each once.
    ///
    /// # Errors
    /// If there is none, or two have one name, or a setting makes no sense.
    pub fn cells(&self) -> Result<Vec<Cell>, Invalid> {
        let mut cells = Vec::new();
        let mut names = BTreeSet::new();
        for (place, row) in self.rows.iter().enumerate() {
            for cell in row.cells() {
                if !names.insert(cell.name()) {
                    let problem = format!("{} is there already", cell.name());
                    return Err(Invalid::at(&format!("rows[{place}]"), problem));
                }
                cell.setting
                    .scenario("x")
                    .map_err(|error| error.within(&format!("rows[{place}].setting")))?;
                cells.push(cell);
            }
        }
        if cells.is_empty() {
            return Err(Invalid::at("rows", "no fault is named, so there is nothing to measure"));
        }
        Ok(cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grids_that_are_built_in_are_sound_and_the_full_one_has_the_quick_one() {
        let names = |grid: Grid| {
            let cells = grid.cells().expect("sound");
            cells.iter().map(Cell::name).collect::<Vec<_>>()
        };
        let (quick, full) = (names(Grid::quick()), names(Grid::full()));
        assert!(Fault::ALL.iter().all(|fault| quick.contains(&fault.name().to_owned())));
        assert_eq!(quick, full[..quick.len()]);
        assert!(names(Grid::state()).iter().all(|name| full.contains(name)));
        assert!(full.contains(&"driver-kill-beat-20ms-timeout-100ms".to_owned()), "{full:?}");
    }

    #[test]
    fn in_no_cell_a_task_takes_as_long_as_an_attempt_may_while_an_executor_has_two() {
        for cell in Grid::full().cells().expect("sound") {
            let setting = &cell.setting;
            let tuples = u64::from(setting.tuples_per_second) * setting.epoch_interval_ns / SECOND;
            let of_one = tuples.div_ceil(setting.executors.into());
            let scenario = setting.scenario(&cell.name()).expect("sound");
            let twice_ns = 2 * of_one * scenario.work_per_tuple_ns;
            let may_ns = scenario.state.task_timeout_ns;
            assert!(twice_ns < may_ns, "{}: {twice_ns} ns of {may_ns}", cell.name());
        }
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_place() {
        let cells = |text: &str| {
            let grid = input::parse::<Grid>("g.json", text);
            grid.and_then(|grid| grid.cells()).expect_err(text).to_string()
        };
        assert_eq!(
            cells(r#"{"rows": [{"faults": ["driver-kil"]}]}"#),
            "g.json: line 1 column 34: rows[0].faults[0]: unknown name \"driver-kil\"; did you mean \
             \"driver-kill\"?"
        );
        assert_eq!(
            cells(r#"{"rows": [{"faults": ["none"], "setting": {"load_percent": 96}}]}"#),
            "rows[0].setting: load_percent: 96 is out of range; it must be 1 to 95"
        );
        assert_eq!(
            cells(r#"{"rows": [{"faults": ["none", "none"]}]}"#),
            "rows[0]: none is there already"
        );
        assert_eq!(
            cells(r#"{"rows": [{"faults": ["none"], "setting": {"state_bytes": 10000000001}}]}"#),
            "rows[0].setting: state_bytes: 10000000001 is out of range; it must be 0 to 10000000000"
        );
        assert_eq!(
            cells(
                r#"{"rows": [{"faults": ["none"],
                    "setting": {"state_bytes": 1, "hardware": "unlimited"}}]}"#
            ),
            "rows[0].setting: state_bytes: counts for time only, and bytes take none on this \
             hardware; it must be nvme, cloud-ebs or hdd"
        );
        assert!(cells(r#"{"rows": []}"#).starts_with("rows: no fault is named"));
    }
}
