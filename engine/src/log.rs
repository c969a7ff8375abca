//! An append-only log: frames with a sequence number and a checksum, of which at most the last is
//! not durable.
//!
//! `len` (u32, little endian), then a [`crate::codec`] frame of (log, sequence, payload), then
//! zeros up to the next multiple of 512 bytes. One frame is written and synced at a time, so
//! after a power cut only the last one can be torn, in whatever way: any of its sectors may be
//! missing or trash, its length too. Nobody was ever told of it, and it is cut off. (Rot of a last
//! frame that *was* acknowledged looks just the same: whoever keeps the log must have evidence of
//! its end elsewhere.) A bad frame with a good one of a
//! later sequence behind it is no torn tail but damage: cutting there would throw away what was
//! acknowledged, so the log is refused.
//!
//! A frame has its sectors for itself, since a drive without power-safe overwrite may destroy what
//! else is in a sector that it writes. And it says to which log it belongs, since a block that was
//! never written may show what a removed log had there.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use unplug_sim::env::{Disk, DiskError, Env, File, OpenMode, Refusal};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    codec::{self, CodecError, Kind},
    defect::{Defect, Defects},
    durable::{failed, read_all, read_range, settled, synced, uninterrupted, write_all},
};

const LEN_BYTES: usize = 4;

/// What a drive writes as one piece, at the most.
const SECTOR_BYTES: usize = 512;

/// What fills a sector up.
const ZEROS: [u8; SECTOR_BYTES] = [0; SECTOR_BYTES];

#[derive(Serialize, Deserialize)]
struct Frame<'a> {
    /// Which log: see [`id`].
    log: u64,
    sequence: u64,
    #[serde(serialize_with = "at_once")]
    payload: &'a [u8],
}

/// As bytes, not as a sequence of numbers that is gone through one by one.
fn at_once<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// Where a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    position: u64,
    /// With the zeros behind it.
    len: usize,
}

impl Place {
    /// How many bytes it takes.
    pub(crate) fn bytes(self) -> usize {
        self.len
    }
}

/// What a scan found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    pub(crate) frames: Vec<(Place, Bytes)>,
    /// Where the sound part ends.
    pub(crate) end: u64,
}

impl Scan {
    pub(crate) fn sound(&self) -> Sound {
        Sound { end: self.end, frames: self.frames.len() as u64 }
    }
}

/// The sound part of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sound {
    /// Where it ends.
    pub(crate) end: u64,
    /// How many frames it has.
    pub(crate) frames: u64,
}

/// An open log.
pub struct Log<E: Env> {
    defects: Defects,
    path: String,
    file: <E::Disk as Disk>::File,
    end: u64,
    sequence: u64,
}

impl<E: Env> Log<E> {
    /// Opens the log at `path`, which must be there (formatting makes it), cuts off a torn last
    /// frame, and gives all sound ones.
    ///
    /// # Errors
    /// Damage in the middle, an unknown format version, any disk error. Nothing was changed then.
    pub async fn open(
        env: &E,
        path: &str,
        defects: Defects,
    ) -> Result<(Self, Vec<(Place, Bytes)>), Refusal> {
        let at = |what: &'static str| move |error| failed(what, path, error);
        let disk = env.disk();
        let opened = uninterrupted(|| disk.open(path, OpenMode::Write)).await;
        let file = opened.map_err(at("open"))?;
        // After a kill the page cache holds what the disk may not.
        settled(defects, &file).await.map_err(at("sync"))?;
        let bytes = read_all(&file).await.map_err(at("read"))?;
        let scan = scan(path, &bytes, sector_bytes(defects))?;
        let log = Self::new(path, file, scan.sound(), defects);
        if scan.end < bytes.len() as u64 {
            log.cut().await?;
        }
        Ok((log, scan.frames))
    }

    /// Makes an empty log at `path`, where nothing may be. Its name is not durable before the
    /// caller synced the directory.
    ///
    /// # Errors
    /// Any disk error.
    pub(crate) async fn create(env: &E, path: &str, defects: Defects) -> Result<Self, Refusal> {
        let at = |what: &'static str| move |error| failed(what, path, error);
        let disk = env.disk();
        let opened = uninterrupted(|| disk.open(path, OpenMode::CreateNew)).await;
        let file = opened.map_err(at("make"))?;
        synced(defects, || file.sync_all()).await.map_err(at("sync"))?;
        Ok(Self::new(path, file, Sound::default(), defects))
    }

    /// Opens a log that was made durable and scanned; what is behind its sound part is still there.
    ///
    /// # Errors
    /// Any disk error.
    pub(crate) async fn resume(
        env: &E,
        path: &str,
        sound: Sound,
        defects: Defects,
    ) -> Result<Self, Refusal> {
        let disk = env.disk();
        let file = uninterrupted(|| disk.open(path, OpenMode::Write)).await;
        let file = file.map_err(|error| failed("open", path, error))?;
        Ok(Self::new(path, file, sound, defects))
    }

