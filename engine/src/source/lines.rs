//! Bytes as lines, each with its place. It does not matter in which pieces the bytes come.

use bytes::{Bytes, BytesMut};

/// The most bytes of a line; of a longer one, only so many are kept.
pub const LINE_BYTES_MAX: usize = 32 * 1024;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The offset of its first byte.
    pub at: u64,
    /// How many bytes it has, without its line break.
    pub len: u64,
    /// Its bytes, at most [`LINE_BYTES_MAX`] of them.
    pub bytes: Bytes,
}

/// Finds lines.
#[derive(Debug, Default)]
pub struct Lines {
    /// Where the line begins that is being read.
    at: u64,
    len: u64,
    bytes: BytesMut,
}

impl Lines {
    /// Lines from this offset on, where one begins.
    #[must_use]
    pub fn starting_at(at: u64) -> Self {
        Self { at, ..Self::default() }
    }

    /// Where the first line begins that is not whole yet.
    #[must_use]
    pub fn begin(&self) -> u64 {
        self.at
    }

    /// Where the next bytes are to come from.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.at + self.len
    }

    /// The lines that these bytes make whole.
    pub fn take(&mut self, mut bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        while let Some(place) = bytes.iter().position(|byte| *byte == b'\n') {
            self.add(&bytes[..place]);
            bytes = &bytes[place + 1..];
            lines.push(self.whole(1));
        }
        self.add(bytes);
        lines
    }

    /// The last line, which has no line break; none if nothing is behind the last break.
    pub fn last(&mut self) -> Option<Line> {
        (self.len > 0).then(|| self.whole(0))
    }

    fn add(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        let room = LINE_BYTES_MAX - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..room.min(bytes.len())]);
    }

    fn whole(&mut self, line_break: u64) -> Line {
        let line = Line { at: self.at, len: self.len, bytes: self.bytes.split().freeze() };
        self.at += self.len + line_break;
        self.len = 0;
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_in_whatever_pieces_their_bytes_come() {
        let text = b"one\n\ntwo and\r\nthree";
        for size in 1..=text.len() {
            let mut lines = Lines::starting_at(100);
            let whole: Vec<_> = text.chunks(size).flat_map(|piece| lines.take(piece)).collect();
            let places: Vec<_> = whole.iter().map(|line| (line.at, &line.bytes[..])).collect();
            assert_eq!(places, [(100, &b"one"[..]), (104, b""), (105, b"two and\r")]);
            assert_eq!((lines.begin(), lines.end()), (114, 119));
            let last = lines.last().expect("a torn line");
            assert_eq!((last.at, &last.bytes[..]), (114, &b"three"[..]));
            assert_eq!((lines.begin(), lines.last()), (119, None));
        }
    }

    #[test]
    fn a_line_without_end_takes_no_more_memory_than_a_long_one_and_keeps_its_place() {
        let mut lines = Lines::default();
        for _ in 0..100 {
            assert_eq!(lines.take(&[b'x'; 10_000]), []);
        }
        let whole = lines.take(b"\nnext\n");
        assert_eq!((whole[0].at, whole[0].len), (0, 1_000_000));
        assert_eq!(whole[0].bytes.len(), LINE_BYTES_MAX);
        assert_eq!((whole[1].at, &whole[1].bytes[..]), (1_000_001, &b"next"[..]));
    }
}
