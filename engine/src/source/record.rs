//! What a line says.

use bytes::Bytes;
use serde_json::{Map, Value as Json};

use super::lines::{LINE_BYTES_MAX, Line};
use crate::pipeline::{Column, ColumnType};

/// How a file is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON object a line.
    JsonLines,
    /// Comma-separated values under a line of names. A field in quotation marks may hold commas and
    /// doubled quotation marks, but no line break; an empty one without quotation marks is null.
    Csv(Vec<Column>),
}

/// What is to be found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// How it is written.
    pub format: Format,
    /// By which field tuples are distributed; those without it go together.
    pub key: String,
    /// The field with the event time, in milliseconds since 1970.
    pub time_ms: String,
}

/// A line that is a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is distributed by.
    pub key: Bytes,
    /// Its event time, in milliseconds since 1970.
    pub time_ms: u64,
    /// The record as a JSON object.
    pub value: Bytes,
}

/// The columns of a file of comma-separated values, in the file's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header(Vec<Column>);

impl Schema {
    /// Reads a file's first line, which must name every column of the schema once, and no other.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn header(&self, line: &Line) -> Result<Header, String> {
        let Format::Csv(columns) = &self.format else { return Ok(Header::default()) };
        let names = fields(text(line)?)?;
        let wanted: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
        let known = |field: Field| {
            let found = columns.iter().find(|column| column.name == field.text);
            found.cloned().ok_or_else(|| {
                format!("unknown column {:?}; known: {}", field.text, wanted.join(", "))
            })
        };
        let found = names.into_iter().map(known).collect::<Result<Vec<_>, _>>()?;
        for column in columns {
            match found.iter().filter(|other| other.name == column.name).count() {
                1 => {}
                count => return Err(format!("column {:?} is there {count} times", column.name)),
            }
        }
        Ok(Header(found))
    }

    /// What a line says; nothing if it is blank.
    ///
    /// # Errors
    /// Why it is no record.
    pub fn record(&self, header: &Header, line: &Line) -> Result<Option<Record>, String> {
        let text = text(line)?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        let object = match &self.format {
            Format::JsonLines => serde_json::from_str::<Map<String, Json>>(text)
                .map_err(|error| format!("no JSON object: {error}"))?,
            Format::Csv(_) => csv(header, text)?,
        };
        let time_ms = object.get(&self.time_ms).and_then(Json::as_u64).ok_or_else(|| {
            format!("the field {:?} is no time in milliseconds since 1970", self.time_ms)
        })?;
        let key = match object.get(&self.key) {
            None | Some(Json::Null) => String::new(),
            Some(Json::String(key)) => key.clone(),
            Some(Json::Bool(key)) => key.to_string(),
            Some(Json::Number(key)) => key.to_string(),
            Some(Json::Array(_) | Json::Object(_)) => {
                return Err(format!("the field {:?} is no key", self.key));
            }
        };
        let value = match &self.format {
            Format::JsonLines => line.bytes.clone(),
            Format::Csv(_) => Json::Object(object).to_string().into(),
        };
        Ok(Some(Record { key: key.into(), time_ms, value }))
    }
}

fn text(line: &Line) -> Result<&str, String> {
    if line.len > LINE_BYTES_MAX as u64 {
        return Err(format!("{} bytes, over {LINE_BYTES_MAX}", line.len));
    }
    let text = std::str::from_utf8(&line.bytes).map_err(|error| format!("no text: {error}"))?;
    Ok(text.strip_suffix('\r').unwrap_or(text))
}

