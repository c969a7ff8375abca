//! What a boot makes of the files of a partition. Pure: names and bytes in, a verdict out.
//!
//! A segment is a log of its own, named by its first offset; its frames say their offsets, too, and
//! count from 0. So a frame or a segment that is missing anywhere but at the very end shows: the
//! next one does not begin where it should.
//!
//! **Only the last segment can be torn.** A segment is begun when all frames of the one before are
//! synced, never earlier ([`super::partition`] syncs again if it must), and until its name is
//! durable nothing is written to it. So a power cut leaves a last segment that may have a torn last
//! frame, or may be empty, or may not be there at all, which is as if it had not been begun. All
//! segments before it are whole whatever happens: if one is not, what was acknowledged is damaged,
//! and the log is refused.
//!
//! A last segment that is lost as a whole, with acknowledged frames, looks like one that was not
//! begun, as the rot of a last frame looks like a torn one. So each frame also says where *all*
//! partitions' durable ends were when it was written: a partition that ends below what a frame of
//! any says has lost what was acknowledged, and the log is refused ([`whole`]). Only of what was
//! acknowledged after the last frame of all there is no such evidence.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use unplug_sim::env::Refusal;

use crate::{
    codec::CodecError,
    log::{self, Place, Sound},
    log_paths,
    tuple::{Offset, Partition, Tuple},
};

/// The payload of a frame.
#[derive(Serialize, Deserialize)]
pub(super) struct Frame<T = Tuple> {
    pub(super) base: Offset,
    pub(super) tuples: Vec<T>,
    /// The durable end of each partition when this was written.
    pub(super) ends: Vec<Offset>,
}

/// The fields of a [`Tuple`], whose bytes stay where they are.
type Fields<'a> = (u16, u64, u64, &'a [u8], &'a [u8]);

/// The segments of a partition, by their names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// Below the first offset that is kept: leftovers of a trim.
    pub(super) stale: Vec<String>,
    /// The others, ascending: at least one.
    pub(super) kept: Vec<Offset>,
    /// Whether there is what tells of added partitions, which only the first one's directory holds.
    pub(super) layouts: bool,
}

/// A segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Its first offset.
    pub(super) base: Offset,
    /// Each frame and its first offset.
    pub(super) frames: Vec<(Offset, Place)>,
    /// What of the file is sound.
    pub(super) sound: Sound,
}

/// All that is kept of a partition.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scan {
    /// Ascending: at least one.
    pub(super) segments: Vec<Segment>,
    /// Up to where each partition was durable, as the frames say; of all, if there is a frame.
    pub(super) ends: Vec<Offset>,
    /// Producer and seq of each tuple, in the order of offsets.
    pub(super) tuples: Vec<(u16, u64)>,
    /// Whether the last segment has a torn tail, which is to be cut off.
    pub(super) torn: bool,
}

/// Sorts out the names in the directory of a partition that is kept from `first` on.
///
/// # Errors
/// A name that nobody gave, and no segment that begins at `first`.
pub(super) fn sort(directory: &str, names: &[String], first: Offset) -> Result<Names, Refusal> {
    let mut found = Names { stale: Vec::new(), kept: Vec::new(), layouts: false };
    let first_one = log_paths::directory(Partition(0));
    for name in names.iter().filter(|name| *name != log_paths::CHECKPOINT) {
        match log_paths::base(name) {
            Some(base) if base < first => found.stale.push(name.clone()),
            Some(base) => found.kept.push(base),
            None if name == log_paths::LAYOUTS && directory == first_one => found.layouts = true,
            None => {
                return Err(Refusal::new(format!(
                    "{directory}/{name} is neither a segment nor a checkpoint; move it elsewhere, \
                     nothing was changed"
                )));
            }
        }
    }
    found.kept.sort_unstable();
    if found.kept.first() == Some(&first) { Ok(found) } else { Err(missing(directory, first)) }
}

/// Finds the frames of all segments that are kept, which are given with their first offsets.
///
/// # Errors
/// Damage anywhere but at the very end, with its place.
///
/// # Panics
/// If there are no segments.
pub(super) fn scan(
    directory: &str,
    segments: &[(Offset, Bytes)],
    sector: usize,
) -> Result<Scan, Refusal> {
    let mut found =
        Scan { segments: Vec::new(), ends: Vec::new(), tuples: Vec::new(), torn: false };
    let mut next = segments.first().expect("a partition has a segment").0;
    for (number, (base, bytes)) in segments.iter().enumerate() {
        if *base != next {
            return Err(missing(directory, next));
        }
        let path = format!("{directory}/{}", log_paths::segment_name(*base));
        let log = log::scan(&path, bytes, sector)?;
        let sound = log.sound();
        let torn = sound.end < bytes.len() as u64;
        if torn && number + 1 < segments.len() {
            return Err(log::damaged(&path, sound.end, &CodecError::Damaged));
        }
        let mut frames = Vec::with_capacity(log.frames.len());
        for (place, payload) in log.frames {
            let Frame { base, tuples, ends } =
                decode::<Frame<Fields<'_>>>(&payload, || path.clone())?;
            if base != next {
                return Err(Refusal::new(format!(
                    "{path}: a frame begins at offset {base} where {next} is next; restore the \
                     file from a copy, nothing was changed"
                )));
            }
            frames.push((base, place));
            highest(&mut found.ends, &ends);
            next = Offset(next.0 + tuples.len() as u64);
            found.tuples.extend(tuples.iter().map(|(producer, seq, ..)| (*producer, *seq)));
        }
        found.segments.push(Segment { base: *base, frames, sound });
        found.torn = torn;
    }
    Ok(found)
}

