//! A campaign as JUnit XML: a suite for each scenario, with one case for it as a whole and one for
//! each seed that failed.

use std::io;

use quick_xml::{
    Writer,
    events::{BytesDecl, BytesText, Event},
};

use crate::{
    input::Invalid,
    report::{FailureReport, Report, ScenarioReport},
};

type Xml = Writer<Vec<u8>>;

/// What is wrong with a case.
struct Problem<'a> {
    /// `failure` or `error`.
    element: &'static str,
    kind: String,
    message: &'a str,
    text: String,
}

/// The report as XML.
///
/// # Errors
/// If it cannot be written, which needs no more than memory.
pub fn render(report: &Report) -> Result<Vec<u8>, Invalid> {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    write(report, &mut xml)
        .map_err(|error| Invalid::new(format!("cannot make the JUnit report: {error}")))?;
    let mut bytes = xml.into_inner();
    bytes.push(b'\n');
    Ok(bytes)
}

fn write(report: &Report, xml: &mut Xml) -> io::Result<()> {
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let suites: Vec<_> = report.scenarios.iter().map(|scenario| cases(report, scenario)).collect();
    let missing: Vec<_> = report
        .reached
        .missing
        .iter()
        .enumerate()
        .map(|(place, what)| (format!("{}", place + 1), Some(not_reached(what))))
        .collect();
    let all = || suites.iter().chain([&missing]).flatten();
    xml.create_element("testsuites")
        .with_attribute(("name", "unplug"))
        .with_attribute(("tests", all().count().to_string().as_str()))
        .with_attribute(("failures", count(all(), "failure").as_str()))
        .with_attribute(("errors", count(all(), "error").as_str()))
        .write_inner_content(|xml| {
            for (scenario, cases) in report.scenarios.iter().zip(&suites) {
                let seconds = scenario.seeds as f64 / scenario.seeds_per_s;
                let seconds = if seconds.is_finite() { seconds } else { 0.0 };
                suite(&scenario.name, &format!("{seconds:.3}"), cases, xml)?;
            }
            if missing.is_empty() { Ok(()) } else { suite("reached", "0", &missing, xml) }
        })?;
    Ok(())
}

type Case<'a> = (String, Option<Problem<'a>>);

fn count<'a>(cases: impl Iterator<Item = &'a Case<'a>>, element: &str) -> String {
    cases.filter(|(_, it)| it.as_ref().is_some_and(|it| it.element == element)).count().to_string()
}

/// The scenario as a whole, and each of its seeds that failed.
fn cases<'a>(report: &'a Report, scenario: &ScenarioReport) -> Vec<Case<'a>> {
    let name = &scenario.name;
    let of = report.failures.iter().filter(|failure| failure.scenario == *name);
    let failed: Vec<_> = of.map(|it| (format!("seed {}", it.seed), Some(failure(it)))).collect();
    let (seeds, not_measured) = (scenario.seeds, scenario.not_measured);
    let whole = if scenario.failed > 0 && failed.is_empty() {
        let (message, kind) = ("it was never caught, and must be", "never-caught".to_owned());
        let text = format!("{message}: {seeds} seeds");
        Some(Problem { element: "failure", kind, message, text })
    } else if not_measured > 0 {
        let (message, kind) = ("runs that show nothing", "not-measured".to_owned());
        let text = format!("{not_measured} of {seeds} seeds were not measured");
        Some(Problem { element: "error", kind, message, text })
    } else {
        None
    };
    let whole = (format!("{seeds} seeds, {} passed", scenario.passed), whole);
    [whole].into_iter().chain(failed).collect()
}

fn failure(failure: &FailureReport) -> Problem<'_> {
    let kinds: Vec<_> = failure.verdicts.iter().map(ToString::to_string).collect();
    Problem {
        element: "failure",
        kind: kinds.join(", "),
        message: failure.messages.first().map_or("", String::as_str),
        text: format!("{}\nreplay: {}", failure.messages.join("\n"), failure.replay),
    }
}

fn not_reached(what: &str) -> Problem<'_> {
    let kind = "not-reached".to_owned();
    Problem { element: "error", kind, message: what, text: what.to_owned() }
}

