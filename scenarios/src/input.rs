//! Whatever comes from outside and is wrong is told in one line: what, where, and what would be
//! right.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, error::Category};

/// Input that makes no sense; one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(String);

impl Invalid {
    /// A problem as it is to be read. It becomes one line, whatever the input quoted in it.
    #[must_use]
    pub fn new(problem: impl Into<String>) -> Self {
        Self(problem.into().split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// A problem at a place.
    #[must_use]
    pub fn at(place: &str, problem: impl AsRef<str>) -> Self {
        Self::new(format!("{place}: {}", problem.as_ref()))
    }

    /// The same problem, whose place is a part of this one.
    #[must_use]
    pub fn part_of(self, place: &str) -> Self {
        Self(format!("{place}.{}", self.0))
    }

    /// The same problem, with the place around it.
    #[must_use]
    pub fn within(self, place: &str) -> Self {
        Self::at(place, self.0)
    }
}

/// Reads JSON; `source` is what to call the text in an error.
///
/// # Errors
/// If the text is no JSON or not of this type: with line, column and path, and for a misspelt name
/// with the one that was probably meant.
pub fn parse<'a, T: Deserialize<'a>>(source: &str, text: &'a str) -> Result<T, Invalid> {
    // To keep track of the path takes time, and only an error needs it.
    if let Ok(parsed) = serde_json::from_str(text) {
        return Ok(parsed);
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        // A name that is none of an enum's is not yet a place of its own.
        let path = error.path().to_string();
        describe(error.inner(), path.strip_suffix(".?").unwrap_or(&path))
    });
    parsed
        .and_then(|value| json.end().map(|()| value).map_err(|error| describe(&error, ".")))
        .map_err(|error| error.within(source))
}

/// Reads a part of JSON that was read already; `place` is where it stands.
///
/// # Errors
/// If it is not of this type: with its path, and for a misspelt name with the one that was probably
/// meant.
pub fn parse_part<T: DeserializeOwned>(place: &str, value: &Value) -> Result<T, Invalid> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let problem = Invalid::new(suggest(&error.inner().to_string()));
        match path.strip_suffix(".?").unwrap_or(&path) {
            "." | "?" => problem.within(place),
            path => problem.within(path).part_of(place),
        }
    })
}

/// Names what is unknown and what may have been meant: the nearest known name if one is near, else
/// all of them.
pub fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    format!("unknown {what} {name:?}; {}", hint(name, known))
}

fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<_> = known.into_iter().collect();
    let distance = |candidate: &&&str| strsim::damerau_levenshtein(name, candidate);
    match known.iter().min_by_key(distance) {
        None => "nothing is known by that name".to_owned(),
        Some(near) if distance(&near) <= 1 + name.len() / 4 => format!("did you mean {near:?}?"),
        Some(_) => format!("known: {}", known.join(", ")),
    }
}

fn describe(error: &serde_json::Error, path: &str) -> Invalid {
    let place = format!("line {} column {}", error.line(), error.column());
    let text = error.to_string();
    let text = text.strip_suffix(&format!(" at {place}")).unwrap_or(&text);
    let problem = match error.classify() {
        Category::Eof => format!("the text ends too early, as if truncated ({text})"),
        Category::Syntax => format!("no JSON: {text}"),
        Category::Data | Category::Io => suggest(text),
    };
    let problem = Invalid::new(problem);
    if path == "." { problem.within(&place) } else { problem.within(path).within(&place) }
}

/// Puts the nearest name in place of serde's list of all, and says what a list should be that is none.
fn suggest(text: &str) -> String {
    for what in ["field", "variant"] {
        let Some(rest) = text.strip_prefix(&format!("unknown {what} `")) else { continue };
        let Some((name, expected)) = rest.split_once("`, expected ") else { continue };
        let known = expected.split('`').skip(1).step_by(2);
        return unknown(if what == "field" { "field" } else { "name" }, name, known);
    }
    if text.starts_with("invalid length") && text.contains("expected struct") {
        return "is a list; it must be an object, with names".to_owned();
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use crate::scenario::Scenario;

    fn check(text: &str, expected: &str) {
        let error = Scenario::parse("x.json", text).expect_err(text).to_string();
        assert_eq!(error, expected);
    }

    #[test]
    fn misspelt_names_get_the_nearest_one() {
        check(
            r#"{"name": "x", "workload": {"flights": {"tupels": 3}}}"#,
            "x.json: line 1 column 47: workload.flights.tupels: unknown field \"tupels\"; did you \
             mean \"tuples\"?",
        );
        check(
            r#"{"name": "x", "sink": "tabel"}"#,
            "x.json: line 1 column 29: sink: unknown name \"tabel\"; did you mean \"table\"?",
        );
        check(
            r#"{"name": "x", "cluster": {"zookeepers": 3}}"#,
            "x.json: line 1 column 38: cluster.zookeepers: unknown field \"zookeepers\"; known: \
             partitions, stores, drivers, sinks, executors, producers, readers",
        );
    }

    #[test]
    fn pipelines_and_plans_are_no_exception() {
        check(
            r#"{"name": "x", "pipeline": {"nodes": [{"name": "a", "op": "sorce"}]}}"#,
            "x.json: pipeline.nodes[0].op: unknown name \"sorce\"; did you mean \"source\"?",
        );
        check(
            r#"{"name": "x", "pipeline": {"node": []}}"#,
            "x.json: pipeline.node: unknown field \"node\"; did you mean \"nodes\"?",
        );
        check(
            r#"{"name": "x", "pipeline": 3}"#,
            "x.json: pipeline: invalid type: integer `3`, expected struct Spec",
        );
        check(
            r#"{"name": "x", "faults": {"plan": []}}"#,
            "x.json: line 1 column 35: faults.plan: is a list; it must be an object, with names",
        );
    }

    #[test]
    fn places_are_named() {
        check(
            "",
            "x.json: line 1 column 0: the text ends too early, as if truncated (EOF while parsing a value)",
        );
        check(
            "{\"name\": \"x\",\n \"cluster\": {\"executors\": 1.5}}",
            "x.json: line 2 column 29: cluster.executors: invalid type: floating point `1.5`, \
             expected u32",
        );
        check("{\"name\": \"x\"} {}", "x.json: line 1 column 15: no JSON: trailing characters");
        check("{}", "x.json: line 1 column 2: missing field `name`");
    }
}