/// Raises ends to others.
pub(super) fn highest(ends: &mut Vec<Offset>, others: &[Offset]) {
    ends.resize(ends.len().max(others.len()), Offset(0));
    for (end, other) in ends.iter_mut().zip(others) {
        *end = (*end).max(*other);
    }
}

/// Checks that no partition is missing, or ends below where the frames of all say that it was durable.
///
/// # Errors
/// One is or does: which, and where.
pub(super) fn whole(said: &[Offset], found: &[Offset]) -> Result<(), Refusal> {
    if found.len() < said.len() {
        return Err(Refusal::new(format!(
            "{}: tells of {} partitions, and a frame of the log of {}; restore the file {} in it \
             from a copy, nothing was changed",
            log_paths::directory(Partition(0)),
            found.len(),
            said.len(),
            log_paths::LAYOUTS
        )));
    }
    for (partition, (said, found)) in (0..).map(Partition).zip(said.iter().zip(found)) {
        if found < said {
            return Err(Refusal::new(format!(
                "{}: ends at offset {found}, and a later frame of the log says that all below \
                 {said} was acknowledged; restore the files from a copy, nothing was changed",
                log_paths::directory(partition)
            )));
        }
    }
    Ok(())
}

/// Decodes the payload of a frame of the log at `path`.
///
/// # Errors
/// If it is none of this log's.
pub(super) fn decode<'a, F: Deserialize<'a>>(
    payload: &'a Bytes,
    path: impl FnOnce() -> String,
) -> Result<F, Refusal> {
    postcard::from_bytes(payload).map_err(|_| {
        let path = path();
        Refusal::new(format!(
            "{path}: a frame with a good checksum holds no tuples; was it written here?"
        ))
    })
}

