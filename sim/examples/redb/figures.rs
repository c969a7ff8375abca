//! How many states there were, and what redb made of them.

use std::fmt;

/// The figures of one trial.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Storage operations that changed, synced or closed the file while the file was created.
    pub(crate) operations_of_creation: u64,
    /// The same from then on: each is a crash point.
    pub(crate) operations: u64,
    /// States that a crash may leave while the file was created.
    pub(crate) states_of_creation: u64,
    /// Those of them that do not open.
    pub(crate) unopened_of_creation: u64,
    /// States that a crash may leave from then on.
    pub(crate) states: u64,
    /// Databases opened: every distinct state once.
    pub(crate) opens: u64,
    /// Transactions acknowledged.
    pub(crate) acknowledged: usize,
    /// States with exactly what was acknowledged.
    pub(crate) as_acknowledged: u64,
    /// States with the transaction under way as well.
    pub(crate) as_under_way: u64,
    /// States whose recovery was crashed, too.
    pub(crate) recoveries: u64,
    /// States that these second crashes may leave.
    pub(crate) states_of_recovery: u64,
    /// States without a transaction that was acknowledged.
    pub(crate) lost: u64,
    /// States with a content that the database never had.
    pub(crate) mixed: u64,
    /// States that do not open.
    pub(crate) unopened: u64,
    /// States after a second crash with another content than after the first.
    pub(crate) changed: u64,
    /// The first loss in words, or else the first other violation.
    pub(crate) violation: Option<String>,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operations_of_creation, states_of_creation, unopened_of_creation, .. } = self;
        let Self { operations, states, opens, acknowledged, .. } = self;
        let Self { as_acknowledged, as_under_way, recoveries, states_of_recovery, .. } = self;
        let Self { lost, mixed, unopened, changed, .. } = self;
        writeln!(
            f,
            "creation: {operations_of_creation} operations, {states_of_creation} states, of which \
             {unopened_of_creation} do not open"
        )?;
        writeln!(
            f,
            "from then on: {acknowledged} transactions, {operations} operations, each a crash \
             point, {states} states"
        )?;
        writeln!(
            f,
            "found: {as_acknowledged} as acknowledged, {as_under_way} with the one under way as well"
        )?;
        writeln!(
            f,
            "again: {recoveries} recoveries crashed at each operation, {states_of_recovery} states"
        )?;
        writeln!(f, "distinct: {opens} states, each opened once")?;
        write!(
            f,
            "violations: {lost} lost, {mixed} mixed, {unopened} not opened, {changed} changed"
        )
    }
}
