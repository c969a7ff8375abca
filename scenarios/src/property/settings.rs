//! Proptest strategies for what a plan strikes: clusters, workloads, pipelines, and whole
//! scenarios of them. All shrink to fewer nodes, fewer tuples and the simplest pipeline.
//!
//! ```
//! use proptest::{strategy::{Strategy, ValueTree}, test_runner::TestRunner};
//! use unplug::{property::settings, scenario::Scenario};
//!
//! let base = Scenario::parse("x", r#"{"name": "any"}"#)?;
//! let drawn = settings::scenario(&base, 10..=100).new_tree(&mut TestRunner::deterministic());
//! drawn.expect("one that makes sense").current().check()?;
//! # Ok::<(), unplug::input::Invalid>(())
//! ```

use std::ops::RangeInclusive;

use proptest::{
    prelude::{Just, Strategy},
    prop_oneof,
    sample::select,
};
use serde_json::Value;

use crate::{
    cluster,
    scenario::{Flights, Generated, Scenario, Source},
    topology::Cluster,
};

/// How long the tuples of a drawn workload come, at most: so many at least in a second.
const PER_SECOND: RangeInclusive<u32> = 20..=400;

/// A cluster of a few nodes of each kind, with one sink.
pub fn cluster() -> impl Strategy<Value = Cluster> {
    let stores = select(vec![1, 3, 5]);
    (1..=4_u32, stores, 1..=3_u32, 1..=4_u32, 1..=3_u32, 1..=2_u32).prop_map(
        |(partitions, stores, drivers, executors, producers, readers)| Cluster {
            partitions,
            stores,
            drivers,
            executors,
            producers,
            readers,
            sinks: 1,
        },
    )
}

/// So many flights.
pub fn flights(tuples: RangeInclusive<u32>) -> impl Strategy<Value = Source> {
    (tuples, PER_SECOND).prop_map(|(tuples, per_second)| {
        Source::Flights(Flights { tuples, per_second, ..Flights::default() })
    })
}

/// So many made-up tuples, with few keys or many, skewed, out of order, and late.
pub fn generated(tuples: RangeInclusive<u32>) -> impl Strategy<Value = Source> {
    let often = || prop_oneof![Just((0, 1)), (1..=2_u32, 4..=50_u32)];
    (tuples, PER_SECOND, 1..=60_u32, 0..=5_000_u64, (often(), often(), often())).prop_map(
        |(tuples, per_second, keys, disorder_ms, (skew, late, idle))| {
            Source::Generated(Generated {
                tuples,
                per_second,
                keys,
                skew,
                disorder_ms,
                late,
                idle,
                ..Generated::default()
            })
        },
    )
}

/// A pipeline that there is for flights: rows one by one, or windows with state.
pub fn flights_pipeline() -> impl Strategy<Value = &'static str> {
    select(vec!["flights", "hourly"])
}

/// The scenario with another cluster, another workload of so many tuples, and a pipeline for it
/// with as many sinks as that has.
///
/// # Panics
/// Never: those pipelines are there.
pub fn scenario(
    base: &Scenario,
    tuples: RangeInclusive<u32>,
) -> impl Strategy<Value = Scenario> + use<> {
    let work = prop_oneof![
        (flights(tuples.clone()), flights_pipeline()),
        (generated(tuples), Just("keyed")),
    ];
    let base = base.clone();
    (cluster(), work, 1..=4_u16).prop_map(move |(cluster, (workload, name), state_partitions)| {
        let pipeline = Some(Value::from(name));
        let mut drawn = Scenario { cluster, workload, pipeline, state_partitions, ..base.clone() };
        let pipeline = cluster::pipeline(&drawn).expect("a pipeline that has a name");
        drawn.cluster.sinks = u32::try_from(cluster::sinks(&pipeline).0).expect("one or two");
        drawn
    })
}
