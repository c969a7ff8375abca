//! Determinism is checked, not hoped for: a run is repeated, and if the two part, the first line
//! of their traces at which they do is named.

use unplug_sim::fault::Plan;

use crate::{
    outcome::{Outcome, Verdict, VerdictKind},
    run::Case,
};

/// Repeats the run that gave `first`, and objects to any difference.
#[must_use]
pub fn recheck(first: &Outcome, case: &Case<'_>, plan: Option<&Plan>) -> Option<Verdict> {
    let second = case.run(first.seed, plan);
    difference(first, &second, |out| {
        case.trace(first.seed, plan, &mut |event| out(&event.to_string()));
    })
}

/// What two runs differ in; `trace` runs the same thing again.
fn difference(
    first: &Outcome,
    second: &Outcome,
    trace: impl Fn(&mut dyn FnMut(&str)),
) -> Option<Verdict> {
    if first == second {
        return None;
    }
    let what = if first.digest == second.digest {
        format!("two runs with the digest {} told different things", first.digest)
    } else {
        format!("two runs had the digests {} and {}", first.digest, second.digest)
    };
    let place = first_parting(trace).unwrap_or_else(|| {
        "two more runs left equal traces, so it does not come every time".into()
    });
    Some(Verdict { kind: VerdictKind::NonDeterministic, message: format!("{what}: {place}") })
}

/// The first line at which the traces of two runs part.
fn first_parting(trace: impl Fn(&mut dyn FnMut(&str))) -> Option<String> {
    let mut lines: Vec<String> = Vec::new();
    trace(&mut |line| lines.push(line.to_owned()));
    let mut count = 0;
    let mut parting = None;
    let part = |count: usize, one: Option<&String>, other: Option<&str>| {
        let show =
            |line: Option<&str>| line.map_or("the end".to_owned(), |line| format!("{line:?}"));
        let (one, other) = (show(one.map(String::as_str)), show(other));
        format!("line {} of the trace is {one} or {other}", count + 1)
    };
    trace(&mut |line| {
        let other = lines.get(count);
        if parting.is_none() && other.is_none_or(|other| other != line) {
            parting = Some(part(count, other, Some(line)));
        }
        count += 1;
    });
    parting.or_else(|| lines.get(count).map(|line| part(count, Some(line), None)))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::outcome::Digest;

    fn parting(first: &'static [&str], second: &'static [&str]) -> Option<String> {
        let second_time = Cell::new(false);
        first_parting(|out| {
            let lines = if second_time.replace(true) { second } else { first };
            lines.iter().for_each(|line| out(line));
        })
    }

    #[test]
    fn the_first_line_that_differs_is_named() {
        assert_eq!(parting(&["a", "b"], &["a", "b"]), None);
        for (first, second, expected) in [
            (&["a", "b"][..], &["a", "c", "d"][..], "line 2 of the trace is \"b\" or \"c\""),
            (&["a"], &["a", "c"], "line 2 of the trace is the end or \"c\""),
            (&["a", "b"], &["a"], "line 2 of the trace is \"b\" or the end"),
        ] {
            assert_eq!(parting(first, second).expect("they part"), expected);
        }
    }

    #[test]
    fn a_difference_is_a_verdict() {
        let unused = Verdict { kind: VerdictKind::Lost, message: String::new() };
        let first = Outcome::broken(1, Plan::default(), unused);
        let second = Outcome { digest: Digest(1), ..first.clone() };
        assert_eq!(difference(&first, &first, |_| {}), None);
        let verdict = difference(&first, &second, |_| {}).expect("they differ");
        assert_eq!(verdict.kind, VerdictKind::NonDeterministic);
    }
}
