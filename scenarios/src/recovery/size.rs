//! How large a cell's states are, for time: a run holds a few kilobytes that count as up to 10 GB.
//!
//! Each byte of a state counts so many times, in a snapshot and in a layer alike, and no other byte
//! does. So it is a miniature: keys are large, and few; what an epoch changes, and when layers become
//! a snapshot, are the same shares of the state as they would be.

use super::setting::Setting;
use crate::{scenario::StateDesign, topology::Cluster};

const SECOND: u64 = 1_000_000_000;

/// What a key takes in a snapshot or a layer, about.
const ENTRY_BYTES: u64 = 72;
/// What a part of a snapshot or of a layer takes beside its entries, at the most.
const PART_OVERHEAD_BYTES: u64 = 32;
/// A part counts as about so many bytes, if it has more than one key.
const PART_COUNTS_AS: u64 = 32_000_000;
/// Blobs of one state under way at once, as the engine has it.
const BLOBS_AT_ONCE: u64 = 8;

/// The states of a cell.
#[derive(Clone, Debug)]
pub(super) struct Size {
    design: StateDesign,
    interval_ns: u64,
    /// From one snapshot to the next.
    cycle_ns: u64,
    /// How long it takes to write all states whole to all stores.
    put_ns: u64,
    /// The same of what an epoch changes.
    changes_ns: u64,
    /// How long it takes to load one.
    load_ns: u64,
}

impl Size {
    /// Of a setting.
    pub(super) fn of(setting: &Setting) -> Self {
        let executors = u64::from(setting.executors.max(1));
        let keys = u64::from(setting.keys).div_ceil(executors).max(1);
        let times = (setting.state_bytes / (keys * ENTRY_BYTES)).max(1);
        let entry_bytes = ENTRY_BYTES * times;
        let mut design =
            StateDesign { full_snapshots: setting.full_snapshots, times, ..StateDesign::default() };
        let rates = setting.hardware.bandwidth(&design);
        let stores = u64::from(Cluster::default().stores);
        let (read, written, port) = (
            rates.disk_read_bytes_per_second,
            rates.disk_write_bytes_per_second,
            rates.port_bytes_per_second,
        );
        // Each executor sends its states to all stores, and each store takes in all states.
        let put_ns = |bytes_of_each: u64| {
            takes_ns(bytes_of_each * executors.max(stores), port)
                .max(takes_ns(bytes_of_each * executors, written))
        };
        let whole_ns = put_ns(keys * entry_bytes);
        let load_ns = takes_ns(keys * entry_bytes, port.min(stores * read));
        let interval_ns = setting.epoch_interval_ns;
        // What comes in an interval takes less than that, or the executors would fall behind; twice, for
        // one may have the tasks of another.
        design.task_timeout_ns = design.task_timeout_ns.max(2 * interval_ns);
        let rate = u64::from(setting.tuples_per_second.max(1));
        let changed = (rate * interval_ns / SECOND).div_ceil(executors).min(keys);
        // Layers become a snapshot when half of the keys have changed, which takes 0.7 tuples a key.
        let layers_ns = 7 * u64::from(setting.keys) * SECOND / (10 * rate);
        let cycle_ns = whole_ns + if setting.full_snapshots { 0 } else { layers_ns };
        if setting.state_bytes > 0 {
            let entries = (PART_COUNTS_AS / entry_bytes).clamp(1, keys);
            design.part_bytes_max = PART_OVERHEAD_BYTES + entries * (ENTRY_BYTES + 8);
            // Of all executors at once; twice, for much else may be under way.
            design.blob_patience_ns = 2 * put_ns(BLOBS_AT_ONCE * entries * entry_bytes);
            design.task_timeout_ns += 4 * (whole_ns + executors * load_ns);
        }
        Self {
            design,
            interval_ns,
            // Where a snapshot is no longer than an interval, one moment is like another.
            cycle_ns: if whole_ns > interval_ns { cycle_ns } else { interval_ns },
            put_ns: whole_ns,
            changes_ns: put_ns(changed * entry_bytes),
            load_ns,
        }
    }

    /// How the engine is to keep it.
    pub(super) fn design(&self) -> StateDesign {
        self.design
    }

    /// How long an epoch takes that writes what one mostly does, if that is longer than the interval.
    pub(super) fn epoch_ns(&self) -> u64 {
        self.interval_ns.max(self.write_ns())
    }

    /// How long it takes to write all states whole to all stores.
    pub(super) fn put_ns(&self) -> u64 {
        self.put_ns
    }

    /// From one snapshot to the next, if that is longer than an interval.
    pub(super) fn cycle_ns(&self) -> u64 {
        self.cycle_ns
    }

    /// How long what an epoch writes of all states takes to the stores, at the least.
    pub(super) fn write_ns(&self) -> u64 {
        if self.design.full_snapshots { self.put_ns } else { self.changes_ns }
    }

    /// How long a state takes to come from the stores.
    pub(super) fn load_ns(&self) -> u64 {
        self.load_ns
    }
}

/// How long so many bytes take; no time where bytes take none.
fn takes_ns(bytes: u64, per_second: u64) -> u64 {
    if per_second == 0 {
        return 0;
    }
    let ns = u128::from(bytes) * u128::from(SECOND) / u128::from(per_second);
    u64::try_from(ns).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_follow_the_bytes_and_the_rates() {
        let of = |state_bytes, full_snapshots| {
            Size::of(&Setting { full_snapshots, ..Setting::with_state(state_bytes) })
        };
        let (gigabyte, ten) = (of(1_000_000_000, true), of(10_000_000_000, true));
        // Three states of 1 GB to each disk at 1 GB/s; one by a port at 1.25 GB/s.
        assert_eq!(gigabyte.put_ns / 1_000_000, 2_999);
        assert_eq!(gigabyte.load_ns / 1_000_000, 799);
        assert_eq!((ten.put_ns / 1_000_000, ten.load_ns / 1_000_000), (29_999, 7_999));
        assert_eq!((gigabyte.epoch_ns(), gigabyte.cycle_ns()), (gigabyte.put_ns, gigabyte.put_ns));
        assert!(of(1_000_000_000, false).cycle_ns() > 30 * SECOND);
        assert!(of(1_000_000_000, false).write_ns() < gigabyte.write_ns() / 100);
        let small = of(1_000_000, false);
        assert_eq!((small.epoch_ns(), small.cycle_ns()), (500_000_000, 500_000_000));
        assert_eq!(of(1_000_000_000, false).epoch_ns(), 500_000_000);
    }

    #[test]
    fn a_state_that_counts_as_it_is_changes_nothing() {
        let usual = Size::of(&Setting::default());
        assert_eq!(usual.design(), StateDesign::default());
        assert!(usual.put_ns < 100_000 && usual.load_ns < 100_000);
    }
}
