//! A partition of the source: its open segments, what is in them, reading and trimming.

use bytes::Bytes;
use futures_util::future::try_join_all;
use unplug_sim::env::{Env, Refusal};

use crate::{
    codec,
    defect::{Defect, Defects},
    durable::Store,
    log::{self, Log, Place},
    log_paths,
    tuple::{Offset, OffsetRange, Partition, Tuple},
};

use super::{
    Answer, PAGE_BYTES,
    checkpoint::Checkpoint,
    producers::{Found, Producers},
    segments::{self, Frame, Scan, decode},
};

/// How many segments are read beside each other at boot.
const READ_AT_ONCE: usize = 16;

/// An open segment.
struct Segment<E: Env> {
    base: Offset,
    log: Log<E>,
    /// Each frame and its first offset.
    frames: Vec<(Offset, Place)>,
}

/// What is known of one partition.
pub(super) struct Part<E: Env> {
    env: E,
    defects: Defects,
    partition: Partition,
    directory: String,
    /// Ascending: at least one. Only the last gets frames.
    segments: Vec<Segment<E>>,
    producers: Producers,
    /// The next offset to be given away.
    next: Offset,
    /// The end that readers see: what is durable.
    end: Offset,
    /// Whether the last segment has frames that were not synced.
    dirty: bool,
}

/// A partition in which all is well as far as it alone can tell, and nothing was changed yet.
pub(super) struct Opened<E: Env> {
    part: Part<E>,
    /// Whether there is a torn tail.
    torn: bool,
    /// What is left of a trim.
    stale: Vec<String>,
    /// Up to where each partition was durable, as the frames of this one say.
    pub(super) ends: Vec<Offset>,
    /// Whether a file is there that tells of added partitions.
    pub(super) layouts: bool,
}

impl<E: Env> Opened<E> {
    /// The end of what was found.
    pub(super) fn end(&self) -> Offset {
        self.part.end
    }

    /// Cuts off a torn tail and deletes what is left of a trim.
    pub(super) async fn clear(self, files: &Store<E>) -> Result<Part<E>, Refusal> {
        let Self { part, torn, stale, .. } = self;
        if torn {
            part.last().log.cut().await?;
        }
        for name in stale {
            files.remove(&format!("{}/{name}", part.directory)).await?;
        }
        Ok(part)
    }
}

impl<E: Env> Part<E> {
    /// Opens a partition, which formatting made: makes all that is there durable, then looks at it.
    pub(super) async fn open(
        env: &E,
        files: &Store<E>,
        partition: Partition,
        defects: Defects,
    ) -> Result<Opened<E>, Refusal> {
        let directory = log_paths::directory(partition);
        let names = files.settle(&directory).await?;
        let Checkpoint { first, mut producers } = Checkpoint::load(files, partition).await?;
        let segments::Names { stale, kept, layouts } = segments::sort(&directory, &names, first)?;
        let mut contents = Vec::with_capacity(kept.len());
        for some in kept.chunks(READ_AT_ONCE) {
            let read = async |base: &Offset| {
                let path = log_paths::segment(partition, *base);
                files.read(&path).await.map(|bytes| (*base, bytes))
            };
            contents.extend(try_join_all(some.iter().map(read)).await?);
        }
        let Scan { segments: found, ends, tuples, torn } =
            segments::scan(&directory, &contents, log::sector_bytes(defects))?;
        let mut next = first;
        for (producer, seq) in tuples {
            if producers.find(producer, seq) != Found::New {
                return Err(Refusal::new(format!(
                    "{directory}: tuple {producer}/{seq} at offset {next} is there a second time, \
                     or comes too late; restore the files from a copy, nothing was changed"
                )));
            }
            producers.add(producer, seq, next);
            next = Offset(next.0 + 1);
        }
        let mut segments = Vec::with_capacity(found.len());
        for segments::Segment { base, frames, sound } in found {
            let path = log_paths::segment(partition, base);
            let log = Log::resume(env, &path, sound, defects).await?;
            segments.push(Segment { base, log, frames });
        }
        let env = env.clone();
        let (end, dirty) = (next, false);
        let part =
            Self { env, defects, partition, directory, segments, producers, next, end, dirty };
        Ok(Opened { part, torn, stale, ends, layouts })
    }

