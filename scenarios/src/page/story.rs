//! A run in sentences, in the order of time: what broke, what followed, what the oracle saw.

use serde::Serialize;
use unplug_sim::fault::{Action, Plan, Target};

use super::drawing::{Drawing, Followed, Struck};

/// So many objections are told.
const VERDICTS_MAX: usize = 5;

/// A sentence, and the moment that it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sentence {
    /// In virtual nanoseconds since the start of the run.
    pub at_ns: Option<u64>,
    /// What kind it is: `run`, `fault`, `engine`, `tuple` or `oracle`.
    pub kind: &'static str,
    /// What it says.
    pub text: String,
}

/// Tells the story of a run.
pub(super) fn tell(drawing: &Drawing, plan: &Plan) -> Vec<Sentence> {
    let mut middle = Vec::new();
    let sentence = |at_ns, kind, text| Sentence { at_ns: Some(at_ns), kind, text };
    for struck in &drawing.faults {
        let what = plan.faults.get(struck.fault).map(|fault| &fault.what);
        middle.push(sentence(struck.at_ns, "fault", fault(struck, what)));
    }
    for (at_ns, node, text) in &drawing.logs {
        let (name, text) = (&drawing.nodes[usize::from(*node)], &drawing.texts[*text]);
        if let Some(text) = engine(name, text) {
            middle.push(sentence(*at_ns, "engine", text));
        }
    }
    for tuple in &drawing.tuples {
        middle.extend(way(tuple, drawing).map(|(at_ns, text)| sentence(at_ns, "tuple", text)));
    }
    for (at_ns, node, what) in &drawing.seen {
        let name = &drawing.nodes[usize::from(*node)];
        let text = format!("A client saw at {name} what the oracle objects to: {what}.");
        middle.push(sentence(*at_ns, "oracle", text));
    }
    middle.sort_by_key(|sentence| sentence.at_ns);
    let mut story = vec![Sentence { at_ns: None, kind: "run", text: beginning(drawing) }];
    story.extend(middle);
    let said = |text| Sentence { at_ns: None, kind: "oracle", text };
    for verdict in drawing.verdicts.iter().take(VERDICTS_MAX) {
        story.push(said(format!("The oracle: {}: {}.", verdict.kind, verdict.message)));
    }
    let more = drawing.verdicts.len().saturating_sub(VERDICTS_MAX);
    if more > 0 {
        story.push(said(format!("The oracle objects to {more} more.")));
    }
    story
}

fn beginning(Drawing { scenario, seed, defects, nodes, end_ns, plan, .. }: &Drawing) -> String {
    let with = match &defects[..] {
        [] => String::new(),
        defects => format!(", with the defect {}", defects.join(" and ")),
    };
    format!(
        "Scenario {scenario}, seed {seed}{with}: {} nodes, {} faults planned, {} of virtual time.",
        nodes.len(),
        plan.len(),
        seconds(*end_ns)
    )
}

/// A fault in words.
fn fault(Struck { fault, kind, at_ns, back_ns, texts }: &Struck, what: Option<&Action>) -> String {
    let whom = |target: &Target| match target {
        Target::Node(name) => name.clone(),
        Target::DataCentre => "the whole data centre".to_owned(),
    };
    let said = match what {
        Some(Action::PowerLoss { target, .. }) => format!("{} lost its power", whom(target)),
        Some(Action::Kill { target, .. }) => format!("{} was killed", whom(target)),
        Some(Action::Pause { target, .. }) => format!("{} stood still", whom(target)),
        Some(Action::Throttle { target, factor, .. }) => {
            format!("{} became {factor} times slower", whom(target))
        }
        Some(Action::Partition { from, to, one_way, .. }) => {
            let way = if *one_way { "could not send to" } else { "were cut off from" };
            format!("{} {way} {}", from.join(", "), to.join(", "))
        }
        Some(Action::ClockStep { target, .. }) => format!("the clock of {} was set", whom(target)),
        Some(Action::DiskLoss { node, .. }) => format!("{node} lost its disk for good"),
        Some(Action::DiskFull { target, .. }) => format!("the disk of {} was full", whom(target)),
        Some(Action::SlowDisk { target, factor, .. }) => {
            format!("the disk of {} became {factor} times slower", whom(target))
        }
        Some(Action::DiskStall { target, .. }) => format!("the disk of {} stalled", whom(target)),
        Some(Action::DiskFault { .. }) | None => kind.replace('_', " "),
    };
    let over = if back_ns > at_ns {
        format!(" It was over at {}.", seconds(*back_ns))
    } else {
        String::new()
    };
    let more = match &texts[..] {
        [] => String::new(),
        [one] => format!(" ({one})"),
        all => format!(" ({} nodes)", all.len()),
    };
    format!("Fault {fault}: {said}{more}.{over}")
}

/// What the engine said, if it is of the story.
fn engine(name: &str, text: &str) -> Option<String> {
    if let Some(generation) = text.strip_prefix("leads generation=") {
        return Some(format!("{name} became the leader, generation {generation}."));
    }
    let told =
        text.starts_with("fenced") || text.starts_with("rebuilt") || text.starts_with("exit");
    told.then(|| format!("{name}: {text}."))
}

/// What is known of a tuple.
fn way<'a>(tuple: &'a Followed, drawing: &'a Drawing) -> impl Iterator<Item = (u64, String)> + 'a {
    let Followed { id, node, acknowledged_ns, place, read } = tuple;
    let at = match place {
        Some((partition, Some(offset))) => format!(" at offset {offset} of partition {partition}"),
        Some((partition, None)) => format!(" in partition {partition}"),
        None => String::new(),
    };
    let producer = &drawing.nodes[usize::from(*node)];
    let kept = acknowledged_ns
        .map(|at_ns| (at_ns, format!("{producer} was told that tuple {id} is kept{at}.")));
    let read = read.iter().map(move |(at_ns, sink, epoch)| {
        (*at_ns, format!("A reader saw tuple {id} at sink {sink}, in epoch {epoch}."))
    });
    kept.into_iter().chain(read)
}

fn seconds(at_ns: u64) -> String {
    format!("{}.{:03} s", at_ns / 1_000_000_000, at_ns / 1_000_000 % 1_000)
}
