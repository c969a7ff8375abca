//! Ranges of values, each refusal in one line with the place and with what would be right.

use std::ops::RangeInclusive;

use crate::input::Invalid;

pub(super) fn within<T: PartialOrd + std::fmt::Display>(
    place: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), Invalid> {
    if range.contains(&value) {
        return Ok(());
    }
    let (low, high) = (range.start(), range.end());
    Err(Invalid::at(place, format!("{value} is out of range; it must be {low} to {high}")))
}

/// Both ends of a range within another.
pub(super) fn both_within<T: PartialOrd + Copy + std::fmt::Display>(
    place: &str,
    (low, high): (T, T),
    range: RangeInclusive<T>,
) -> Result<(), Invalid> {
    within(place, low, range.clone())?;
    within(place, high, range)?;
    ordered(place, (low, high))
}

pub(super) fn ordered<T: PartialOrd + std::fmt::Display>(
    place: &str,
    (low, high): (T, T),
) -> Result<(), Invalid> {
    if low <= high {
        return Ok(());
    }
    Err(Invalid::at(place, format!("[{low}, {high}] is upside down; it must be [low, high]")))
}

pub(super) fn ratio(place: &str, (cases, of): (u32, u32)) -> Result<(), Invalid> {
    if cases <= of && of > 0 {
        return Ok(());
    }
    let rule = "is no probability; it must be [cases, of so many], such as [1, 3]";
    Err(Invalid::at(place, format!("[{cases}, {of}] {rule}")))
}
