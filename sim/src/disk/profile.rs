//! What a kind of disk may do at a power cut: the knobs of the model, gathered in one value.
//!
//! Only `strict` exists so far. A further profile adds fields here, which narrow or widen what
//! [`super::Unit::fates`] allows and what a sync covers.

/// What a power cut may do to operations that no sync covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// A rename is kept or lost as a whole, as long as both its halves are pending. If false,
    /// its new name and the end of its old name have fates of their own.
    pub rename_atomic: bool,
}

impl Profile {
    /// The weakest disk on which a correct program must still be correct: any subset of the
    /// unsynced operations survives, each write sector by sector, a file's length apart from its
    /// bytes, and names only through a sync of their directory (ALICE's default model).
    #[must_use]
    pub const fn strict() -> Self {
        Self { rename_atomic: true }
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::strict()
    }
}
