//! Random outcomes of a power cut.
//!
//! A coin for each sector alone almost never gives the telling extremes. So a mode is drawn
//! first, from the most orderly outcome to the wildest.

use std::{fmt, ops::Range};

use super::{Fate, Profile, Unit, UnitKind, order::close};
use crate::random::Stream;

/// How the fates of a random power cut were drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CrashMode {
    /// Nothing unsynced is kept.
    AllLost,
    /// Everything is kept.
    AllKept,
    /// Everything up to some unit is kept, nothing after it.
    Prefix,
    /// One unit is lost, everything else is kept.
    OneMissing,
    /// Of one operation the first units are kept; everything else is kept, or everything is lost.
    OneTorn,
    /// A coin decides for each operation.
    OperationCoins,
    /// A coin decides for each unit.
    UnitCoins,
    /// Changes of names and of lengths are kept up to some point; a coin decides for each write.
    MetadataPrefix,
    /// Each page of 4 KiB is kept, dropped or damaged.
    Pages,
}

/// How much is kept, dropped or damaged together in [`CrashMode::Pages`], in bytes.
const PAGE_BYTES: u64 = 4096;

impl CrashMode {
    const ALL: [Self; 9] = [
        Self::AllLost,
        Self::AllKept,
        Self::Prefix,
        Self::OneMissing,
        Self::OneTorn,
        Self::OperationCoins,
        Self::UnitCoins,
        Self::MetadataPrefix,
        Self::Pages,
    ];
}

impl fmt::Display for CrashMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AllLost => "all lost",
            Self::AllKept => "all kept",
            Self::Prefix => "a prefix",
            Self::OneMissing => "one missing",
            Self::OneTorn => "one torn",
            Self::OperationCoins => "a coin for each operation",
            Self::UnitCoins => "a coin for each unit",
            Self::MetadataPrefix => "a prefix of metadata",
            Self::Pages => "page by page",
        })
    }
}

/// A mode, and a fate for each of `units`, which are in order.
pub(super) fn draw(
    profile: &Profile,
    units: &[Unit],
    stream: &mut Stream,
) -> (CrashMode, Vec<Fate>) {
    let mode = if profile.drawn_by_page {
        if stream.chance(1, 10) { CrashMode::AllKept } else { CrashMode::Pages }
    } else {
        CrashMode::ALL[stream.index(CrashMode::ALL.len())]
    };
    if units.is_empty() {
        return (mode, Vec::new());
    }
    let mut fates = match mode {
        CrashMode::AllLost => vec![Fate::Lost; units.len()],
        CrashMode::AllKept => vec![Fate::Kept; units.len()],
        CrashMode::Prefix => prefix(units, stream),
        CrashMode::OneMissing => {
            let mut fates = vec![Fate::Kept; units.len()];
            fates[stream.index(units.len())] = Fate::Lost;
            fates
        }
        CrashMode::OneTorn => one_torn(units, stream),
        CrashMode::OperationCoins => operation_coins(units, stream),
        CrashMode::UnitCoins => units.iter().map(|unit| any(unit, stream)).collect(),
        CrashMode::MetadataPrefix => metadata_prefix(units, stream),
        CrashMode::Pages => pages(units, stream),
    };
    close(profile, units, &mut fates);
    (mode, fates)
}

fn prefix(units: &[Unit], stream: &mut Stream) -> Vec<Fate> {
    let kept = stream.index(units.len() + 1);
    let mut fates = vec![Fate::Lost; units.len()];
    fates[..kept].fill(Fate::Kept);
    for range in operations(units).filter(|range| range.start < kept && kept < range.end) {
        if stream.chance(1, 2) {
            shorten(&units[range.clone()], &mut fates[range]);
        }
    }
    fates
}

