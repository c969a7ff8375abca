//! What is known of one aggregate of a window that is not closed yet.

use serde::{Deserialize, Serialize};

use crate::pipeline::Value;

/// What is known of one aggregate. None depends on the order in which rows came, nor on how they
/// were divided among epochs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Accumulator {
    /// How many rows.
    Count(u64),
    /// The sum, wide enough for any number of rows; none without a value that is not null.
    Sum(Option<i128>),
    /// The least value; null without a value that is not null.
    Min(Value),
    /// The greatest value; null without a value that is not null.
    Max(Value),
    /// The sum and the number of the values that are not null.
    Average(i128, u64),
    /// The wrapping sum of the hashes of the tuples.
    Fingerprint(u128),
}

impl Accumulator {
    /// Takes a row in: the value of the aggregate's column, null if it has none, and the hashes of
    /// its tuples.
    pub(crate) fn add(&mut self, value: &Value, print: u128) {
        match self {
            Self::Count(count) => *count += 1,
            Self::Sum(sum) => {
                if let Value::Int(value) = value {
                    *sum = Some(sum.unwrap_or(0) + i128::from(*value));
                }
            }
            Self::Min(least) => {
                if *value != Value::Null && (*least == Value::Null || *value < *least) {
                    least.clone_from(value);
                }
            }
            Self::Max(greatest) => {
                if *value != Value::Null && (*greatest == Value::Null || *value > *greatest) {
                    greatest.clone_from(value);
                }
            }
            Self::Average(sum, count) => {
                if let Value::Int(value) = value {
                    (*sum, *count) = (*sum + i128::from(*value), *count + 1);
                }
            }
            Self::Fingerprint(sum) => *sum = sum.wrapping_add(print),
        }
    }

    /// Takes in what is known of other rows.
    ///
    /// # Panics
    /// If that is of another aggregate.
    pub(crate) fn merge(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Count(count), Self::Count(more)) => *count += more,
            (Self::Sum(sum), Self::Sum(more)) => {
                if let Some(more) = more {
                    *sum = Some(sum.unwrap_or(0) + more);
                }
            }
            (Self::Min(_), Self::Min(value)) | (Self::Max(_), Self::Max(value)) => {
                self.add(value, 0);
            }
            (Self::Average(sum, count), Self::Average(more, values)) => {
                (*sum, *count) = (*sum + more, *count + values);
            }
            (Self::Fingerprint(sum), Self::Fingerprint(more)) => *sum = sum.wrapping_add(*more),
            (
                Self::Count(_)
                | Self::Sum(_)
                | Self::Min(_)
                | Self::Max(_)
                | Self::Average(..)
                | Self::Fingerprint(_),
                _,
            ) => panic!("{other:?} is of another aggregate than {self:?}"),
        }
    }

    /// The value for the window's row; none if it is a number that 64 bits cannot hold.
    pub(crate) fn value(&self) -> Option<Value> {
        match self {
            Self::Count(count) => i64::try_from(*count).ok().map(Value::Int),
            Self::Sum(None) | Self::Average(_, 0) => Some(Value::Null),
            Self::Sum(Some(sum)) => i64::try_from(*sum).ok().map(Value::Int),
            Self::Average(sum, count) => {
                i64::try_from(sum.div_euclid(i128::from(*count))).ok().map(Value::Int)
            }
            Self::Min(value) | Self::Max(value) => Some(value.clone()),
            Self::Fingerprint(sum) => Some(Value::Text(format!("{sum:032x}").into())),
        }
    }
}
