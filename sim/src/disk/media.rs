//! Sectors that go wrong: which cannot be read, which read as others, and writes that go astray.
//!
//! What a file holds is kept as it was written, and damage to reading lies over it. So it is
//! sticky, costs nothing elsewhere, and is gone when the sector is written anew: at once, as if
//! the device had found it another place, and whether a power cut then keeps that write or not.
//! Whole images ([`Disk::tree`]) are without it.

use std::ops::Range;

use bytes::Bytes;

use super::{
    Disk, InodeNumber,
    fault::{Armed, DiskFault, Faults, SyncFault},
};
use crate::{
    env::{DiskError, DiskResult},
    random::Stream,
};

/// What a device damages as one piece, in bytes.
const SECTOR_BYTES: usize = 512;

/// How a sector does not read as it was written.
#[derive(Clone, Debug)]
pub(super) enum BadSector {
    Unreadable,
    /// As these bytes, with zeros behind them.
    ReadsAs(Bytes),
}

impl Faults {
    /// The bytes of a file from `start` to the end of `bytes`, which is where its content is read
    /// to.
    pub(super) fn read(
        &self,
        number: InodeNumber,
        bytes: &[u8],
        start: usize,
    ) -> DiskResult<Bytes> {
        let mut read = bytes[start..].to_vec();
        if read.is_empty() {
            return Ok(Bytes::new());
        }
        for (sector, damage) in self.damage(number, start..bytes.len()) {
            let place = place(sector, bytes.len());
            match damage {
                BadSector::Unreadable => return Err(DiskError::Io),
                BadSector::ReadsAs(other) => {
                    for at in place.start.max(start)..place.end {
                        read[at - start] = other.get(at - place.start).copied().unwrap_or(0);
                    }
                }
            }
        }
        Ok(read.into())
    }

    /// A file was cut to `len` bytes.
    pub(super) fn cut(&mut self, number: InodeNumber, len: usize) {
        self.damaged.retain(|(at, sector), _| *at != number || *sector * SECTOR_BYTES < len);
    }

    /// Bytes of a file were written.
    pub(super) fn written(&mut self, number: InodeNumber, range: Range<usize>) {
        if !self.damaged.is_empty() {
            let sectors = sectors(&range);
            self.damaged.retain(|(at, sector), _| *at != number || !sectors.contains(sector));
        }
    }

    /// Whether a write of `range` would have to read a sector that cannot be read.
    fn obstructs(&self, number: InodeNumber, range: &Range<usize>, len: usize) -> bool {
        self.damage(number, range.clone()).any(|(sector, damage)| {
            let place = place(sector, len);
            let whole = range.start <= place.start && place.end <= range.end;
            matches!(damage, BadSector::Unreadable) && !whole
        })
    }

    /// The damage to the sectors that a range that is not empty touches.
    fn damage(
        &self,
        number: InodeNumber,
        range: Range<usize>,
    ) -> impl Iterator<Item = (usize, &BadSector)> {
        let Range { start, end } = sectors(&range);
        let damaged = self.damaged.range((number, start)..(number, end));
        damaged.map(|((_, sector), damage)| (*sector, damage))
    }
}

impl Disk {
    /// Makes a sector of a file in a directory unreadable; tells which. One with unsynced bytes is
    /// in the cache, where they are read, and the device takes another for it as it is written
    /// back.
    pub(super) fn spoil_sector(&mut self, directory: &str, stream: &mut Stream) -> Option<String> {
        let mut files = self.files_in(directory)?;
        let cold = |number, len: usize| {
            let file = self.file(number);
            let sectors = (0..len.div_ceil(SECTOR_BYTES)).map(move |at| (at, place(at, len)));
            sectors.filter(|(_, place)| !file.has_unsynced_in(place)).map(|(sector, _)| sector)
        };
        files.retain(|(_, number, len)| cold(*number, *len).next().is_some());
        if files.is_empty() {
            return None;
        }
        let (path, number, len) = files.swap_remove(stream.index(files.len()));
        let cold: Vec<_> = cold(number, len).collect();
        let sector = cold[stream.index(cold.len())];
        let faults = self.faults.get_or_insert_default();
        faults.damaged.insert((number, sector), BadSector::Unreadable);
        Some(format!("sector {sector} of {path}"))
    }

    /// Lets a sector of a file in a directory read as another one that differs; tells which.
    pub(super) fn misdirect_reads(
        &mut self,
        directory: &str,
        stream: &mut Stream,
    ) -> Option<String> {
        self.decide();
        let (path, number, sector) = self.some_sector(directory, stream)?;
        let files = self.files_in(directory)?;
        let others = files.iter().flat_map(|(path, number, len)| {
            (0..len.div_ceil(SECTOR_BYTES)).map(move |sector| (path, *number, sector))
        });
        let others: Vec<_> = others.collect();
        let from = stream.index(others.len());
        let bytes = self.sector(number, sector);
        let differs = |other: &[u8]| {
            bytes.iter().enumerate().any(|(at, byte)| *byte != other.get(at).copied().unwrap_or(0))
        };
        let (other_path, other_number, other_sector) = others[from..]
            .iter()
            .chain(&others[..from])
            .find(|(_, number, sector)| differs(self.sector(*number, *sector)))?;
        let reads_as = Bytes::copy_from_slice(self.sector(*other_number, *other_sector));
        let struck = format!("sector {sector} of {path}, as sector {other_sector} of {other_path}");
        let faults = self.faults.get_or_insert_default();
        faults.damaged.insert((number, sector), BadSector::ReadsAs(reads_as));
        Some(struck)
    }