    fn new(path: &str, file: <E::Disk as Disk>::File, sound: Sound, defects: Defects) -> Self {
        Self { defects, path: path.to_owned(), file, end: sound.end, sequence: sound.frames }
    }

    /// Cuts off what is behind the sound part.
    ///
    /// # Errors
    /// Any disk error.
    pub(crate) async fn cut(&self) -> Result<(), Refusal> {
        let at = |what: &'static str| move |error| failed(what, &self.path, error);
        uninterrupted(|| self.file.set_len(self.end)).await.map_err(at("cut"))?;
        synced(self.defects, || self.file.sync_all()).await.map_err(at("sync"))
    }

    /// How many bytes it has.
    pub(crate) fn bytes(&self) -> u64 {
        self.end
    }

    /// Writes one frame, which is not durable before [`Log::sync`] returned. The caller syncs
    /// before it appends again.
    ///
    /// # Errors
    /// Any disk error; the log must then be opened anew, except where there was no room: the log
    /// is then as it was.
    pub async fn append(&mut self, payload: Bytes) -> Result<Place, Refusal> {
        let sector = sector_bytes(self.defects);
        let bytes = frame(id(&self.path), self.sequence, &payload, sector);
        let place = Place { position: self.end, len: bytes.len() };
        if let Err(error) = write_all(&self.file, self.end, bytes).await {
            if error == DiskError::NoSpace {
                // The next frame must not stand behind half a frame.
                self.cut().await?;
            }
            return Err(failed("write", &self.path, error));
        }
        self.end += place.len as u64;
        self.sequence += 1;
        Ok(place)
    }

    /// Makes all that was appended durable.
    ///
    /// # Errors
    /// Any disk error: what was appended since the last sync may be gone, and may not be
    /// acknowledged, whatever a later sync says.
    pub async fn sync(&self) -> Result<(), Refusal> {
        let done = synced(self.defects, || self.file.sync_data()).await;
        done.map_err(|error| failed("sync", &self.path, error))
    }

    /// Reads the payloads of the frames from one to another, at once.
    ///
    /// # Errors
    /// Damage, and any disk error.
    pub(crate) async fn read(&self, first: Place, last: Place) -> Result<Vec<Bytes>, Refusal> {
        let end = last.position + last.len as u64;
        let len = usize::try_from(end - first.position).expect("as long as what was read before");
        let bytes = read_range(&self.file, first.position, len)
            .await
            .map_err(|error| failed("read", &self.path, error))?;
        let (log, sector) = (id(&self.path), sector_bytes(self.defects));
        let mut payloads = Vec::new();
        let mut at = 0;
        while at < len {
            let frame = bytes.get(at..).ok_or(CodecError::Damaged);
            let (frame, whole) = frame
                .and_then(|bytes| whole(log, bytes, sector))
                .map_err(|error| damaged(&self.path, first.position + at as u64, &error))?;
            payloads.push(bytes.slice_ref(frame.payload));
            at += whole;
        }
        Ok(payloads)
    }
}

impl<E: Env> std::fmt::Debug for Log<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("path", &self.path)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

pub(crate) fn damaged(path: &str, position: u64, error: &CodecError) -> Refusal {
    Refusal::new(format!(
        "{path}, byte {position}: {error}, and acknowledged frames stand behind it; restore the \
         file from a copy, nothing was changed"
    ))
}

/// What tells a log from others: no two files of one disk have the same path at once, and what a
/// removed one of the same path had was never acknowledged, or is what is to be there now.
pub(crate) fn id(path: &str) -> u64 {
    xxh3_64(path.as_bytes())
}

/// To a multiple of what frames are filled up.
pub(crate) fn sector_bytes(defects: Defects) -> usize {
    if defects.has(Defect::FramesShareSectors) { 1 } else { SECTOR_BYTES }
}

/// A frame as it stands in a log.
pub(crate) fn frame(log: u64, sequence: u64, payload: &[u8], sector: usize) -> Bytes {
    // At once the room that it takes, with what stands before the payload.
    let room = (payload.len() + 64).next_multiple_of(SECTOR_BYTES);
    let mut bytes = Vec::with_capacity(room);
    bytes.extend_from_slice(&[0; LEN_BYTES]);
    let mut bytes = codec::append(Kind::Frame, &Frame { log, sequence, payload }, bytes);
    let len = u32::try_from(bytes.len() - LEN_BYTES).expect("a frame is far below 4 GiB");
    bytes[..LEN_BYTES].copy_from_slice(&len.to_le_bytes());
    bytes.resize(bytes.len().next_multiple_of(sector), 0);
    bytes.into()
}