    /// Makes a partition that is to be added: durable, but for the name of its directory. What a crash
    /// left of an earlier time is taken over.
    pub(super) async fn begin(
        env: &E,
        files: &Store<E>,
        partition: Partition,
        defects: Defects,
    ) -> Result<Self, Refusal> {
        let directory = log_paths::directory(partition);
        files.create_dir(&directory).await?;
        if files.settle(&directory).await?.is_empty() {
            Log::create(env, &log_paths::segment(partition, Offset(0)), defects).await?;
            files.sync_dir(&directory).await?;
        }
        let opened = Self::open(env, files, partition, defects).await?;
        if opened.end() > Offset(0) || opened.torn {
            return Err(Refusal::new(format!(
                "{directory} holds tuples, and no partition of that number was ever added; move it \
                 elsewhere, nothing was changed"
            )));
        }
        opened.clear(files).await
    }

    /// The seq behind the highest of each producer that is there or was.
    pub(super) fn next_seqs(&self) -> impl Iterator<Item = (u16, u64)> {
        self.producers.next_seqs()
    }

    /// The end that readers see.
    pub(super) fn end(&self) -> Offset {
        self.end
    }

    /// Whether it has so many bytes that it should take nothing in.
    pub(super) fn is_full(&self, bytes_max: Option<u64>) -> bool {
        is_full(self.segments.iter().map(|segment| segment.log.bytes()), bytes_max)
    }

    /// What became of a tuple.
    pub(super) fn find(&self, tuple: &Tuple) -> Found {
        self.producers.find(tuple.producer, tuple.seq)
    }

    /// Gives a new tuple the next offset; it is still to be appended.
    pub(super) fn take_in(&mut self, tuple: &Tuple) -> Offset {
        let offset = self.next;
        self.next = Offset(offset.0 + 1);
        self.producers.add(tuple.producer, tuple.seq, offset);
        offset
    }

    /// Appends the tuples that were taken in last, as one frame, which is not durable before
    /// [`Part::sync`] returned; `ends` are all partitions' durable ones. Begins a new segment
    /// before, if the last one has `segment_bytes`. Where there is no room, it is as if they had
    /// not been taken in.
    pub(super) async fn append(
        &mut self,
        files: &Store<E>,
        tuples: Vec<Tuple>,
        ends: Vec<Offset>,
        segment_bytes: u64,
    ) -> Result<(), Refusal> {
        let base = Offset(self.next.0 - tuples.len() as u64);
        let frame = Frame { base, tuples, ends };
        let appended = self.append_frame(files, frame, segment_bytes).await;
        if appended.is_err() {
            self.next = base;
            if !self.defects.has(Defect::RefusedTuplesRemembered) {
                self.producers.retract(base);
            }
        }
        appended
    }

    async fn append_frame(
        &mut self,
        files: &Store<E>,
        frame: Frame,
        segment_bytes: u64,
    ) -> Result<(), Refusal> {
        let base = frame.base;
        if self.last().log.bytes() >= segment_bytes {
            self.roll(files, base).await?;
        }
        let room = frame.tuples.iter().map(|tuple| tuple.key.len() + tuple.value.len() + 32).sum();
        let payload = codec::append_plain(&frame, Vec::with_capacity(room)).into();
        self.dirty = true;
        let last = self.segments.last_mut().expect("at least one");
        last.frames.push((base, last.log.append(payload).await?));
        Ok(())
    }

    /// Begins a new segment: the one before is synced first, so that it is whole for ever, and the
    /// new one's name is durable before anything is written to it.
    async fn roll(&mut self, files: &Store<E>, base: Offset) -> Result<(), Refusal> {
        self.sync().await?;
        let path = log_paths::segment(self.partition, base);
        let log = Log::create(&self.env, &path, self.defects).await?;
        files.sync_dir(&self.directory).await?;
        self.segments.push(Segment { base, log, frames: Vec::new() });
        Ok(())
    }

    /// Makes all that was appended durable.
    pub(super) async fn sync(&mut self) -> Result<(), Refusal> {
        if self.dirty {
            self.last().log.sync().await?;
            self.dirty = false;
        }
        Ok(())
    }