fn missing(directory: &str, offset: Offset) -> Refusal {
    Refusal::new(format!(
        "{directory}: offset {offset} is missing: no segment, and no frame, begins there; restore \
         the files from a copy, nothing was changed"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTOR: usize = 512;

    /// Segments of so many frames, each of two tuples of producer 1.
    fn segments(counts: &[u64]) -> Vec<(Offset, Bytes)> {
        let mut next = 0;
        let mut segments = Vec::new();
        for count in counts {
            let base = Offset(next);
            let mut bytes = Vec::new();
            for sequence in 0..*count {
                let tuple = |seq| Tuple {
                    producer: 1,
                    seq,
                    time_ms: seq,
                    key: "key".into(),
                    value: vec![7; 40].into(),
                };
                let frame = Frame {
                    base: Offset(next),
                    tuples: vec![tuple(next), tuple(next + 1)],
                    ends: vec![Offset(next), Offset(90 - next)],
                };
                next += 2;
                let payload = postcard::to_stdvec(&frame).expect("plain data");
                let id = log::id(&format!("log/{}", log_paths::segment_name(base)));
                bytes.extend_from_slice(&log::frame(id, sequence, &payload, SECTOR));
            }
            segments.push((base, bytes.into()));
        }
        segments
    }

    fn tuples(segments: &[(Offset, Bytes)]) -> Result<usize, String> {
        scan("log", segments, SECTOR)
            .map(|scan| scan.tuples.len())
            .map_err(|refusal| refusal.reason)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    const ZERO: &str = "0000000000000000";
    const FOUR: &str = "0000000000000004";
    const NINE: &str = "0000000000000009";

    #[test]
    fn all_tuples_of_whole_segments_are_found_in_order() {
        let found = scan("log", &segments(&[3, 2, 4]), SECTOR).expect("whole");
        assert_eq!(found.tuples, (0..18).map(|seq| (1, seq)).collect::<Vec<_>>());
        let bases: Vec<_> = found.segments.iter().map(|segment| segment.base.0).collect();
        assert_eq!((bases, found.torn), (vec![0, 6, 10], false));
        let frames: Vec<_> = found.segments[1].frames.iter().map(|(base, _)| base.0).collect();
        assert_eq!(frames, [6, 8]);
    }

    #[test]
    fn an_end_below_what_any_frame_says_is_refused() {
        let found = scan("log", &segments(&[3, 2]), SECTOR).expect("whole");
        assert_eq!(found.ends, [8, 90].map(Offset));
        assert_eq!(whole(&found.ends, &[10, 90].map(Offset)), Ok(()));
        assert_eq!(whole(&[], &[Offset(0)]), Ok(()), "a log without frames");
        let refusal = whole(&found.ends, &[10, 89].map(Offset)).expect_err("a lost end").reason;
        assert!(refusal.starts_with("/log/00001: ends at offset 89, and "), "{refusal}");
        let refusal = whole(&found.ends, &[Offset(10)]).expect_err("a lost partition").reason;
        assert!(refusal.starts_with("/log/00000: tells of 1 partitions, and "), "{refusal}");
    }

    #[test]
    fn a_last_segment_may_be_empty_or_torn_at_any_byte() {
        let mut found = segments(&[2, 3]);
        let whole = found[1].1.clone();
        for len in 0..whole.len() {
            found[1].1 = whole.slice(..len);
            let scan = scan("log", &found, SECTOR).expect("a torn tail");
            let frames = len * 3 / whole.len();
            assert_eq!(scan.tuples.len(), 4 + 2 * frames, "cut at {len}");
            assert_eq!(scan.torn, !len.is_multiple_of(whole.len() / 3), "cut at {len}");
        }
        assert_eq!(tuples(&segments(&[2])), Ok(4), "without its name");
    }

    #[test]
    fn a_segment_before_the_last_that_is_not_whole_is_refused_even_if_the_last_one_is_empty() {
        for counts in [[2, 3, 1], [2, 3, 0]] {
            let whole = segments(&counts);
            for cut in 0..whole[1].1.len() {
                let mut found = whole.clone();
                found[1].1 = whole[1].1.slice(..cut);
                let refusal = tuples(&found).expect_err("a cut in a sealed segment");
                assert!(refusal.contains("restore the file"), "{cut}: {refusal}");
                let mut rotten = whole[1].1.to_vec();
                rotten[cut] ^= 1;
                found[1].1 = rotten.into();
                let refusal = tuples(&found).expect_err("rot in a sealed segment");
                assert!(refusal.starts_with(&format!("log/{FOUR}, byte ")), "{cut}: {refusal}");
            }
        }
    }

    #[test]
    fn a_missing_segment_in_the_middle_is_refused_with_the_offset_that_is_missing() {
        let mut found = segments(&[2, 3, 1]);
        found.remove(1);
        let refusal = tuples(&found).expect_err("a gap");
        assert!(refusal.starts_with("log: offset 4 is missing"), "{refusal}");
    }

    #[test]
    fn a_segment_under_another_ones_name_is_refused() {
        let mut found = segments(&[2, 2, 2]);
        found[1].1 = found[2].1.clone();
        let refusal = tuples(&found).expect_err("misplaced");
        assert!(refusal.starts_with("log/0000000000000004, byte 0: damaged"), "{refusal}");
    }

    #[test]
    fn segments_below_the_first_offset_are_stale_in_any_number() {
        let sorted = |list: &[&str], first| sort("log", &names(list), Offset(first));
        let all = sorted(&[ZERO, FOUR, NINE, "checkpoint"], 0).expect("whole");
        let kept = [0, 4, 9].map(Offset).to_vec();
        assert_eq!(all, Names { stale: vec![], kept, layouts: false });
        for stale in [&[ZERO, FOUR][..], &[FOUR], &[]] {
            let list = [stale, &[NINE]].concat();
            let found = sorted(&list, 9).expect("leftovers");
            let stale = names(stale);
            assert_eq!(found, Names { stale, kept: vec![Offset(9)], layouts: false });
        }
        let first = sort("/log/00000", &names(&[ZERO, "layouts"]), Offset(0)).expect("whole");
        assert!(first.layouts);
        sort("/log/00001", &names(&[ZERO, "layouts"]), Offset(0)).expect_err("not in this one");
    }

    #[test]
    fn a_missing_first_offset_and_an_unknown_name_are_refused() {
        let refusal =
            |list: &[&str], first| sort("log", &names(list), Offset(first)).expect_err("").reason;
        assert!(refusal(&[], 0).starts_with("log: offset 0 is missing"));
        assert!(refusal(&[FOUR, NINE], 0).starts_with("log: offset 0 is missing"));
        assert!(refusal(&[ZERO, NINE], 4).starts_with("log: offset 4 is missing"));
        assert!(refusal(&[ZERO], 4).starts_with("log: offset 4 is missing"));
        for name in ["4", "notes", "000000000000000x"] {
            assert!(refusal(&[ZERO, name], 0).starts_with(&format!("log/{name} is neither")));
        }
    }
}
