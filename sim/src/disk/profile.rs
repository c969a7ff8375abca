//! What a kind of disk may do at a power cut: the knobs of the model, gathered in one value.
//!
//! A profile stands for a file system and its drive together. It says three things: which changes
//! wait for which others ([`Profile::order`], [`Profile::data_before_size`] and the flushes), what
//! may become of a sector whose write was under way ([`Profile::damage`]), and what a sync that
//! returned covers ([`Profile::sync`]).

/// What a power cut may do to operations that no sync covered, and which a sync covers.
///
/// With `noauto_da_alloc`, ext4 is `ext4-ordered` without [`Profile::replace_flushes`] and
/// [`Profile::rewrite_flushes`].
///
/// | profile | allows | after |
/// |---|---|---|
/// | `strict` | any subset, sector by sector, with stale bytes in new sectors; names only through a sync of their directory | the default model of ALICE (Pillai et al., OSDI 2014) |
/// | `ext4-ordered` | metadata in one order, which a sync commits up to the last change of what is synced; sizes lag behind, and where write-back is under way they are ahead of the data (zeros, never stale bytes); replacing by rename and rewriting after a truncate flush the size | Linux 6.18, measured |
/// | `ext4-writeback` | the same, but nothing flushes, and what is new in a file may show stale bytes | Linux 6.18, measured (`data=writeback,nodelalloc`) |
/// | `xfs` | metadata in one order; sizes wait for all of their data; replacing by rename flushes nothing | Linux 6.18, measured |
/// | `btrfs` | names in any order, a rename's halves apart; 4 KiB blocks are old or new; a sync of a file covers its names, until they change | Linux 6.18, measured |
/// | `lying-drive` | a sync does nothing: everything since the boot may vanish or be reordered | SQLite's model of a device |
/// | `no-psow` | a sector that a write touches may be trash, with the bytes beside the written ones | SQLite's documentation of power-safe overwrite |
/// | `fdb` | names at once; pages of 4 KiB are kept, dropped or damaged, sector by sector and half by half; one power cut in ten keeps everything | FoundationDB's non-durable file |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name, such as `ext4-ordered`. One whose knobs were turned keeps the name of the one it
    /// came from.
    pub name: &'static str,
    /// A rename is kept or lost as a whole, as long as both its halves are pending. If false,
    /// its new name and the end of its old name have fates of their own.
    pub rename_atomic: bool,
    /// Which changes wait for earlier ones.
    pub order: Ordering,
    /// A file never grows over a new block whose bytes are not on the disk.
    pub data_before_size: bool,
    /// A size may grow within a block that the file has already, ahead of the bytes.
    pub size_within_block: bool,
    /// A rename over an existing file waits for the length of the file that it renames.
    pub replace_flushes: bool,
    /// The length of a file that was cut to nothing, written and closed is committed with the
    /// metadata.
    pub rewrite_flushes: bool,
    /// What a sync that returned has made durable.
    pub sync: SyncCovers,
    /// Changes of names are durable at once.
    pub names_at_once: bool,
    /// How much of a write is kept or lost as one piece, in bytes.
    pub atom_bytes: u32,
    /// How much is allocated as one piece, in bytes. A write that reached the disk in part has
    /// grown its file to a multiple of it.
    pub block_bytes: u32,
    /// What else may become of a sector whose write was under way.
    pub damage: Damage,
    /// Random outcomes are drawn as FoundationDB draws them: one in ten keeps everything, and
    /// all others go page by page.
    pub drawn_by_page: bool,
}

/// Which changes of lengths and names wait for earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordering {
    /// None.
    Free,
    /// Changes of one file's length.
    PerFile,
    /// All metadata, as in one journal: a change of a name or of a length is on the disk only if
    /// all earlier ones are. A growth that comes with a write waits, but nothing waits for it.
    Journal,
}

/// What a sync that returned has made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncCovers {
    /// Nothing at all: the drive lies.
    Nothing,
    /// A file's bytes and length; a directory's names.
    Itself,
    /// The same, and the names that lead there, until they change.
    ItsNamesToo,
    /// The same as [`SyncCovers::Itself`]; and all changes of names, with every length that was set
    /// by a truncate, up to the last pending change of metadata of the synced thing. Of a sync of
    /// the data alone the lengths of that file count only.
    Journal,
}