fn csv(Header(columns): &Header, text: &str) -> Result<Map<String, Json>, String> {
    let fields = fields(text)?;
    if fields.len() != columns.len() {
        return Err(format!("{} fields, and there are {} columns", fields.len(), columns.len()));
    }
    let value = |(column, field): (&Column, Field)| {
        let wrong = |what| format!("column {:?}: {:?} is no {what}", column.name, field.text);
        let value = match column.kind {
            _ if field.text.is_empty() && !field.quoted => Json::Null,
            ColumnType::Text => field.text.into(),
            ColumnType::Int => field.text.parse::<i64>().map_err(|_| wrong("whole number"))?.into(),
            ColumnType::Bool => {
                field.text.parse::<bool>().map_err(|_| wrong("truth value"))?.into()
            }
        };
        Ok((column.name.clone(), value))
    };
    columns.iter().zip(fields).map(value).collect()
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Field {
    text: String,
    quoted: bool,
}

/// The fields of a line.
fn fields(line: &str) -> Result<Vec<Field>, String> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let mut field = Field::default();
        if let Some(quoted) = rest.strip_prefix('"') {
            field.quoted = true;
            rest = quoted;
            loop {
                let Some((part, behind)) = rest.split_once('"') else {
                    return Err("a quotation mark is not closed in its line".to_owned());
                };
                field.text.push_str(part);
                rest = behind;
                let Some(doubled) = rest.strip_prefix('"') else { break };
                field.text.push('"');
                rest = doubled;
            }
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            field.text.push_str(&rest[..end]);
            rest = &rest[end..];
            if field.text.contains('"') {
                return Err(format!("a quotation mark within {:?}", field.text));
            }
        }
        fields.push(field);
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None if rest.is_empty() => return Ok(fields),
            None => return Err(format!("{rest:?} behind a closing quotation mark")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        Line { at: 0, len: text.len() as u64, bytes: text.to_owned().into() }
    }

    fn schema(format: Format) -> Schema {
        Schema { format, key: "tail".to_owned(), time_ms: "ts".to_owned() }
    }

    fn columns() -> Format {
        let column = |name: &str, kind| Column { name: name.to_owned(), kind };
        Format::Csv(vec![
            column("ts", ColumnType::Int),
            column("tail", ColumnType::Text),
            column("late", ColumnType::Bool),
        ])
    }

    #[test]
    fn a_line_of_json_is_taken_as_it_is() {
        let schema = schema(Format::JsonLines);
        let read = |text: &str| schema.record(&Header::default(), &line(text));
        let text = r#"{"ts": 5, "tail": "N1", "more": [1]}"#;
        let record = Record { key: "N1".into(), time_ms: 5, value: text.to_owned().into() };
        assert_eq!(read(text), Ok(Some(record)));
        let without = read(r#"{"ts": 5, "tail": null}"#).expect("sound").expect("a record");
        assert_eq!(without.key, "");
        assert_eq!(read(" \r"), Ok(None));
    }

    #[test]
    fn a_line_of_values_becomes_an_object_by_the_header_in_whatever_order() {
        let schema = schema(columns());
        let header = schema.header(&line("tail,ts,late\r")).expect("all columns");
        let read = |text: &str| schema.record(&header, &line(text)).map(|one| one.expect("one"));
        let record = read("\"N1, \"\"x\"\"\",7,true\r").expect("sound");
        assert_eq!((&record.key[..], record.time_ms), (&b"N1, \"x\""[..], 7));
        assert_eq!(record.value, r#"{"late":true,"tail":"N1, \"x\"","ts":7}"#);
        assert_eq!(read(",7,").expect("sound").value, r#"{"late":null,"tail":null,"ts":7}"#);
        assert_eq!(read("\"\",7,").expect("sound").value, r#"{"late":null,"tail":"","ts":7}"#);
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        let (json, csv) = (schema(Format::JsonLines), schema(columns()));
        let header = csv.header(&line("ts,tail,late")).expect("all columns");
        let mut long = line("");
        long.len = 40_000;
        let binary = Line { bytes: Bytes::from_static(&[0xff]), len: 1, at: 0 };
        for (schema, line, what) in [
            (&json, line(r#"{"ts": 1"#), "no JSON object: EOF while parsing"),
            (&json, line("[1]"), "no JSON object: "),
            (&json, line(r#"{"ts": 1} {"ts": 2}"#), "no JSON object: trailing characters"),
            (&json, line(r#"{"ts": -1}"#), "the field \"ts\" is no time"),
            (&json, line(r#"{"tail": "N1"}"#), "the field \"ts\" is no time"),
            (&json, line(r#"{"ts": 1, "tail": []}"#), "the field \"tail\" is no key"),
            (&json, long, "40000 bytes, over 32768"),
            (&json, binary, "no text: "),
            (&csv, line("1,N1"), "2 fields, and there are 3 columns"),
            (&csv, line("1,N1,true,"), "4 fields, and there are 3 columns"),
            (&csv, line("x,N1,true"), "column \"ts\": \"x\" is no whole number"),
            (&csv, line("1,N1,yes"), "column \"late\": \"yes\" is no truth value"),
            (&csv, line("1,\"N1,true"), "a quotation mark is not closed"),
            (&csv, line("1,\"N\"1,true"), "\"1,true\" behind a closing quotation mark"),
            (&csv, line("1,N\"1,true"), "a quotation mark within "),
            (&csv, line(",N1,true"), "the field \"ts\" is no time"),
        ] {
            let error = schema.record(&header, &line).expect_err("broken");
            assert!(error.starts_with(what), "{error}, not {what}");
        }
        for (text, what) in [
            ("ts,tail", "column \"late\" is there 0 times"),
            ("ts,tail,late,ts", "column \"ts\" is there 2 times"),
            ("ts,tail,later", "unknown column \"later\"; known: ts, tail, late"),
        ] {
            assert_eq!(csv.header(&line(text)), Err(what.to_owned()));
        }
    }
}
