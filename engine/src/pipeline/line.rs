//! A line of JSON, read straight into columns.
//!
//! Most lines are plain: an object without spaces, whose values are whole numbers of up to 18
//! digits, words, and strings without escapes. Those are read here in one go. Of any other line,
//! sound or not, a JSON parser decides what it holds or what is wrong with it.

use std::{borrow::Cow, fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, Visitor},
};

use super::spec::{Column, ColumnType, Value};

/// As many digits as a number of 64 bits always holds.
const DIGITS_MAX: usize = 18;

/// Reads an object's fields into columns; null where it lacks one.
///
/// # Errors
/// If it is no object, or a field is not of its column's type.
pub(super) fn parse(line: &[u8], columns: &[Column]) -> Result<Vec<Value>, String> {
    match str::from_utf8(line).ok().and_then(|text| plain(text, columns)) {
        Some(values) => Ok(values),
        None => parsed(line, columns),
    }
}

/// Where a field of that name goes, if anywhere. Fields mostly come in the order of the columns: it
/// is looked for first behind where the last one was found.
fn place(columns: &[Column], next: usize, name: &[u8]) -> Option<usize> {
    let is = |column: &Column| column.name.as_bytes() == name;
    if columns.get(next).is_some_and(is) { Some(next) } else { columns.iter().position(is) }
}

/// A plain line; none for any other.
fn plain(text: &str, columns: &[Column]) -> Option<Vec<Value>> {
    let mut values: Vec<_> = columns.iter().map(|_| Value::Null).collect();
    let mut next = 0;
    let mut reader = Reader { text, bytes: text.as_bytes(), at: 0 };
    reader.skip(b'{')?;
    loop {
        reader.skip(b'"')?;
        let name = &reader.bytes[reader.string()?];
        reader.skip(b':')?;
        let scalar = reader.scalar()?;
        if let Some(place) = place(columns, next, name) {
            values[place] = scalar.value(columns[place].kind)?;
            next = place + 1;
        }
        match reader.byte()? {
            b',' => {}
            b'}' => return (reader.at == text.len()).then_some(values),
            _ => return None,
        }
    }
}

/// A line, and how far it was read.
struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

/// A value of a plain line.
#[derive(Clone, Copy)]
enum Scalar<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Text(&'a str),
}

/// The bytes that a string does not hold as they are.
const ENDS: [bool; 256] = {
    let mut ends = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        ends[byte] = true;
        byte += 1;
    }
    ends[b'"' as usize] = true;
    ends[b'\\' as usize] = true;
    ends
};

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn skip(&mut self, wanted: u8) -> Option<()> {
        (self.byte()? == wanted).then_some(())
    }

    /// The rest of a string that has begun: where it is.
    fn string(&mut self) -> Option<Range<usize>> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().position(|byte| ENDS[usize::from(*byte)])?;
        let string = self.at..self.at + len;
        self.at = string.end + 1;
        (rest[len] == b'"').then_some(string)
    }

    fn scalar(&mut self) -> Option<Scalar<'a>> {
        match self.byte()? {
            b'"' => self.string().map(|string| Scalar::Text(&self.text[string])),
            b'n' => self.word("ull", Scalar::Null),
            b't' => self.word("rue", Scalar::Bool(true)),
            b'f' => self.word("alse", Scalar::Bool(false)),
            b'-' => match self.digits()? {
                0 => None,
                digits => Some(Scalar::Int(-digits)),
            },
            _ => {
                self.at -= 1;
                self.digits().map(Scalar::Int)
            }
        }
    }

    /// The rest of a word.
    fn word(&mut self, rest: &str, is: Scalar<'a>) -> Option<Scalar<'a>> {
        let there = self.bytes[self.at..].starts_with(rest.as_bytes());
        self.at += rest.len();
        there.then_some(is)
    }

    /// A whole number without a sign. What follows it is looked at by the caller: a fraction or an
    /// exponent ends no value.
    fn digits(&mut self) -> Option<i64> {
        let rest = &self.bytes[self.at..];
        let (mut number, mut len) = (0i64, 0);
        for digit in rest.iter().take_while(|byte| byte.is_ascii_digit()) {
            // Of too many digits nobody takes the number.
            number = number.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
            len += 1;
        }
        self.at += len;
        let plain = (1..=DIGITS_MAX).contains(&len) && (len == 1 || rest[0] != b'0');
        plain.then_some(number)
    }
}

impl Scalar<'_> {
    /// As a value of this type; none if it is of another.
    fn value(self, kind: ColumnType) -> Option<Value> {
        match (self, kind) {
            (Self::Null, _) => Some(Value::Null),
            (Self::Bool(value), ColumnType::Bool) => Some(Value::Bool(value)),
            (Self::Int(value), ColumnType::Int) => Some(Value::Int(value)),
            (Self::Text(text), ColumnType::Text) => Some(Value::Text(text.to_owned())),
            (Self::Bool(_) | Self::Int(_) | Self::Text(_), _) => None,
        }
    }
}

/// Any line, by way of the JSON parser.
fn parsed(line: &[u8], columns: &[Column]) -> Result<Vec<Value>, String> {
    let mut reader = serde_json::Deserializer::from_slice(line);
    let values =
        reader.deserialize_map(Columns(columns)).and_then(|values| reader.end().map(|()| values));
    values.map_err(|error| format!("not a line of the schema: {error}"))
}

