//! A file as a source: its lines become tuples of the broker.
//!
//! A line is known by the offset of its first byte, in the file and as its tuple's seq. So the file
//! can be read again from any line on, and the broker takes each line once, however often the
//! feeder crashes. What is behind the last line break is torn, and waits for the rest, unless the
//! file is said to be complete. A line that is no record is kept as a dead letter, with its place and
//! what is wrong with it, before the feeder goes on behind it; it is counted, and never dropped.
//!
//! - [`lines`]: where lines begin and end;
//! - [`record`]: what a line says: JSON or comma-separated values;
//! - [`feeder`]: the program that reads the file, and knows how far it came.

pub mod feeder;
pub mod lines;
pub mod record;

pub use self::{
    feeder::{Counts, DeadLetter, Feed, feed},
    record::{Format, Schema},
};
