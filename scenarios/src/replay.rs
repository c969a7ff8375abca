//! `unplug replay`: one run again, from its failure file or from a scenario and a seed, and whether
//! it went as it did.

use std::{
    borrow::Cow,
    io::{self, Write},
    path::Path,
};

use unplug_sim::{Event, fault::Plan};

use crate::{
    campaign,
    cli::{ReplayArgs, Status},
    cluster,
    command::print_verdicts,
    defects, determinism,
    failure::{Failure, VERSION},
    files, look,
    outcome::{Judgement, Outcome, VerdictKind, kinds},
    page::{self, Page},
    run::{Case, Stopped},
    scenario::Scenario,
    suite,
    time::seconds,
    traces::{Format, Writer},
    workload::Workload,
};

/// Does what `replay` is told. Where the trace goes to the standard output, all else is said on the
/// error output.
///
/// # Errors
/// If the input makes no sense, or the trace cannot be written.
pub fn replay(
    args: &ReplayArgs,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<Status> {
    let (told, trace): (&mut dyn Write, _) = match args.trace {
        Some(format) if args.out == Path::new("-") => (err, Some((format, Target::Out(out)))),
        Some(format) => (out, Some((format, Target::File(&args.out)))),
        None => (out, None),
    };
    let failure = match (&args.failure, &args.scenario, args.seed) {
        (Some(path), _, _) => {
            Some(Failure::parse(&path.display().to_string(), &files::read(path)?)?)
        }
        (None, Some(_), Some(_)) => None,
        (None, _, _) => anyhow::bail!("name a failure file, or a scenario and a seed"),
    };
    let (scenario, seed, plan) = match (&failure, &args.scenario, args.seed) {
        (Some(Failure { scenario, seed, plan, .. }), _, _) => {
            (Cow::Borrowed(scenario), *seed, Some(plan))
        }
        (None, name, seed) => {
            let mut scenario = suite::scenario(name.as_deref().unwrap_or_default())?;
            defects::switch_on(&mut scenario.defects, &args.defects)?;
            (Cow::Owned(scenario), seed.unwrap_or_default(), None)
        }
    };
    let workload = Workload::embedded()?;
    let run = Run { case: &Case::new(&scenario, &workload)?, seed, plan };
    if let (Some(at_ns), Some(name)) = (args.at, &args.node) {
        let node = look::node(&scenario, name)?;
        let stopped = run.case.stop_at(seed, plan, at_ns, &mut |_| {})?;
        run.check_reached(at_ns, &stopped, told)?;
        write!(told, "{}", stopped.world.inspect(node))?;
        return Ok(Status::Held);
    }
    if args.trace == Some(Format::Html) {
        anyhow::ensure!(
            args.until.is_none(),
            "--trace html shows the whole run: leave out --until"
        );
        return run.page(failure.as_ref(), args, trace, told);
    }
    if let Some(until_ns) = args.until {
        let stopped = run.traced(trace, |out| run.case.stop_at(seed, plan, until_ns, out))??;
        run.check_reached(until_ns, &stopped, told)?;
        look::tell(&stopped, &scenario, told)?;
        return Ok(Status::Held);
    }
    let mut outcome = run.whole(trace)?;
    let Some(failure) = &failure else {
        print_verdicts(&scenario, &outcome, told)?;
        let (status, line) = judged(&scenario, &outcome);
        writeln!(told, "{line}")?;
        return Ok(status);
    };
    // Run twice, so that another build or an edited plan is told from a lack of determinism.
    outcome.verdicts.extend(determinism::recheck(&outcome, run.case, plan));
    print_verdicts(&scenario, &outcome, told)?;
    let (status, line) = compare(failure, &outcome);
    writeln!(told, "{line}")?;
    Ok(status)
}

/// Where a trace goes.
enum Target<'a> {
    Out(&'a mut dyn Write),
    File(&'a Path),
}

/// A run to be had again.
struct Run<'a> {
    case: &'a Case<'a>,
    seed: u64,
    plan: Option<&'a Plan>,
}

impl Run<'_> {
    /// To its end, as a page.
    fn page(
        &self,
        failure: Option<&Failure>,
        args: &ReplayArgs,
        trace: Option<(Format, Target<'_>)>,
        told: &mut dyn Write,
    ) -> anyhow::Result<Status> {
        let outcome = self.whole(None)?;
        let scenario = self.case.scenario();
        let mut found = Failure::new(scenario, &outcome);
        found.shrunk_from = failure.and_then(|failure| failure.shrunk_from.clone());
        let drawing = page::draw(&found, args.failure.as_deref())?;
        print_verdicts(scenario, &outcome, told)?;
        let (status, line) = match failure {
            Some(failure) => compare(failure, &outcome),
            None => judged(scenario, &outcome),
        };
        let drawings = vec![drawing];
        let page = Page { version: VERSION, verdict: &line, scenarios: &[], drawings, more: 0 };
        match trace {
            Some((_, Target::Out(out))) => out.write_all(page.html().as_bytes())?,
            Some((_, Target::File(path))) => page.write(path)?,
            None => {}
        }
        writeln!(told, "{line}")?;
        Ok(status)
    }

    /// To its end.
    fn whole(&self, trace: Option<(Format, Target<'_>)>) -> anyhow::Result<Outcome> {
        let Self { case, seed, plan } = *self;
        let attempt =
            |run: &mut dyn FnMut() -> Outcome| campaign::attempt(case.scenario(), seed, plan, run);
        if trace.is_none() {
            return Ok(attempt(&mut || case.run(seed, plan)));
        }
        self.traced(trace, |out| attempt(&mut || case.trace(seed, plan, out)))
    }

    /// Runs something whose trace is written meanwhile, if it is wanted.
    fn traced<R>(
        &self,
        trace: Option<(Format, Target<'_>)>,
        run: impl FnOnce(&mut dyn FnMut(Event)) -> R,
    ) -> anyhow::Result<R> {
        let Some((format, target)) = trace else { return Ok(run(&mut |_| {})) };
        let (mut file, name);
        let to: &mut dyn Write = match target {
            Target::Out(out) => {
                name = "the standard output".to_owned();
                out
            }
            Target::File(path) => {
                name = path.display().to_string();
                file = files::stream(path)?;
                &mut file
            }
        };
        let nodes = cluster::all_names(self.case.scenario());
        let mut failed = None;
        let mut writer = Writer::new(format, &nodes, to).map_err(|error| failed = Some(error)).ok();
        let ran = run(&mut |event| {
            if failed.is_none() {
                let written = writer.as_mut().map(|writer| writer.event(&event));
                failed = written.and_then(Result::err);
            }
        });
        let ended = match failed {
            Some(error) => Err(error),
            None => writer.map_or(Ok(()), Writer::end),
        };
        ended.map_err(|error| anyhow::anyhow!("cannot write the trace to {name}: {error}"))?;
        Ok(ran)
    }

    /// Says so if a run ended before the moment that was asked for.
    fn check_reached(&self, at_ns: u64, stopped: &Stopped, out: &mut dyn Write) -> io::Result<()> {
        let end_ns = stopped.world.now_ns();
        if end_ns < at_ns {
            writeln!(out, "the run ended at {}, before {}", seconds(end_ns), seconds(at_ns))?;
        }
        Ok(())
    }
}

/// What a seed of a scenario came to.
fn judged(scenario: &Scenario, outcome: &Outcome) -> (Status, String) {
    let (status, line) = match outcome.judge(&scenario.expect) {
        Judgement::Exact => (Status::Held, "exact"),
        Judgement::Caught => (Status::Held, "caught, as the scenario expects"),
        Judgement::Failed => (Status::Violation, "failed"),
        Judgement::NotMeasured => (Status::NotMeasured, "not measured"),
    };
    (status, format!("{line}; digest {}", outcome.digest))
}

/// From when on a run went differently than the record, as far as the record tells.
fn parted(failure: &Failure, outcome: &Outcome) -> String {
    let (recorded, found) = (&failure.digests, &outcome.digests);
    if recorded.is_empty() {
        return "the record does not say from when on".to_owned();
    }
    let all = recorded.len().min(found.len());
    let same = recorded.iter().zip(found).take_while(|(one, other)| one == other).count();
    if same == all {
        let (last, more) = (all, if recorded.len() == found.len() { "" } else { ", or the end" });
        return format!("the same up to {last} s, then the first event that differs{more}");
    }
    format!(
        "the first event that differs comes between {same} s and {} s of virtual time; compare \
         `--trace text --until {}s` of both programs",
        same + 1,
        same + 1
    )
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
         recorded by unplug {}: {}, digest {}; {}",
        names(&found),
        outcome.digest,
        failure.version,
        names(&recorded),
        failure.digest,
        parted(failure, outcome)
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