fn one_torn(units: &[Unit], stream: &mut Stream) -> Vec<Fate> {
    let damaged = |range: &Range<usize>| units[range.start].fates().count() > 2;
    let candidates: Vec<_> =
        operations(units).filter(|range| range.len() > 1 || damaged(range)).collect();
    if candidates.is_empty() {
        return operation_coins(units, stream);
    }
    let torn = candidates[stream.index(candidates.len())].clone();
    let mut fates = vec![coin(stream); units.len()];
    let (part, fates_of_part) = (&units[torn.clone()], &mut fates[torn]);
    let grows = matches!(part[part.len() - 1].kind, UnitKind::Size { .. });
    let sectors = part.len() - usize::from(grows);
    let kept = stream.index(sectors + usize::from(grows));
    fates_of_part.fill(Fate::Lost);
    fates_of_part[..kept].fill(Fate::Kept);
    if kept < sectors && stream.chance(1, 2) {
        fates_of_part[kept] = any(&part[kept], stream);
    }
    if grows {
        fates_of_part[sectors] = coin(stream);
        if stream.chance(1, 3) {
            shorten(part, fates_of_part);
        }
    }
    fates
}

fn operation_coins(units: &[Unit], stream: &mut Stream) -> Vec<Fate> {
    operations(units).flat_map(|range| std::iter::repeat_n(coin(stream), range.len())).collect()
}

fn metadata_prefix(units: &[Unit], stream: &mut Stream) -> Vec<Fate> {
    let kept = stream.index(units.len() + 1);
    let fates = operations(units).flat_map(|range| {
        let written = coin(stream);
        let fate = move |at: usize| match units[at].kind {
            UnitKind::Truncate { .. } | UnitKind::Names(_) if at < kept => Fate::Kept,
            UnitKind::Truncate { .. } | UnitKind::Names(_) => Fate::Lost,
            UnitKind::Sector { .. } | UnitKind::Size { .. } => written,
        };
        range.map(fate)
    });
    fates.collect()
}

fn pages(units: &[Unit], stream: &mut Stream) -> Vec<Fate> {
    let page = |unit: &Unit| match unit.kind {
        UnitKind::Sector { offset, .. } => Some((unit.id.operation, offset / PAGE_BYTES)),
        UnitKind::Size { .. } | UnitKind::Truncate { .. } | UnitKind::Names(_) => None,
    };
    let mut fates = Vec::with_capacity(units.len());
    let same = |a: &Unit, b: &Unit| page(a).is_some() && page(a) == page(b);
    for units in units.chunk_by(same) {
        if page(&units[0]).is_none() || stream.chance(1, 3) {
            fates.extend(units.iter().map(|unit| any(unit, stream)));
        } else {
            fates.extend(std::iter::repeat_n(coin(stream), units.len()));
        }
    }
    fates
}

fn coin(stream: &mut Stream) -> Fate {
    if stream.chance(1, 2) { Fate::Kept } else { Fate::Lost }
}

/// Any fate that the unit may have, each as likely as the others.
fn any(unit: &Unit, stream: &mut Stream) -> Fate {
    let choice = stream.index(unit.fates().count());
    unit.fates().nth(choice).expect("the choice is below the number of fates")
}

/// Lets the file of a torn write end where the last sector that was kept ends, if it may.
fn shorten(write: &[Unit], fates: &mut [Fate]) {
    let kept = write.iter().zip(&*fates).filter(|(_, fate)| **fate == Fate::Kept);
    let end = kept.filter_map(|(unit, _)| sector_end(unit)).max().unwrap_or_default();
    let (Some(last), Some(fate)) = (write.last(), fates.last_mut()) else { return };
    if last.fates().any(|fate| fate == Fate::Short(end)) {
        *fate = Fate::Short(end);
    }
}

const fn sector_end(unit: &Unit) -> Option<u64> {
    match unit.kind {
        UnitKind::Sector { offset, len, .. } => Some(offset + len),
        UnitKind::Size { .. } | UnitKind::Truncate { .. } | UnitKind::Names(_) => None,
    }
}

/// The ranges of `units` that belong to one operation each.
pub(super) fn operations(units: &[Unit]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    units.chunk_by(|a, b| a.id.operation == b.id.operation).map(move |operation| {
        let range = start..start + operation.len();
        start = range.end;
        range
    })
}