/// What may become of a sector whose write was under way, besides being old or new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// In a new block, bytes of a file that was removed; behind an end that was cut, what was there.
    pub stale: bool,
    /// The whole sector is zeros, with the bytes beside the written ones.
    pub zero: bool,
    /// The whole sector is trash, with the bytes beside the written ones.
    pub garbage: bool,
    /// The first or the second half of the written bytes is new, the other one old.
    pub halves: bool,
}

impl Damage {
    /// No damage.
    pub const NONE: Self = Self { stale: false, zero: false, garbage: false, halves: false };
}

impl Profile {
    /// All named profiles.
    pub const ALL: [Self; 8] = [
        Self::strict(),
        Self::ext4_ordered(),
        Self::ext4_writeback(),
        Self::xfs(),
        Self::btrfs(),
        Self::lying_drive(),
        Self::no_psow(),
        Self::fdb(),
    ];

    /// The profile of this name, such as `ext4-ordered`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name == name)
    }

    /// The weakest honest disk on which a correct program must still be correct: any subset of the
    /// unsynced operations survives, each write sector by sector, a file's length apart from its
    /// bytes (new sectors then show zeros or stale bytes), and names only through a sync of their
    /// directory.
    #[must_use]
    pub const fn strict() -> Self {
        Self {
            name: "strict",
            rename_atomic: true,
            order: Ordering::Free,
            data_before_size: false,
            size_within_block: true,
            replace_flushes: false,
            rewrite_flushes: false,
            sync: SyncCovers::Itself,
            names_at_once: false,
            atom_bytes: 512,
            block_bytes: 512,
            damage: Damage { stale: true, ..Damage::NONE },
            drawn_by_page: false,
        }
    }

    /// ext4 as it is mounted by default.
    #[must_use]
    pub const fn ext4_ordered() -> Self {
        Self {
            name: "ext4-ordered",
            order: Ordering::Journal,
            replace_flushes: true,
            rewrite_flushes: true,
            sync: SyncCovers::Journal,
            block_bytes: 4096,
            damage: Damage::NONE,
            ..Self::strict()
        }
    }

    /// ext4 with `data=writeback`, with or without delayed allocation.
    #[must_use]
    pub const fn ext4_writeback() -> Self {
        Self {
            name: "ext4-writeback",
            replace_flushes: false,
            rewrite_flushes: false,
            damage: Damage { stale: true, ..Damage::NONE },
            ..Self::ext4_ordered()
        }
    }

    /// XFS.
    #[must_use]
    pub const fn xfs() -> Self {
        Self {
            name: "xfs",
            data_before_size: true,
            size_within_block: false,
            replace_flushes: false,
            rewrite_flushes: false,
            ..Self::ext4_ordered()
        }
    }

    /// Btrfs.
    #[must_use]
    pub const fn btrfs() -> Self {
        Self {
            name: "btrfs",
            rename_atomic: false,
            order: Ordering::PerFile,
            data_before_size: true,
            size_within_block: false,
            sync: SyncCovers::ItsNamesToo,
            atom_bytes: 4096,
            block_bytes: 4096,
            damage: Damage::NONE,
            ..Self::strict()
        }
    }

    /// A drive that says it has synced and has not. No program is durable on it; a good one is
    /// still consistent.
    #[must_use]
    pub const fn lying_drive() -> Self {
        // A sync of one directory may have been all that kept a rename's halves apart.
        let (sync, rename_atomic) = (SyncCovers::Nothing, false);
        Self { name: "lying-drive", sync, rename_atomic, ..Self::strict() }
    }

    /// A drive without power-safe overwrite: what is written near what is durable endangers it.
    #[must_use]
    pub const fn no_psow() -> Self {
        let damage = Damage { zero: true, garbage: true, ..Self::strict().damage };
        Self { name: "no-psow", damage, ..Self::strict() }
    }

    /// The disk of FoundationDB's simulator.
    #[must_use]
    pub const fn fdb() -> Self {
        Self {
            name: "fdb",
            names_at_once: true,
            damage: Damage { garbage: true, halves: true, ..Damage::NONE },
            drawn_by_page: true,
            ..Self::strict()
        }
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::strict()
    }
}
