//! `unplug replay`: one run again, from its failure file or from a scenario and a seed, and whether
//! it went as it did.

use std::{
    io::{self, Write},
    path::Path,
};

use unplug_sim::fault::Plan;

use crate::{
    campaign,
    cli::{ReplayArgs, Status},
    command::print_verdicts,
    defects, determinism,
    failure::Failure,
    files,
    outcome::{Judgement, Outcome, VerdictKind, kinds},
    run::Case,
    scenario::Scenario,
    suite,
    workload::Workload,
};

/// Does what `replay` is told.
///
/// # Errors
/// If the input makes no sense, or the trace cannot be written.
pub fn replay(args: &ReplayArgs, out: &mut dyn Write) -> anyhow::Result<Status> {
    let trace = args.trace.as_deref();
    match (&args.failure, &args.scenario, args.seed) {
        (Some(path), _, _) => {
            let failure = Failure::parse(&path.display().to_string(), &files::read(path)?)?;
            again(&failure, trace, out)
        }
        (None, Some(name), Some(seed)) => {
            let mut scenario = suite::scenario(name)?;
            defects::switch_on(&mut scenario.defects, &args.defects)?;
            one(&scenario, seed, trace, out)
        }
        (None, _, _) => anyhow::bail!("name a failure file, or a scenario and a seed"),
    }
}

/// Runs a recorded failure again.
fn again(failure: &Failure, trace: Option<&Path>, out: &mut dyn Write) -> anyhow::Result<Status> {
    let Failure { scenario, plan, .. } = failure;
    // Run twice, so that another build or an edited plan is told from a lack of determinism.
    let beside = Traced { trace, twice: true };
    let outcome = run_once(scenario, failure.seed, Some(plan), beside, out)?;
    let (status, line) = compare(failure, &outcome);
    writeln!(out, "{line}")?;
    Ok(status)
}

/// Runs a seed of a scenario.
fn one(
    scenario: &Scenario,
    seed: u64,
    trace: Option<&Path>,
    out: &mut dyn Write,
) -> anyhow::Result<Status> {
    let outcome = run_once(scenario, seed, None, Traced { trace, twice: false }, out)?;
    let (status, line) = match outcome.judge(&scenario.expect) {
        Judgement::Exact => (Status::Held, "exact"),
        Judgement::Caught => (Status::Held, "caught, as the scenario expects"),
        Judgement::Failed => (Status::Violation, "failed"),
        Judgement::NotMeasured => (Status::NotMeasured, "not measured"),
    };
    writeln!(out, "{line}; digest {}", outcome.digest)?;
    Ok(status)
}

/// What to do beside running.
struct Traced<'a> {
    trace: Option<&'a Path>,
    twice: bool,
}

fn run_once(
    scenario: &Scenario,
    seed: u64,
    plan: Option<&Plan>,
    beside: Traced<'_>,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let workload = Workload::embedded()?;
    let case = Case::new(scenario, &workload)?;
    let mut outcome = match beside.trace {
        None => campaign::attempt(scenario, seed, plan, || case.run(seed, plan)),
        Some(path) => {
            let mut file;
            let to: &mut dyn Write = if path == Path::new("-") {
                &mut *out
            } else {
                file = files::stream(path)?;
                &mut file
            };
            let mut written = Ok(());
            let outcome = campaign::attempt(scenario, seed, plan, || {
                case.trace(seed, plan, &mut |event| {
                    if written.is_ok() {
                        written = writeln!(to, "{event}");
                    }
                })
            });
            written.and_then(|()| to.flush()).map_err(|error: io::Error| {
                anyhow::anyhow!("cannot write the trace to {}: {error}", path.display())
            })?;
            outcome
        }
    };
    if beside.twice {
        outcome.verdicts.extend(determinism::recheck(&outcome, &case, plan));
    }
    print_verdicts(scenario, &outcome, out)?;
    Ok(outcome)
}

/// Whether it went as recorded.
fn compare(failure: &Failure, outcome: &Outcome) -> (Status, String) {
    let (recorded, found) = (kinds(&failure.verdicts), outcome.kinds());
    let names = |kinds: &[VerdictKind]| {
        kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    if found.contains(&VerdictKind::NonDeterministic) {
        return (Status::NonDeterministic, "two runs differ: it is not deterministic".to_owned());
    }
    if matches!(outcome.judge(&failure.scenario.expect), Judgement::Exact | Judgement::Caught) {
        let line = format!("it no longer fails: {} did not come again", names(&recorded));
        return (Status::Held, line);
    }
    if recorded == found && failure.digest == outcome.digest {
        let line = format!("reproduced: the same verdict and digest, {}", outcome.digest);
        return (Status::Violation, line);
    }
    let line = format!(
        "it went differently, as after a change of the program or of the plan: {}, digest {}; \
         recorded by unplug {}: {}, digest {}",
        names(&found),
        outcome.digest,
        failure.version,
        names(&recorded),
        failure.digest
    );
    let measured = outcome.judge(&failure.scenario.expect) != Judgement::NotMeasured;
    (if measured { Status::Violation } else { Status::NotMeasured }, line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Digest, Verdict};

    #[test]
    fn a_replay_is_compared_with_the_record() {
        let scenario = suite::scenario("stateless").expect("there");
        let lost = Verdict { kind: VerdictKind::Lost, message: String::new() };
        let outcome = Outcome::broken(3, Plan::default(), lost);
        let failure = Failure::new(&scenario, &outcome);
        let status = |failure: &Failure, outcome: &Outcome| compare(failure, outcome).0;
        assert_eq!(status(&failure, &outcome), Status::Violation);

        let fixed = Outcome { verdicts: Vec::new(), digest: Digest(5), ..outcome.clone() };
        assert_eq!(status(&failure, &fixed), Status::Held);

        let other = Outcome { digest: Digest(5), ..outcome.clone() };
        assert_eq!(status(&failure, &other), Status::Violation);
        let message = String::new();
        let parted = Verdict { kind: VerdictKind::NonDeterministic, message: message.clone() };
        let parted = Outcome { verdicts: vec![parted], ..outcome.clone() };
        assert_eq!(status(&failure, &parted), Status::NonDeterministic);
        let idle = Verdict { kind: VerdictKind::NotMeasured, message };
        let idle = Outcome { verdicts: vec![idle], ..outcome };
        assert_eq!(status(&failure, &idle), Status::NotMeasured);
    }
}