    /// Moves the end that readers see to all that was taken in; gives it.
    pub(super) fn publish(&mut self) -> Offset {
        self.end = self.next;
        self.end
    }

    fn last(&self) -> &Segment<E> {
        self.segments.last().expect("at least one")
    }

    fn first(&self) -> Offset {
        self.segments.first().expect("at least one").base
    }

    /// A page of a range.
    pub(super) async fn read(&self, range: OffsetRange) -> Result<Answer, Refusal> {
        if range.end > self.end {
            return Ok(Answer::Beyond(self.end));
        }
        if range.start < self.first() {
            return Ok(Answer::Below(self.first()));
        }
        let mut page = Vec::new();
        let mut room = PAGE_BYTES;
        for (segment, frames) in self.frames(range) {
            let fitting = frames.iter().take_while(|(_, place)| {
                let fits = room > 0;
                room = room.saturating_sub(place.bytes());
                fits
            });
            let ([(_, first), .., (_, last)] | [(_, first @ last)]) = &frames[..fitting.count()]
            else {
                break;
            };
            for payload in segment.log.read(*first, *last).await? {
                let Frame { base, tuples, .. } = self.decode(&payload, segment)?;
                let offsets = (base.0..).map(Offset);
                let wanted =
                    offsets.zip(tuples).filter(|(at, _)| (range.start..range.end).contains(at));
                page.extend(wanted.map(|(_, tuple)| tuple));
            }
        }
        Ok(Answer::Page(page))
    }

    /// The frames that hold a range, by segment.
    fn frames(
        &self,
        range: OffsetRange,
    ) -> impl Iterator<Item = (&Segment<E>, &[(Offset, Place)])> {
        let holding = self.segments.partition_point(|segment| segment.base <= range.start);
        self.segments[holding.saturating_sub(1)..].iter().map(move |segment| {
            let frames = &segment.frames;
            let before = frames.partition_point(|(base, _)| *base <= range.start);
            let end = frames.partition_point(|(base, _)| *base < range.end);
            (segment, &frames[before.saturating_sub(1).min(end)..end])
        })
    }

    fn decode(&self, payload: &Bytes, segment: &Segment<E>) -> Result<Frame, Refusal> {
        decode(payload, || log_paths::segment(self.partition, segment.base))
    }

    /// Deletes the segments that lie wholly below `end`, but never the last; gives the first offset
    /// that is kept. What must be remembered of them is durable before. The deletions need not
    /// be: what comes back is below the checkpoint's first offset, and deleted at boot.
    pub(super) async fn trim(&mut self, files: &Store<E>, end: Offset) -> Result<Offset, Refusal> {
        let early = self.defects.has(Defect::TrimBeforeCheckpoint);
        let begun = self.segments.partition_point(|segment| segment.base <= end);
        let gone = begun.saturating_sub(1);
        let first = self.segments[gone].base;
        if gone == 0 {
            return Ok(first);
        }
        let checkpoint = Checkpoint { first, producers: self.producers.below(first) };
        if !early {
            checkpoint.save(files, self.partition).await?;
        }
        for segment in &self.segments[..gone] {
            files.remove(&log_paths::segment(self.partition, segment.base)).await?;
        }
        if early {
            checkpoint.save(files, self.partition).await?;
        }
        self.segments.drain(..gone);
        self.producers.forget(first);
        Ok(first)
    }
}

/// Whether segments have so many bytes together that no more should come. The last one cannot be
/// deleted, so one alone may have any size.
fn is_full(segments: impl ExactSizeIterator<Item = u64>, bytes_max: Option<u64>) -> bool {
    segments.len() > 1 && bytes_max.is_some_and(|most| segments.sum::<u64>() >= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_segments_count_and_one_alone_may_have_any_size() {
        let full = |segments: &[u64], bytes_max| is_full(segments.iter().copied(), bytes_max);
        assert!(!full(&[900], Some(100)), "alone");
        assert!(!full(&[60, 39], Some(100)), "room for one byte");
        assert!(full(&[60, 40], Some(100)), "no room");
        assert!(full(&[900, 0], Some(100)), "the first one can be deleted");
        assert!(!full(&[900, 900], None), "without a bound");
    }
}
