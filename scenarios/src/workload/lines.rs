//! Input as files: each producer's input is a file that grows line by line, and a line's place is its
//! tuple's seq. Between them are lines that are no records.

use bytes::Bytes;
use serde::Deserialize;
use unplug_engine::{
    pipeline::{Column, ColumnType},
    source::{Format, Schema},
};
use unplug_sim::random::PlanStream;

use super::Input;
use crate::scenario::Files;

const HEADER: &str = "at,key,amount\n";

/// A file, as it is in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its bytes.
    pub bytes: Bytes,
    /// When it has how many bytes, in virtual nanoseconds; both grow.
    pub grows: Vec<(u64, usize)>,
    /// The lines that are no records: where they begin, and what they are.
    pub dead: Vec<(u64, String)>,
}

/// What a made-up line says.
#[derive(Deserialize)]
struct Amount {
    amount: Option<i64>,
}

/// How a feeder is to read such files.
#[must_use]
pub fn schema(files: Files) -> Schema {
    let column = |name: &str, kind| Column { name: name.to_owned(), kind };
    let columns = vec![
        column("key", ColumnType::Text),
        column("at", ColumnType::Int),
        column("amount", ColumnType::Int),
    ];
    let format = match files {
        Files::JsonLines => Format::JsonLines,
        Files::Csv => Format::Csv(columns),
    };
    Schema { format, key: "key".to_owned(), time_ms: "at".to_owned() }
}

/// Lays inputs of keys and amounts out as files, with a broken line before so many lines of so many.
/// Each input becomes what a feeder makes of its line.
pub(crate) fn lay_out(
    inputs: &mut [Vec<Input>],
    files: Files,
    broken: (u32, u32),
    seed: u64,
) -> Vec<Written> {
    let mut breaks = PlanStream::of_plan(seed, "broken lines of files");
    let mut file = |inputs: &mut Vec<Input>| {
        let mut text = if files == Files::Csv { HEADER.to_owned() } else { String::new() };
        let (mut grows, mut dead) = (Vec::new(), Vec::new());
        for input in inputs {
            let line = rewrite(input, files);
            if breaks.chance(broken.0.into(), broken.1.into()) {
                let cut = &line[..1 + breaks.index(line.len() - 2)];
                // A cut number is a number.
                let cut = if files == Files::Csv { format!("{cut}\"") } else { cut.to_owned() };
                dead.push((text.len() as u64, cut.clone()));
                text += &cut;
                text += "\n";
            }
            input.seq = text.len() as u64;
            text += &line;
            text += "\n";
            grows.push((input.due_ns, text.len()));
        }
        Written { bytes: text.into(), grows, dead }
    };
    inputs.iter_mut().map(&mut file).collect()
}

/// Gives an input's line in a file, and makes of the input what comes of that.
fn rewrite(input: &mut Input, files: Files) -> String {
    let amount = serde_json::from_slice::<Amount>(&input.value).ok().and_then(|one| one.amount);
    let key = String::from_utf8_lossy(&input.key).into_owned();
    let at = input.event_ms;
    let null = |text: &str| amount.map_or(text.to_owned(), |amount| amount.to_string());
    match files {
        Files::JsonLines => {
            let line = format!(r#"{{"at": {at}, "key": "{key}", "amount": {}}}"#, null("null"));
            input.value = line.clone().into();
            line
        }
        Files::Csv => {
            input.value =
                format!(r#"{{"amount":{},"at":{at},"key":"{key}"}}"#, null("null")).into();
            format!("{at},{key},{}", null(""))
        }
    }
}

#[cfg(test)]
mod tests {
    use unplug_engine::source::lines::Lines;

    use super::*;
    use crate::{
        scenario::{Generated, Source},
        workload::Workload,
    };

    #[test]
    fn a_feeder_finds_each_input_at_its_place_and_between_them_lines_that_are_none() {
        let made = Source::Generated(Generated { tuples: 300, ..Generated::default() });
        for files in [Files::JsonLines, Files::Csv] {
            let mut inputs = Workload::embedded().expect("sound").inputs(3, &made, 2, 4);
            let written = lay_out(&mut inputs, files, (1, 10), 3);
            let schema = schema(files);
            for (inputs, file) in inputs.iter().zip(&written) {
                let mut lines = Lines::default();
                let whole = lines.take(&file.bytes);
                assert_eq!(lines.last(), None);
                let (names, whole) = whole.split_at(usize::from(files == Files::Csv));
                let header = names.first().map(|line| schema.header(line).expect("all columns"));
                let header = header.unwrap_or_default();
                let (mut inputs, mut dead) = (inputs.iter(), Vec::new());
                for line in whole {
                    match schema.record(&header, line) {
                        Ok(record) => {
                            let record = record.expect("no line is blank");
                            let input = inputs.next().expect("no more records than inputs");
                            assert_eq!(line.at, input.seq);
                            assert_eq!((&record.key, record.time_ms), (&input.key, input.event_ms));
                            assert_eq!(record.value, input.value);
                        }
                        Err(_) => {
                            let text = String::from_utf8(line.bytes.to_vec()).expect("text");
                            dead.push((line.at, text));
                        }
                    }
                }
                assert_eq!((inputs.next(), &dead), (None, &file.dead));
                assert!((5..30).contains(&dead.len()), "{}", dead.len());
                assert!(file.grows.is_sorted());
                assert_eq!(file.grows.last().map(|(_, end)| *end), Some(file.bytes.len()));
            }
        }
    }
}
