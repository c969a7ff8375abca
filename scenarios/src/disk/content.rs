//! The bytes of a file as people write and read them: text, and long runs of one byte.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// The most bytes that a file of an operations list may have.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
/// So many equal bytes are still written out.
const WRITTEN_OUT_MAX: usize = 4;
const EXPECTED: &str = r#"a string, a run such as {"fill": "x", "len": 512}, or a list of those"#;

/// The bytes of a file, or of a write.
///
/// In JSON: a string, a run such as `{"fill": "x", "len": 512}` (or with a number, `{"fill": 0,
/// "len": 512}`), or a list of those. As text, runs are `x*512`, zero bytes are `.`, and a
/// backslash stands before what would be taken for one of these signs.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Content(Vec<Part>);

/// A piece of content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Text(String),
    Run(Run),
}

/// One byte, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    fill: Fill,
    len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fill(u8);

impl Content {
    /// These bytes, in the shortest form.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut content = Self::default();
        let mut text = Vec::new();
        for run in bytes.chunk_by(|a, b| a == b) {
            if run[0] == 0 || run.len() > WRITTEN_OUT_MAX {
                content.push_text(&std::mem::take(&mut text));
                content.push_run(run[0], run.len());
            } else {
                text.extend_from_slice(run);
            }
        }
        content.push_text(&text);
        content
    }

    /// A run of one byte.
    #[must_use]
    pub fn run(byte: u8, len: usize) -> Self {
        let mut content = Self::default();
        content.push_run(byte, len);
        content
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => bytes.extend_from_slice(text.as_bytes()),
                Part::Run(Run { fill, len }) => bytes.resize(bytes.len() + len, fill.0),
            }
        }
        bytes
    }

    /// The number of bytes; `u64::MAX` if there are more.
    #[must_use]
    pub fn len(&self) -> u64 {
        let lens = self.0.iter().map(|part| match part {
            Part::Text(text) => text.len() as u64,
            Part::Run(Run { len, .. }) => *len as u64,
        });
        lens.fold(0, u64::saturating_add)
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn push_text(&mut self, bytes: &[u8]) {
        for chunk in bytes.utf8_chunks() {
            if !chunk.valid().is_empty() {
                self.0.push(Part::Text(chunk.valid().to_owned()));
            }
            chunk.invalid().iter().for_each(|byte| self.push_run(*byte, 1));
        }
    }

    fn push_run(&mut self, byte: u8, len: usize) {
        self.0.push(Part::Run(Run { fill: Fill(byte), len }));
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, part) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(" ")?;
            }
            match part {
                Part::Text(text) => text.chars().try_for_each(|sign| write_sign(f, sign))?,
                Part::Run(run) => run.fmt(f)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fill: Fill(byte), len } = *self;
        let long = len > WRITTEN_OUT_MAX;
        for _ in 0..if long { 1 } else { len } {
            match byte {
                0 => f.write_str(".")?,
                1..0x80 => write_sign(f, char::from(byte))?,
                0x80.. => write!(f, "\\x{byte:02x}")?,
            }
        }
        if long { write!(f, "*{len}") } else { Ok(()) }
    }
}

fn write_sign(f: &mut fmt::Formatter<'_>, sign: char) -> fmt::Result {
    match sign {
        '.' | '*' | '\\' => write!(f, "\\{sign}"),
        sign if sign.is_control() => write!(f, "{}", sign.escape_default()),
        sign => write!(f, "{sign}"),
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [] => serializer.serialize_str(""),
            [part] => part.serialize(serializer),
            parts => parts.serialize(serializer),
        }
    }
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Run(run) => run.serialize(serializer),
        }
    }
}

impl Serialize for Fill {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            graphic @ b' '..=b'~' => serializer.serialize_char(char::from(graphic)),
            byte => serializer.serialize_u8(byte),
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Content, E> {
        let text = (!text.is_empty()).then(|| Part::Text(text.to_owned()));
        Ok(Content(text.into_iter().collect()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Content, A::Error> {
        let run = Run::deserialize(MapAccessDeserializer::new(map))?;
        if run.len as u64 > FILE_BYTES_MAX {
            let problem = format!("a run of {} bytes; at most {FILE_BYTES_MAX}", run.len);
            return Err(A::Error::custom(problem));
        }
        Ok(Content(vec![Part::Run(run)]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
        let mut parts = Vec::new();
        while let Some(Content(more)) = list.next_element()? {
            parts.extend(more);
        }
        Ok(Content(parts))
    }
}

impl<'de> Deserialize<'de> for Fill {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FillVisitor)
    }
}

struct FillVisitor;

impl Visitor<'_> for FillVisitor {
    type Value = Fill;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one ASCII character or a number below 256")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Fill, E> {
        match text.as_bytes() {
            [byte] => Ok(Fill(*byte)),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Fill, E> {
        let unexpected = serde::de::Unexpected::Unsigned(number);
        u8::try_from(number).map(Fill).map_err(|_| E::invalid_value(unexpected, &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_shown_shortly_and_come_back_from_json() {
        let check = |bytes: &[u8], text: &str, json: &str| {
            let content = Content::of(bytes);
            assert_eq!(content.to_string(), text);
            assert_eq!(serde_json::to_string(&content).expect("serialises"), json);
            let back: Content = serde_json::from_str(json).expect("parses");
            assert_eq!(back.bytes(), bytes);
            assert_eq!(back.len(), bytes.len() as u64);
        };
        check(b"", "", r#""""#);
        check(b"hello", "hello", r#""hello""#);
        check(b"a.b*\\\n", r"a\.b\*\\\n", r#""a.b*\\\n""#);
        check(&[b'x'; 512], "x*512", r#"{"fill":"x","len":512}"#);
        check(b"a\0\0b", "a .. b", r#"["a",{"fill":0,"len":2},"b"]"#);
        check(&[0; 9], ".*9", r#"{"fill":0,"len":9}"#);
        check("grün".as_bytes(), "grün", r#""grün""#);
        check(b"gr\xc3", r"gr \xc3", r#"["gr",{"fill":195,"len":1}]"#);
    }

    #[test]
    fn what_is_no_content_is_told_with_what_would_be() {
        let error = |json: &str| serde_json::from_str::<Content>(json).expect_err(json).to_string();
        assert!(error("3").starts_with(&format!("invalid type: integer `3`, expected {EXPECTED}")));
        assert!(error(r#"{"fill": "ab", "len": 1}"#).contains("expected one ASCII character"));
        assert!(error(r#"{"fill": 256, "len": 1}"#).contains("expected one ASCII character"));
        assert!(error(r#"{"fill": "x", "len": 1048577}"#).contains("at most 1048576"));
        assert!(error(r#"{"fill": "x"}"#).starts_with("missing field `len`"));
    }
}