    /// Writes all of `bytes`, of which there are some, on a disk that has faults.
    pub(super) fn write_or_strike(
        &mut self,
        number: InodeNumber,
        offset: usize,
        bytes: Bytes,
    ) -> DiskResult<()> {
        self.check_writable()?;
        let range = offset..offset + bytes.len();
        self.decide_within(number, range.clone());
        let len = self.file(number).len();
        if self.faults.as_ref().is_some_and(|faults| faults.obstructs(number, &range, len)) {
            return Err(DiskError::Io);
        }
        let Some(Armed { directory, what, mut stream }) = self.take_armed(number, waits_for_write)
        else {
            self.write(number, offset, bytes);
            return Ok(());
        };
        let sectors = sectors(&range);
        let sector = sectors.start + stream.index(sectors.len());
        match what {
            DiskFault::WriteError => {
                self.note(what, None, number);
                let kept = (sector * SECTOR_BYTES).saturating_sub(offset);
                if kept > 0 {
                    self.write(number, offset, bytes.slice(..kept));
                }
                Err(DiskError::Io)
            }
            DiskFault::PhantomWrite => {
                self.note(what, Some(sector), number);
                self.write_but(number, offset, &bytes, sector)
            }
            DiskFault::MisdirectedWrite => {
                self.note(what, Some(sector), number);
                self.write_but(number, offset, &bytes, sector)?;
                self.land_elsewhere(number, sector, directory, &mut stream);
                Ok(())
            }
            DiskFault::Sync(_) => {
                self.write(number, offset, bytes);
                self.note(what, None, number);
                self.fail_write_back(number, what);
                Ok(())
            }
            DiskFault::BitRot | DiskFault::LatentError | DiskFault::MisdirectedRead => {
                unreachable!("it waits for nothing")
            }
        }
    }

    /// Writes all of `bytes`, but for one sector, which is in the cache only.
    fn write_but(
        &mut self,
        number: InodeNumber,
        offset: usize,
        bytes: &Bytes,
        sector: usize,
    ) -> DiskResult<()> {
        let end = offset + bytes.len();
        if end > self.file(number).len() {
            self.resize(number, end)?;
        }
        let astray = place(sector, end);
        let astray = astray.start.max(offset)..astray.end;
        for part in [offset..astray.start, astray.end..end] {
            if !part.is_empty() {
                self.write(number, part.start, bytes.slice(part.start - offset..part.end - offset));
            }
        }
        let lost = &bytes[astray.start - offset..astray.end - offset];
        self.file_mut(number).show(astray.start, lost);
        let faults = self.faults.get_or_insert_default();
        faults.written(number, astray);
        faults.stale.insert(number);
        Ok(())
    }

    /// What programs see in a sector comes to stand in another one as well, at or below a
    /// directory, if there is another.
    fn land_elsewhere(
        &mut self,
        number: InodeNumber,
        sector: usize,
        directory: InodeNumber,
        stream: &mut Stream,
    ) {
        let mut places = Vec::new();
        for (_, file) in self.files_below(directory) {
            let count = self.file(file).len().div_ceil(SECTOR_BYTES);
            let all = (0..count).map(|sector| (file, sector));
            places.extend(all.filter(|place| *place != (number, sector)));
        }
        if places.is_empty() {
            return;
        }
        let (victim, at) = places[stream.index(places.len())];
        self.decide_within(victim, at * SECTOR_BYTES..(at + 1) * SECTOR_BYTES);
        let bytes = self.sector(number, sector).to_vec();
        let len = self.sector(victim, at).len().min(bytes.len());
        self.file_mut(victim).replace(at * SECTOR_BYTES, &bytes[..len]);
        // In a hole, no device keeps them.
        self.faults.get_or_insert_default().stale.insert(victim);
        self.note(DiskFault::MisdirectedWrite, Some(at), victim);
    }

    /// Some sector of some file in a directory.
    fn some_sector(
        &self,
        directory: &str,
        stream: &mut Stream,
    ) -> Option<(String, InodeNumber, usize)> {
        let mut files = self.files_in(directory)?;
        let (path, number, len) = files.swap_remove(stream.index(files.len()));
        Some((path, number, stream.index(len.div_ceil(SECTOR_BYTES))))
    }

    /// What a sector of a file holds; less than a sector at the end of the file.
    fn sector(&self, number: InodeNumber, sector: usize) -> &[u8] {
        let bytes = self.file(number).bytes();
        &bytes[place(sector, bytes.len())]
    }
}

/// Whether a fault waits for a write.
const fn waits_for_write(what: DiskFault) -> bool {
    match what {
        DiskFault::MisdirectedWrite
        | DiskFault::PhantomWrite
        | DiskFault::WriteError
        | DiskFault::Sync(SyncFault::LateReport | SyncFault::AlreadyConsumed) => true,
        DiskFault::Sync(
            SyncFault::DropAfterEvict
            | SyncFault::RevertNow
            | SyncFault::KeepDirty
            | SyncFault::GoesReadOnly,
        )
        | DiskFault::BitRot
        | DiskFault::LatentError
        | DiskFault::MisdirectedRead => false,
    }
}

/// The sectors that a range of bytes touches.
const fn sectors(range: &Range<usize>) -> Range<usize> {
    range.start / SECTOR_BYTES..range.end.div_ceil(SECTOR_BYTES)
}

/// The bytes of a sector in a file of `len` bytes.
fn place(sector: usize, len: usize) -> Range<usize> {
    let start = sector * SECTOR_BYTES;
    start.min(len)..(start + SECTOR_BYTES).min(len)
}
