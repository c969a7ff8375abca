//! Tuples made up from the seed: few keys of which some are hot, event times out of order and some
//! late, partitions that fall silent for a while.

use bytes::Bytes;
use unplug_engine::tuple::Partition;
use unplug_sim::{WALL_START_NS, random::PlanStream};

use super::{Input, Pace, auctions};
use crate::scenario::{Generated, Lines};

/// One amount in so many is null; the others are below `AMOUNT_END`.
const NULL_IN: u64 = 20;
const AMOUNT_END: u64 = 1_000;

/// Keys to draw from, hot ones and others.
struct Keys {
    hot: Vec<u32>,
    cold: Vec<u32>,
}

/// What each producer sends with this seed.
pub(super) fn inputs(seed: u64, made: &Generated, pace: Pace, partitions: u16) -> Vec<Vec<Input>> {
    let silent = silent(seed, made, partitions);
    let all = Keys::of(made, |_| true);
    let loud = Keys::of(made, |key| !silent.contains(&Partition::of_key(key, partitions)));
    let middle = made.tuples / 3..made.tuples - made.tuples / 3;
    let mut stream = PlanStream::of_plan(seed, "workload");
    let mut breaks = PlanStream::of_plan(seed, "broken lines");
    pace.deal((0..made.tuples).map(|index| {
        let keys = if middle.contains(&index) && !loud.is_empty() { &loud } else { &all };
        let key = match index < pace.at_once {
            true => name(index),
            false => keys.draw(made, &mut stream),
        };
        let late = stream.chance(made.late.0.into(), made.late.1.into());
        let behind_ms = stream.between(0, if late { made.late_ms } else { made.disorder_ms });
        let value = match made.lines {
            Lines::Amounts => amount(&key, &mut stream),
            Lines::Auctions => auctions::line(index, &mut stream),
        };
        let value =
            match made.broken.0 > 0 && breaks.chance(made.broken.0.into(), made.broken.1.into()) {
                true => value[..breaks.index(value.len())].to_owned(),
                false => value,
            };
        move |due_ns| {
            let arrival_ms = (WALL_START_NS + due_ns) / 1_000_000;
            Input {
                seq: 0,
                line: None,
                closing: false,
                due_ns,
                arrival_ms,
                event_ms: arrival_ms - behind_ms,
                value: Bytes::from(value),
                key: Bytes::from(of_source(
                    key,
                    index % u32::from(made.sources.max(1)),
                    made.sources,
                    partitions,
                )),
            }
        }
    }))
}

/// A key by which a tuple goes to its source: a source has every so-manieth partition. With one
/// source it is the key itself.
pub(super) fn of_source(key: String, source: u32, sources: u16, partitions: u16) -> String {
    if sources <= 1 {
        return key;
    }
    let fits = |key: &String| {
        u32::from(Partition::of_key(key.as_bytes(), partitions).0 % sources) == source
    };
    let mut keys = (0u64..).map(|number| format!("{key}.{number}"));
    keys.find(fits).expect("there is no end of keys")
}