struct Columns<'a>(&'a [Column]);

impl<'de> Visitor<'de> for Columns<'_> {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Value>, A::Error> {
        let mut values = vec![Value::Null; self.0.len()];
        let mut next = 0;
        while let Some(name) = map.next_key::<Name<'de>>()? {
            match place(self.0, next, name.0.as_bytes()) {
                Some(place) => {
                    values[place] = read(&mut map, &self.0[place])?;
                    next = place + 1;
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(values)
    }
}

/// A field's name, borrowed where it holds no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

fn read<'de, A: MapAccess<'de>>(map: &mut A, column: &Column) -> Result<Value, A::Error> {
    let named = |error: A::Error| de::Error::custom(format!("field \"{}\": {error}", column.name));
    Ok(match column.kind {
        ColumnType::Bool => map.next_value::<Option<bool>>().map_err(named)?.map(Value::Bool),
        ColumnType::Int => map.next_value::<Option<i64>>().map_err(named)?.map(Value::Int),
        ColumnType::Text => map.next_value::<Option<String>>().map_err(named)?.map(Value::Text),
    }
    .unwrap_or(Value::Null))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn columns() -> Vec<Column> {
        let of = |name: &str, kind| Column { name: name.to_owned(), kind };
        vec![of("a", ColumnType::Int), of("b", ColumnType::Text), of("c", ColumnType::Bool)]
    }

    /// What becomes of a line, and whether it is plain. A plain one is read as any other would be.
    fn read(line: &[u8]) -> (Result<Vec<Value>, String>, bool) {
        let columns = columns();
        let plain = str::from_utf8(line).ok().and_then(|text| plain(text, &columns));
        if let Some(plain) = &plain {
            let line = String::from_utf8_lossy(line);
            assert_eq!(parsed(line.as_bytes(), &columns).as_ref(), Ok(plain), "{line}");
        }
        (parse(line, &columns), plain.is_some())
    }

    #[test]
    fn a_plain_line_is_read_in_one_go_and_the_last_of_equal_names_counts() {
        let line = r#"{"a":-12,"x":{},"c":true}"#;
        assert!(!read(line.as_bytes()).1, "an object within");
        for (line, a, b, c) in [
            (r#"{"a":-12,"b":"é /","x":0,"c":true}"#, Value::Int(-12), Some("é /"), Some(true)),
            (r#"{"c":false,"b":null,"a":7}"#, Value::Int(7), None, Some(false)),
            (
                r#"{"a":1,"x":"","b":"","a":999999999999999999}"#,
                Value::Int(10i64.pow(18) - 1),
                Some(""),
                None,
            ),
            (r#"{"a":null}"#, Value::Null, None, None),
        ] {
            let text = b.map_or(Value::Null, |text| Value::Text(text.to_owned()));
            let values = vec![a, text, c.map_or(Value::Null, Value::Bool)];
            assert_eq!(read(line.as_bytes()), (Ok(values), true), "{line}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_parser() {
        for (line, sound) in [
            ("{}", true),
            (r#"{"a": 1}"#, true),
            (r#" {"a":1} "#, true),
            (r#"{"b":"\n"}"#, true),
            (r#"{"\u0061":1}"#, true),
            (r#"{"a":9223372036854775807}"#, true),
            (r#"{"a":9223372036854775808}"#, false),
            (r#"{"a":-0}"#, false),
            (r#"{"a":01}"#, false),
            (r#"{"a":1.0}"#, false),
            (r#"{"a":1e3}"#, false),
            (r#"{"a":-}"#, false),
            (r#"{"a":}"#, false),
            (r#"{"a":"1"}"#, false),
            (r#"{"b":1}"#, false),
            (r#"{"c":nul}"#, false),
            (r#"{"a":1,}"#, false),
            (r#"{"a":1}}"#, false),
            (r#"{"a":1"#, false),
            (r#"{"a":1,"a""#, false),
            ("{\"b\":\"\u{1}\"}", false),
            ("", false),
        ] {
            let (read, plain) = read(line.as_bytes());
            assert_eq!((read.is_ok(), plain), (sound, false), "{line}");
        }
        assert!(read(b"{\"x\":\"\xff\"}").0.is_ok(), "what is not looked at need not be UTF-8");
        assert!(read(b"{\"b\":\"\xff\"}").0.is_err());
    }

    const VALUES: [&str; 10] =
        ["0", "12", "-7", "\"\"", "\"é\"", "true", "false", "null", "1.5", "[{}]"];

    proptest! {
        #[test]
        fn a_line_with_a_byte_changed_is_plain_only_if_the_parser_reads_it_just_so(
            fields in prop::collection::vec((0..4usize, 0..VALUES.len()), 0..6),
            place in any::<prop::sample::Index>(),
            byte in prop::sample::select(b"{}[]\":,-.+019e\\ ntab\x00\x7f\xc3".to_vec()),
        ) {
            let field = |(name, value): &(usize, usize)| {
                format!("\"{}\":{}", ["a", "b", "c", "x"][*name], VALUES[*value])
            };
            let fields: Vec<_> = fields.iter().map(field).collect();
            let mut line = format!("{{{}}}", fields.join(",")).into_bytes();
            drop(read(&line));
            let place = place.index(line.len());
            line[place] = byte;
            drop(read(&line));
        }
    }
}