fn suite(name: &str, seconds: &str, cases: &[Case<'_>], xml: &mut Xml) -> io::Result<()> {
    xml.create_element("testsuite")
        .with_attribute(("name", allowed(name).as_str()))
        .with_attribute(("tests", cases.len().to_string().as_str()))
        .with_attribute(("failures", count(cases.iter(), "failure").as_str()))
        .with_attribute(("errors", count(cases.iter(), "error").as_str()))
        .with_attribute(("time", seconds))
        .write_inner_content(|xml| {
            for (case, problem) in cases {
                let class = format!("unplug.{}", allowed(name));
                let element = xml
                    .create_element("testcase")
                    .with_attribute(("classname", class.as_str()))
                    .with_attribute(("name", allowed(case).as_str()));
                match problem {
                    None => _ = element.write_empty()?,
                    Some(problem) => {
                        element.write_inner_content(|xml| {
                            xml.create_element(problem.element)
                                .with_attribute(("type", problem.kind.as_str()))
                                .with_attribute(("message", allowed(problem.message).as_str()))
                                .write_text_content(BytesText::new(&allowed(&problem.text)))?;
                            Ok(())
                        })?;
                    }
                }
            }
            Ok(())
        })?;
    Ok(())
}

/// Without the characters that XML cannot hold, escaped or not.
fn allowed(text: &str) -> String {
    let is_allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if is_allowed(c) { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use quick_xml::{Reader, XmlVersion, events::BytesStart};

    use super::*;
    use crate::{
        failure::VERSION,
        outcome::VerdictKind,
        report::{Reached, Runs, Tally},
        suite,
    };

    /// What the schema of Jenkins, junit-4.xsd of dtkit, allows of what is used here: an element,
    /// its attributes (those that must be there first, up to the bar), and its children.
    const SCHEMA: [(&str, &str, &str); 5] = [
        ("testsuites", "| name time tests failures disabled errors", "testsuite"),
        (
            "testsuite",
            "name tests | failures errors time disabled skipped timestamp hostname id package",
            "testcase",
        ),
        ("testcase", "name | assertions time classname status", "error failure"),
        ("error", "| type message", ""),
        ("failure", "| type message", ""),
    ];

    type Attributes = BTreeMap<String, String>;

    fn attributes(element: &BytesStart<'_>) -> Attributes {
        let pairs = element.attributes().map(|attribute| {
            let attribute = attribute.expect("sound");
            let value = attribute.normalized_value(XmlVersion::Explicit1_0).expect("escaped");
            (attribute.key.as_ref().to_owned(), value.into_owned())
        });
        pairs.collect()
    }

    /// Holds a document against the schema; gives all elements with their attributes, and all text.
    fn valid(xml: &[u8]) -> (Vec<(String, Attributes)>, String) {
        let mut reader = Reader::from_str(std::str::from_utf8(xml).expect("UTF-8"));
        reader.config_mut().trim_text(true);
        let (mut open, mut elements, mut text) = (Vec::new(), Vec::new(), String::new());
        loop {
            let event = reader.read_event().expect("well formed");
            match &event {
                Event::Start(start) | Event::Empty(start) => {
                    let name = start.name().as_ref().to_owned();
                    let rule = SCHEMA.iter().find(|(element, ..)| *element == name);
                    let (_, allowed, _) = rule.unwrap_or_else(|| panic!("{name} is not known"));
                    let found = attributes(start);
                    let (required, _) = allowed.split_once('|').expect("a bar");
                    for name in required.split_whitespace() {
                        assert!(found.contains_key(name), "{name} is missing: {found:?}");
                    }
                    let known = |name: &String| allowed.split_whitespace().any(|one| one == name);
                    assert!(found.keys().all(known), "{found:?}");
                    let parent = open.last().map_or("", String::as_str);
                    let children = SCHEMA.iter().find(|(element, ..)| *element == parent);
                    let children = children.map_or("testsuites", |(.., children)| children);
                    assert!(children.split_whitespace().any(|one| one == name), "{parent}: {name}");
                    elements.push((name.clone(), found));
                    if matches!(event, Event::Start(_)) {
                        open.push(name);
                    }
                }
                Event::End(_) => _ = open.pop(),
                Event::Text(piece) => text += piece,
                Event::GeneralRef(piece) => {
                    text += "&";
                    text += piece;
                    text += ";";
                }
                Event::Eof => break,
                Event::Decl(_) => {}
                Event::CData(_) | Event::Comment(_) | Event::PI(_) | Event::DocType(_) => {
                    panic!("{event:?}")
                }
            }
        }
        assert!(open.is_empty());
        (elements, text)
    }

    fn report() -> Report {
        let of = |name: &str| {
            let scenario = suite::scenario(name).expect("there");
            let sums = Tally::new(&scenario).finish(&scenario.expect, Runs::All);
            ScenarioReport { seeds: 10, passed: 9, seeds_per_s: 4.0, ..sums }
        };
        let failure = FailureReport {
            scenario: "stateless".to_owned(),
            seed: 7,
            verdicts: vec![VerdictKind::Lost, VerdictKind::Torn],
            messages: vec!["lost: <\"a\" & 'b'> ]]> \u{1}\u{ffff}".to_owned(), "torn".to_owned()],
            file: "f.json".to_owned(),
            replay: "replay f.json".to_owned(),
        };
        let caught = ScenarioReport { passed: 0, failed: 10, ..of("append-negative") };
        Report {
            version: VERSION,
            held: false,
            interrupted: false,
            scenarios: vec![
                ScenarioReport { failed: 1, ..of("stateless") },
                ScenarioReport { not_measured: 1, ..of("zombie") },
                caught,
                ScenarioReport { passed: 10, ..of("swarm") },
            ],
            not_run: Vec::new(),
            reached: Reached { missing: vec!["x: not reached".to_owned()], ..Reached::default() },
            failures: vec![failure],
            part: None,
        }
    }

    #[test]
    fn it_is_valid_and_escapes_what_comes_from_outside() {
        let (elements, text) = valid(&render(&report()).expect("rendered"));
        let named = |name: &str| elements.iter().filter(|(one, _)| one == name).collect::<Vec<_>>();
        let (_, all) = &elements[0];
        assert_eq!((&*all["tests"], &*all["failures"], &*all["errors"]), ("6", "2", "2"));
        assert_eq!(named("testcase").len(), 6);
        assert_eq!((named("failure").len(), named("error").len()), (2, 2));
        let suites: Vec<_> = named("testsuite").iter().map(|(_, it)| it["name"].clone()).collect();
        assert_eq!(suites, ["stateless", "zombie", "append-negative", "swarm", "reached"]);
        let first = &named("testsuite")[0].1;
        assert_eq!((&*first["tests"], &*first["time"]), ("2", "2.500"));
        let failure = &named("failure")[0].1;
        assert_eq!(failure["type"], "lost, torn");
        assert_eq!(failure["message"], "lost: <\"a\" & 'b'> ]]> \u{fffd}\u{fffd}");
        assert!(text.contains("replay: replay f.json") && !text.contains('\u{1}'), "{text}");
    }
}