/// Decodes the frame of a log at the start of `bytes`; tells how long it is with the zeros behind
/// it, as far as they are there.
fn whole(log: u64, bytes: &[u8], sector: usize) -> Result<(Frame<'_>, usize), CodecError> {
    let len = frame_len(bytes).ok_or(CodecError::Damaged)?;
    let body = codec::check(Kind::Frame, &bytes[LEN_BYTES..len])?;
    let frame: Frame<'_> = postcard::from_bytes(body).map_err(|_| CodecError::Damaged)?;
    let end = bytes.len().min(len.next_multiple_of(sector));
    let sound = frame.log == log && bytes[len..end] == ZEROS[..end - len];
    sound.then_some((frame, end)).ok_or(CodecError::Damaged)
}

/// How long the frame at the start of `bytes` is with its length, if it is all there.
fn frame_len(bytes: &[u8]) -> Option<usize> {
    let (len, rest) = bytes.split_at_checked(LEN_BYTES)?;
    let len = usize::try_from(u32::from_le_bytes(len.try_into().ok()?)).ok()?;
    (len <= rest.len()).then_some(LEN_BYTES + len)
}

/// Finds the frames of a log; the last may be torn.
///
/// # Errors
/// Damage in the middle, an unknown format version.
pub(crate) fn scan(path: &str, bytes: &Bytes, sector: usize) -> Result<Scan, Refusal> {
    let log = id(path);
    let mut frames = Vec::new();
    let mut end = 0;
    while end < bytes.len() {
        let sequence = frames.len() as u64;
        match whole(log, &bytes[end..], sector) {
            Ok((frame, len)) if frame.sequence == sequence => {
                if !len.is_multiple_of(sector) {
                    // Its last sector is not all there, nor was it synced.
                    break;
                }
                let payload = bytes.slice_ref(frame.payload);
                frames.push((Place { position: end as u64, len }, payload));
                end += len;
            }
            Ok(_) => return Err(damaged(path, end as u64, &CodecError::Damaged)),
            Err(error @ CodecError::Version { .. }) => {
                return Err(damaged(path, end as u64, &error));
            }
            Err(error) => {
                let later = (end..bytes.len()).step_by(sector).any(|at| {
                    whole(log, &bytes[at..], sector).is_ok_and(|(it, _)| it.sequence > sequence)
                });
                if later {
                    return Err(damaged(path, end as u64, &error));
                }
                break;
            }
        }
    }
    Ok(Scan { frames, end: end as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTOR: usize = SECTOR_BYTES;

    fn log(sizes: &[usize]) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = Vec::new();
        let mut ends = vec![0];
        for (sequence, size) in (0..).zip(sizes) {
            let fill = u8::try_from(sequence + 1).expect("few");
            bytes.extend_from_slice(&frame(id("log"), sequence, &vec![fill; *size], SECTOR));
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    fn count(bytes: &[u8]) -> Result<usize, Refusal> {
        scan("log", &Bytes::copy_from_slice(bytes), SECTOR).map(|scan| scan.frames.len())
    }

    #[test]
    fn a_last_frame_cut_at_any_byte_is_cut_off_and_the_others_stay() {
        let (bytes, ends) = log(&[100, 900, 700]);
        assert_eq!(count(&bytes), Ok(3));
        for len in ends[2]..bytes.len() {
            let cut = Bytes::copy_from_slice(&bytes[..len]);
            let scan = scan("log", &cut, SECTOR).expect("a torn tail");
            assert_eq!((scan.frames.len(), scan.end), (2, ends[2] as u64), "cut at {len}");
        }
    }

    #[test]
    fn a_last_frame_with_any_subset_of_its_sectors_is_cut_off() {
        let (bytes, ends) = log(&[100, 900, 2_000]);
        let first = ends[2] / SECTOR;
        let sectors = bytes.len().div_ceil(SECTOR) - first;
        for kept in 0..(1u32 << sectors) - 1 {
            let mut torn = bytes.clone();
            for sector in (0..sectors).filter(|sector| kept & 1 << sector == 0) {
                let start = ((first + sector) * SECTOR).max(ends[2]);
                let end = ((first + sector + 1) * SECTOR).min(torn.len());
                torn[start..end].fill(0);
            }
            assert_eq!(count(&torn), Ok(2), "sectors {kept:b} kept");
        }
    }

    #[test]
    fn damage_before_a_later_frame_is_refused_with_its_place() {
        let (bytes, ends) = log(&[100, 900, 700]);
        for place in 0..ends[2] {
            let mut rotten = bytes.clone();
            rotten[place] ^= 0x40;
            let refusal = count(&rotten).expect_err("rot in the middle").reason;
            let frame = if place < ends[1] { 0 } else { ends[1] };
            assert!(refusal.starts_with(&format!("log, byte {frame}: ")), "{refusal}");
        }
    }

    #[test]
    fn an_empty_log_and_a_grown_one_without_data_hold_nothing() {
        assert_eq!(count(&[]), Ok(0));
        assert_eq!(count(&[0; 5_000]), Ok(0));
    }
}
