//! A run that cost its worker, once more in another one, which tells of every poll before it: the
//! last one told of is the one that never ended.

use super::{
    Answer, Order, Place,
    crew::Limits,
    process::{Death, Process, Program, Silence},
};
use crate::{
    campaign::Ran,
    cli::Status,
    generate,
    input::Invalid,
    outcome::{Outcome, Verdict, VerdictKind},
    scenario::Scenario,
};

/// What became of a worker.
type End<'a> = (Silence, &'a Death);

/// Finds out what cost a worker.
///
/// # Errors
/// If no process can be started.
pub(super) fn examine(
    program: &Program,
    limits: Limits,
    (scenario, seed): (&Scenario, u64),
    first: End<'_>,
) -> Result<Ran, Invalid> {
    let mut process = Process::start_telling(program)?;
    // One that takes no orders is gone, and says so now.
    let _ = process
        .order(&Order::Scenario(Box::new(scenario.clone())))
        .and_then(|()| process.order(&Order::Run { seed, twice: false }));
    let mut place = None;
    let silence = loop {
        match process.answer(limits.patience) {
            Ok(Answer::Polls(polls)) => place = Some(polls),
            Ok(Answer::Beat) => {}
            Ok(Answer::Ran(ran)) => return Ok(once_only(*ran, describe(first, limits))),
            Err(silence) => break silence,
        }
    };
    let death = process.end(silence);
    refused(&death)?;
    let (kind, what) = describe((silence, &death), limits);
    if place.is_none() && silence == Silence::Ended {
        // No task of the run has cost it: it would be the same with every seed.
        return Err(Invalid::new(format!("a worker process ended before its first task: {what}")));
    }
    let plan = generate::plan(scenario, seed);
    let verdict = Verdict { kind, message: format!("{}: {what}", at(place)) };
    Ok(Ran { outcome: Outcome::broken(seed, plan, verdict), ..Ran::default() })
}

/// A worker that could not do what it was told says so, and that is no finding.
fn refused(death: &Death) -> Result<(), Invalid> {
    let usage = Some(Status::Usage as i32);
    if death.status.and_then(|status| status.code()) != usage {
        return Ok(());
    }
    let words = death.last_words.trim();
    Err(Invalid::new(format!("a worker process refused: {words}")))
}

/// The second time it went well. That is no pass.
fn once_only(ran: Ran, (kind, what): (VerdictKind, String)) -> Ran {
    let message = format!("the harness: {what}; it did not come again when the seed was run anew");
    let mut ran = ran;
    ran.outcome.verdicts.push(Verdict { kind, message });
    ran.outcome.verdicts.sort_by_key(|verdict| verdict.kind);
    ran
}

fn at(place: Option<Place>) -> String {
    place.map_or("before its first task".to_owned(), |Place { node, task, at_ns }| {
        format!("{node}, task {task}, at {at_ns} ns")
    })
}

/// How a worker ended, in words that are the same each time.
fn describe((silence, death): End<'_>, limits: Limits) -> (VerdictKind, String) {
    let words = death.last_words.as_str();
    if silence == Silence::Waited {
        let waited = limits.patience.as_secs();
        return (VerdictKind::OverBudget, format!("it did not come back for {waited} s"));
    }
    if words.contains("memory allocation of") {
        let most = limits.memory_mib;
        return (VerdictKind::OverBudget, format!("over {most} MiB of memory"));
    }
    if words.contains("has overflowed its stack") {
        return (VerdictKind::Panicked, "its stack overflowed".to_owned());
    }
    let status = death.status.map_or("in an unknown way".to_owned(), |status| status.to_string());
    let last = words.lines().rev().find(|line| !line.trim().is_empty());
    let last = last.map_or(String::new(), |line| format!("; it said last: {}", line.trim()));
    (VerdictKind::Panicked, format!("its process ended: {status}{last}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{suite, worker::Crew};

    const LIMITS: Limits = Limits { patience: Duration::from_secs(7), memory_mib: 512 };

    fn described(silence: Silence, last_words: &str) -> (VerdictKind, String) {
        let death = Death { status: None, last_words: last_words.to_owned() };
        describe((silence, &death), LIMITS)
    }

    #[test]
    fn an_end_is_told_in_words_that_do_not_differ_from_time_to_time() {
        use VerdictKind::{OverBudget, Panicked};
        for (silence, words, kind, told) in [
            (Silence::Waited, "", OverBudget, "it did not come back for 7 s"),
            (
                Silence::Ended,
                "memory allocation of 65536 bytes failed",
                OverBudget,
                "over 512 MiB of memory",
            ),
            (
                Silence::Ended,
                "\nthread '<unnamed>' (81) has overflowed its stack\nfatal runtime error",
                Panicked,
                "its stack overflowed",
            ),
            (
                Silence::Ended,
                "one\ntwo\n\n",
                Panicked,
                "its process ended: in an unknown way; it said last: two",
            ),
        ] {
            assert_eq!(described(silence, words), (kind, told.to_owned()));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_program_that_is_no_worker_is_an_error_and_no_finding() {
        let scenario = suite::scenario("stateless").expect("there");
        for program in ["true", "false"] {
            let mut crew = Crew::new(&Program::at(program), 1, LIMITS);
            let error = crew.workers[0].run(&scenario, (0, false)).expect_err(program).to_string();
            let told = "a worker process ended before its first task: its process ended: ";
            assert!(error.starts_with(told), "{error}");
        }
    }

    #[test]
    fn a_run_that_goes_well_the_second_time_is_no_pass() {
        let ran = once_only(Ran::default(), described(Silence::Waited, ""));
        assert_eq!(ran.outcome.kinds(), [VerdictKind::OverBudget]);
        assert!(ran.outcome.verdicts[0].message.contains("did not come again"));
    }
}