/// A line with a key and an amount.
fn amount(key: &str, stream: &mut PlanStream) -> String {
    let null = stream.chance(1, NULL_IN);
    let amount = if null { "null".to_owned() } else { stream.below(AMOUNT_END).to_string() };
    format!(r#"{{"key": "{key}", "amount": {amount}}}"#)
}

/// The partitions that fall silent.
fn silent(seed: u64, made: &Generated, partitions: u16) -> Vec<Partition> {
    let mut stream = PlanStream::of_plan(seed, "idle keys");
    let mut left: Vec<_> = (0..partitions).map(Partition).collect();
    let count = u64::from(partitions) * u64::from(made.idle.0) / u64::from(made.idle.1);
    (0..count).map(|_| left.swap_remove(stream.index(left.len()))).collect()
}

fn name(key: u32) -> String {
    format!("k{key}")
}

impl Keys {
    fn of(made: &Generated, wanted: impl Fn(&[u8]) -> bool) -> Self {
        let hot = made.keys.div_ceil(10);
        let wanted = |key: &u32| wanted(name(*key).as_bytes());
        let (hot, cold) = (0..made.keys).filter(wanted).partition(|key| *key < hot);
        Self { hot, cold }
    }

    fn is_empty(&self) -> bool {
        self.hot.is_empty() && self.cold.is_empty()
    }

    fn draw(&self, made: &Generated, stream: &mut PlanStream) -> String {
        let hot = stream.chance(made.skew.0.into(), made.skew.1.into());
        let (first, second) = if hot { (&self.hot, &self.cold) } else { (&self.cold, &self.hot) };
        let keys = if first.is_empty() { second } else { first };
        name(keys[stream.index(keys.len())])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::workload::FIRST_DUE_NS;

    const PACE: Pace = Pace { per_second: 100, producers: 2, at_once: 0 };

    fn made(made: &Generated) -> Vec<Input> {
        let inputs = inputs(5, made, PACE, 4);
        // Back in the order of arrival.
        let most = inputs[0].len();
        (0..most)
            .flat_map(|seq| inputs.iter().filter_map(move |one| one.get(seq)))
            .cloned()
            .collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_and_another_one_another() {
        let of = |seed| inputs(seed, &Generated::default(), PACE, 4);
        assert_eq!(of(5), of(5));
        assert_ne!(of(5), of(6));
        assert_eq!(of(5).iter().map(Vec::len).collect::<Vec<_>>(), [1_000, 1_000]);
    }

    #[test]
    fn what_is_there_at_once_is_each_key_and_the_others_come_at_their_rate() {
        let filled = Generated { tuples: 60, keys: 40, fill: true, ..Generated::default() };
        let all = inputs(5, &filled, Pace { at_once: 40, ..PACE }, 4);
        let first: Vec<_> = all.iter().flat_map(|of| &of[..20]).collect();
        let keys: BTreeSet<_> = first.iter().map(|input| input.key.clone()).collect();
        assert_eq!(keys.len(), 40);
        assert!(first.iter().all(|input| input.due_ns == FIRST_DUE_NS));
        let others = all.iter().flat_map(|of| &of[20..]).map(|input| input.due_ns);
        let (earliest, latest) = (others.clone().min(), others.max());
        assert_eq!(earliest, Some(FIRST_DUE_NS + 20_000_000));
        assert_eq!(latest, Some(FIRST_DUE_NS + 200_000_000));
        assert_eq!(crate::scenario::Source::Generated(filled).sent_ns(), 200_000_000);
    }

    #[test]
    fn lines_have_the_key_and_now_and_then_no_amount() {
        let inputs = made(&Generated::default());
        let mut nulls = 0;
        for input in &inputs {
            let line: serde_json::Value = serde_json::from_slice(&input.value).expect("JSON");
            assert_eq!(line["key"].as_str().expect("text").as_bytes(), input.key);
            nulls += usize::from(line["amount"].is_null());
            assert!(line["amount"].is_null() || line["amount"].as_u64().expect("whole") < 1_000);
        }
        assert!((50..150).contains(&nulls), "{nulls} of 2,000");
    }

    #[test]
    fn half_of_the_tuples_go_to_the_hottest_tenth_of_the_keys() {
        let inputs = made(&Generated { idle: (0, 1), ..Generated::default() });
        let mut counts: BTreeMap<Bytes, usize> = BTreeMap::new();
        for input in &inputs {
            *counts.entry(input.key.clone()).or_default() += 1;
        }
        assert_eq!(counts.len(), 40);
        let mut counts: Vec<_> = counts.into_values().collect();
        counts.sort_unstable();
        let hottest: usize = counts[36..].iter().sum();
        assert!((900..1_100).contains(&hottest), "{hottest} of 2,000");
    }

    #[test]
    fn event_time_is_a_little_behind_and_now_and_then_much() {
        let inputs = made(&Generated::default());
        let behind = |input: &Input| input.arrival_ms - input.event_ms;
        assert!(inputs.iter().all(|input| behind(input) <= 20_000));
        let late = inputs.iter().filter(|input| behind(input) > 2_000).count();
        assert!((15..70).contains(&late), "{late} of 2,000");
        assert!(!inputs.is_sorted_by_key(|input| input.event_ms));
        assert!(inputs.is_sorted_by_key(|input| input.arrival_ms));
        let in_time = made(&Generated { late: (0, 1), ..Generated::default() });
        assert!(in_time.iter().all(|input| behind(input) <= 2_000));
    }

    #[test]
    fn a_share_of_the_partitions_falls_silent_in_the_middle_third() {
        let inputs = made(&Generated { idle: (1, 2), ..Generated::default() });
        let busy = |part: &[Input]| {
            let of = |input: &Input| Partition::of_key(&input.key, 4);
            part.iter().map(of).collect::<BTreeSet<_>>().len()
        };
        assert_eq!(busy(&inputs[..666]), 4);
        assert_eq!(busy(&inputs[666..1_334]), 2);
        assert_eq!(busy(&inputs[1_334..]), 4);
    }

    #[test]
    fn tuples_are_dealt_to_the_sources_in_turn() {
        let inputs = made(&Generated { sources: 2, tuples: 100, ..Generated::default() });
        for (input, number) in inputs.iter().zip(0..) {
            assert_eq!(Partition::of_key(&input.key, 4).0 % 2, number % 2);
            let line: serde_json::Value = serde_json::from_slice(&input.value).expect("JSON");
            let key = line["key"].as_str().expect("text");
            assert!(input.key.starts_with(key.as_bytes()));
        }
    }

    #[test]
    fn one_key_is_enough() {
        let inputs = made(&Generated { keys: 1, tuples: 9, ..Generated::default() });
        assert!(inputs.iter().all(|input| input.key == "k0"));
        assert_eq!(inputs.len(), 9);
    }
}
